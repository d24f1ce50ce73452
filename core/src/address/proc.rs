//! What `/proc` says of a task, for kernels without pidfs and for what only it tells.

use crate::sys::fd::PrivateFd;
use crate::sys::{Errno, Result, file, listing, path};
use std::ffi::CStr;
use std::fmt::{self, Display, Write};
use std::os::fd::{AsFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};

/// The whole of a file, whose path is short.
fn read(path: fmt::Arguments<'_>) -> Result<String> {
    with_path(path, file::read)
}

fn with_path<T>(path: fmt::Arguments<'_>, open: impl FnOnce(&CStr) -> Result<T>) -> Result<T> {
    let mut name = String::new();
    name.try_reserve(128).map_err(|_| Errno(libc::ENOMEM))?;
    write!(name, "{path}\0").map_err(|_| Errno(libc::EIO))?;
    let name = CStr::from_bytes_with_nul(name.as_bytes()).map_err(|_| Errno(libc::EINVAL))?;
    open(name)
}

/// When the task started, in clock ticks since boot; `None` once it has exited.
pub(crate) fn start_time(task: impl Display) -> Result<Option<u64>> {
    let line = read(format_args!("/proc/{task}/stat"))?;
    let (exited, start) = parse_stat(&line).ok_or(Errno(libc::EIO))?;
    Ok((!exited).then_some(start))
}

/// Whether the task has exited, and its start time, of fields 3, 20 and 22. The second is a name that
/// may hold anything.
///
/// KERNEL: the first thread of a process can end before the others; it shows as a zombie then.
fn parse_stat(line: &str) -> Option<(bool, u64)> {
    let mut fields = line.rsplit_once(')')?.1.split_ascii_whitespace();
    let ended = matches!(fields.next()?, "Z" | "X");
    let threads: u32 = fields.nth(16)?.parse().ok()?;
    Some((ended && threads <= 1, fields.nth(1)?.parse().ok()?))
}

/// The numbers in one line of `/proc/ID/status`.
fn status_line<'a>(status: &'a str, name: &str) -> Option<impl Iterator<Item = u32> + use<'a>> {
    let words = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(words.split_ascii_whitespace().map_while(|word| word.parse().ok()))
}

/// The network namespace of a task.
pub(crate) fn network(id: i32) -> Result<PrivateFd> {
    with_path(format_args!("/proc/{id}/ns/net"), file::open)
}

/// The root directory of a task. ENOENT: it has ended, though other threads of its process may live.
pub(crate) fn root(id: i32) -> Result<PrivateFd> {
    with_path(format_args!("/proc/{id}/root"), path::directory)
}

/// The kind of file system that has this number among the mounts of a task, as `/proc/ID/mountinfo` says.
pub(crate) fn file_system(id: i32, mount: u64) -> Result<Option<String>> {
    let mounts = read(format_args!("/proc/{id}/mountinfo"))?;
    let Some(kind) = parse_mounts(&mounts, mount) else { return Ok(None) };
    let mut copy = String::new();
    copy.try_reserve_exact(kind.len()).map_err(|_| Errno(libc::ENOMEM))?;
    copy.push_str(kind);
    Ok(Some(copy))
}

/// The kind stands behind a lone hyphen, which follows a number of fields that varies.
fn parse_mounts(mounts: &str, mount: u64) -> Option<&str> {
    let numbered = |line: &&str| line.split(' ').next().and_then(|n| n.parse().ok()) == Some(mount);
    mounts.lines().find(numbered)?.split_once(" - ")?.1.split(' ').next()
}

/// Whether the task is in the user namespace of this thread.
pub(crate) fn shares_user_namespace(id: i32) -> Result<bool> {
    let theirs = with_path(format_args!("/proc/{id}/ns/user"), file::open)?;
    let ours = file::open(c"/proc/thread-self/ns/user")?;
    Ok(path::status(theirs.as_fd())?.identity == path::status(ours.as_fd())?.identity)
}

/// Calls `with` with the path under which this thread has a descriptor.
pub(crate) fn with_descriptor<T>(
    number: RawFd,
    with: impl FnOnce(&CStr) -> Result<T>,
) -> Result<T> {
    // KERNEL: what stands under `self` is the first thread's, which may have ended.
    with_path(format_args!("/proc/thread-self/fd/{number}"), with)
}

/// Calls `with` with a short path of what has this name in a directory.
pub(crate) fn with_entry<T>(
    directory: RawFd,
    name: &CStr,
    with: impl FnOnce(&CStr) -> Result<T>,
) -> Result<T> {
    let name = name.to_str().map_err(|_| Errno(libc::EINVAL))?;
    with_path(format_args!("/proc/thread-self/fd/{directory}/{name}"), with)
}

/// The threads of a process, as they are numbered here; none where it is not visible, or gone.
pub(crate) fn threads(process: i32) -> Result<Vec<i32>> {
    if process <= 0 {
        return Ok(Vec::new());
    }
    match with_path(format_args!("/proc/{process}/task"), listing::numbers) {
        Err(errno @ Errno(libc::EMFILE | libc::ENFILE | libc::ENOMEM)) => Err(errno),
        threads => Ok(threads.unwrap_or_default()),
    }
}

/// The task's id in its own pid namespace.
pub(crate) fn innermost_id(id: i32) -> Result<i32> {
    let status = read(format_args!("/proc/{id}/status"))?;
    let innermost = status_line(&status, "NSpid").and_then(Iterator::last);
    // KERNEL(4.1): before, no such line, and the id has to do.
    innermost.map_or(Ok(id), |inner| i32::try_from(inner).map_err(|_| Errno(libc::EIO)))
}

/// The task's real and saved uid, in our user namespace.
pub(crate) fn real_and_saved_uid(id: i32) -> Result<[u32; 2]> {
    uids(id).map(|[real, _, saved, _]| [real, saved])
}

/// The task's real, effective and saved uid and that of its files, in our user namespace.
pub(crate) fn uids(id: i32) -> Result<[u32; 4]> {
    let status = read(format_args!("/proc/{id}/status"))?;
    let mut uids = status_line(&status, "Uid").ok_or(Errno(libc::EIO))?;
    let mut next = || uids.next().ok_or(Errno(libc::EIO));
    Ok([next()?, next()?, next()?, next()?])
}

/// How the task's user namespace shows a uid of ours; `None` if it has no number there.
pub(crate) fn uid_as_seen_by(id: i32, uid: u32) -> Result<Option<u32>> {
    let theirs = read(format_args!("/proc/{id}/uid_map"))?;
    // KERNEL: within one namespace the file shows the parent's numbers instead of our own.
    if theirs == read(format_args!("/proc/self/uid_map"))? {
        return Ok(Some(uid));
    }
    Ok(map_uid(&theirs, uid))
}

/// The ranges of a uid map: first number inside, first number outside, length.
fn ranges(map: &str) -> impl Iterator<Item = [u32; 3]> + '_ {
    map.lines().filter_map(|line| {
        let mut numbers = line.split_ascii_whitespace().map(str::parse::<u32>);
        Some([numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?])
    })
}

fn map_uid(map: &str, uid: u32) -> Option<u32> {
    ranges(map).find_map(|[inside, outside, count]| {
        let offset = uid.checked_sub(outside).filter(|offset| *offset < count)?;
        inside.checked_add(offset)
    })
}

/// The number as which the kernel shows every user who has none in a user namespace.
pub(crate) fn overflow_uid() -> u32 {
    /// One more than the number, once it is known: it is set for the whole machine, as a rule at boot.
    static KNOWN: AtomicU64 = AtomicU64::new(0);
    if let Some(known) = KNOWN.load(Ordering::Relaxed).checked_sub(1) {
        return u32::try_from(known).unwrap_or(DEFAULT_OVERFLOW_UID);
    }
    let said = read(format_args!("/proc/sys/kernel/overflowuid"))
        .ok()
        .and_then(|text| text.trim().parse().ok());
    if let Some(number) = said {
        KNOWN.store(u64::from(number) + 1, Ordering::Relaxed);
    }
    said.unwrap_or(DEFAULT_OVERFLOW_UID)
}

/// The same for groups.
pub(crate) fn overflow_gid() -> u32 {
    let said = read(format_args!("/proc/sys/kernel/overflowgid"));
    said.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(DEFAULT_OVERFLOW_UID)
}

/// What it is where nobody has changed it, and where there is no `/proc` to say so.
const DEFAULT_OVERFLOW_UID: u32 = 65534;

/// Whether all users have numbers in the task's user namespace; if so, the overflow uid is the number
/// of a user like others.
pub(crate) fn numbers_all_users(task: impl Display) -> Result<bool> {
    read(format_args!("/proc/{task}/uid_map")).map(|map| numbers_all(&map))
}

fn numbers_all(map: &str) -> bool {
    ranges(map).map(|[_, _, count]| u64::from(count)).sum::<u64>() >= u64::from(u32::MAX)
}

/// Whether the user with this uid of ours has a number of its own in the task's user namespace.
pub(crate) fn numbers_user(id: i32, uid: u32) -> Result<bool> {
    let theirs = read(format_args!("/proc/{id}/uid_map"))?;
    Ok(numbers_all(&theirs)
        || map_uid(&theirs, uid).is_some_and(|number| number != overflow_uid())
        || theirs == read(format_args!("/proc/self/uid_map"))?
        // KERNEL: -1 stands for numbers outside that have none here. That is so for a namespace around
        // ours, where all have numbers that have one here.
        || ranges(&theirs).any(|[_, outside, _]| outside == u32::MAX))
}

/// Whether the task, which has an id here, is in our very pid namespace and not in one below.
pub(crate) fn shares_pid_namespace(id: i32) -> Result<bool> {
    let depth = |task: &dyn Display| {
        let status = read(format_args!("/proc/{task}/status"))?;
        Ok(status_line(&status, "NSpid").map(Iterator::count))
    };
    Ok(depth(&id)? == depth(&"self")?)
}

/// The id of a pidfd's task in our pid namespace: `None` if that is no pidfd, `Some(0)` if the task
/// is not visible here or gone.
pub(crate) fn id_of_pidfd(pidfd: RawFd) -> Result<Option<i32>> {
    // KERNEL: what stands under `self` is the first thread's, which may have ended.
    let info = read(format_args!("/proc/thread-self/fdinfo/{pidfd}"))?;
    Ok(info
        .lines()
        .find_map(|line| line.strip_prefix("Pid:")?.trim().parse::<i32>().ok())
        .map(|id| id.max(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_full_of_parentheses_does_not_confuse() {
        let fields =
            |threads| format!("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 {threads} 18 4242 20");
        let rest = fields(1);
        assert_eq!(parse_stat(&format!("7 (a) Z (b)) S {rest}")), Some((false, 4242)));
        assert_eq!(parse_stat(&format!("7 (x) Z {rest}")), Some((true, 4242)));
        assert_eq!(parse_stat(&format!("7 (x) Z {}", fields(2))), Some((false, 4242)));
        assert_eq!(parse_stat("7 (x"), None);
        assert_eq!(parse_stat("7 (x) S 1 2"), None);
    }

    #[test]
    fn this_process_is_alive_and_has_its_own_number() {
        let me = i32::try_from(std::process::id()).expect("a pid fits");
        assert!(matches!(start_time("self"), Ok(Some(_))));
        assert_eq!(start_time(me), start_time("self"));
        assert!(innermost_id(me).is_ok());
        assert_eq!(uid_as_seen_by(me, 12345), Ok(Some(12345)));
    }

    #[test]
    fn the_kind_of_a_mount() {
        let mounts = "21 28 0:20 / /proc rw shared:5 - proc proc rw\n\
                      210 28 0:19 / /a\\040-\\040b rw,nosuid - fuse.x y rw\n\
                      33 28 0:31 / /dev/shm rw - tmpfs tmpfs rw\n";
        assert_eq!(parse_mounts(mounts, 21), Some("proc"));
        assert_eq!(parse_mounts(mounts, 210), Some("fuse.x"));
        assert_eq!(parse_mounts(mounts, 33), Some("tmpfs"));
        assert_eq!(parse_mounts(mounts, 2), None);
    }

    #[test]
    fn uids_are_mapped_by_range() {
        let map = "         0     100000      65536\n     70000       1000          1\n";
        assert_eq!(map_uid(map, 100_000), Some(0));
        assert_eq!(map_uid(map, 165_535), Some(65_535));
        assert_eq!(map_uid(map, 165_536), None);
        assert_eq!(map_uid(map, 1000), Some(70_000));
        assert_eq!(map_uid(map, 0), None);
        assert!(!numbers_all(map) && !numbers_all(""));
        assert!(numbers_all("         0          0 4294967295\n"));
        assert!(numbers_all("0 0 1\n1 1 4294967294\n"));
    }
}
