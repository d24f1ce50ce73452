//! Which task an inbox belongs to: its name holds the inode of the task's pidfd, or, where there are
//! none, its id and start time.

use rustix::fs::fstat;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::collections::{HashMap, HashSet};
use std::fs::{read_dir, read_to_string};

/// KERNEL(6.9): `PIDFD_THREAD`, the same bit as `O_EXCL`.
const THREAD: PidfdFlags = PidfdFlags::from_bits_retain(0o200);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task {
    pub id: i32,
    /// Of the process; the same for its first thread.
    pub pid: i32,
}

/// Who of all visible tasks has one of these identities.
pub fn find(mut wanted: HashSet<&str>) -> HashMap<String, Task> {
    let mut found = HashMap::new();
    let started = wanted.iter().any(|identity| identity.contains('.'));
    let mut look = |id: i32, pid: i32, flags: PidfdFlags| {
        let inode = inode(id, flags).map(|inode| inode.to_string());
        for identity in inode.into_iter().chain(started.then(|| started_at(pid, id)).flatten()) {
            if wanted.remove(identity.as_str()) {
                found.insert(identity, Task { id, pid });
            }
        }
        !wanted.is_empty()
    };
    let processes = numbers("/proc");
    for pid in &processes {
        if !look(*pid, *pid, PidfdFlags::empty()) {
            return found;
        }
    }
    // What is left are threads, or nobody that can be seen.
    for pid in processes {
        for id in numbers(&format!("/proc/{pid}/task")).into_iter().filter(|id| *id != pid) {
            if !look(id, pid, THREAD) {
                return found;
            }
        }
    }
    found
}

fn numbers(directory: &str) -> Vec<i32> {
    let entries = read_dir(directory).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

fn inode(id: i32, flags: PidfdFlags) -> Option<u64> {
    let pidfd = pidfd_open(Pid::from_raw(id)?, flags).ok()?;
    Some(fstat(pidfd).ok()?.st_ino)
}

fn started_at(pid: i32, id: i32) -> Option<String> {
    let task = format!("/proc/{pid}/task/{id}");
    let stat = read_to_string(format!("{task}/stat")).ok()?;
    let at = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?;
    let status = read_to_string(format!("{task}/status")).ok()?;
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    Some(format!("{}.{at}", ids.split_ascii_whitespace().last()?))
}

/// The name of its program.
pub fn command(task: Task) -> Option<String> {
    let name = read_to_string(format!("/proc/{}/task/{}/comm", task.pid, task.id)).ok()?;
    Some(crate::output::clean(name.trim_end_matches('\n')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_and_threads_are_found_by_either_identity() {
        let me = i32::try_from(std::process::id()).expect("a pid");
        let thread = rustix::thread::gettid().as_raw_nonzero().get();
        let (of_process, of_thread) = (inode(me, PidfdFlags::empty()), inode(thread, THREAD));
        let mut identities = vec![started_at(me, thread).expect("proc")];
        identities
            .extend([of_process, of_thread].into_iter().flatten().map(|inode| inode.to_string()));
        let found = find(identities.iter().map(String::as_str).chain(["1.1", "0"]).collect());
        assert_eq!(found.len(), identities.len());
        assert_eq!(found[identities.last().expect("some")], Task { id: thread, pid: me });
        assert!(command(Task { id: me, pid: me }).is_some());
    }
}
