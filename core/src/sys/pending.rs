//! Pending signals of the program's own, which have the numbers of an inbox.
//!
//! Some calls drop all pending signals of a number. Those of the program's own are taken off the queue
//! before, and put back behind it, as they were: thread or process, cause and value.

use super::signal::{self, Set};
use super::{file, ids};
use std::ffi::c_int;

/// Signals that were taken off the queue.
#[derive(Default)]
pub(crate) struct Aside(Vec<(libc::siginfo_t, For)>);

/// Whom a signal is pending for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum For {
    Thread,
    Process,
}

/// Takes all pending signals of `signo` off the calling thread's queue and the process's.
pub(crate) fn set_aside(signo: c_int) -> Aside {
    set_aside_if(signo, |_| true)
}

/// The same; only those that the library has not caused are kept.
pub(crate) fn take_back(signo: c_int) -> Aside {
    set_aside_if(signo, is_the_programs)
}

fn set_aside_if(signo: c_int, kept: impl Fn(&libc::siginfo_t) -> bool) -> Aside {
    let mut aside = Aside::default();
    if !signal::is_pending(signo) {
        return aside;
    }
    let set = Set::of(&[signo]);
    let mut for_whom = pending_for(signo);
    // As many as there can be, and not as fast as others queue them.
    for _ in 0..=signal::queue_limit() {
        // KERNEL: those of the thread come first.
        let whom = match for_whom {
            [true, true] => {
                for_whom = pending_for(signo);
                if for_whom[0] { For::Thread } else { For::Process }
            }
            [true, false] => For::Thread,
            _ => For::Process,
        };
        let Some(info) = signal::dequeue_whole(&set) else { break };
        if kept(&info) && aside.0.try_reserve(1).is_ok() {
            aside.0.push((info, whom));
        }
    }
    aside
}

impl Aside {
    /// Queues them again.
    pub(crate) fn put_back(self) {
        for (info, whom) in self.0 {
            put_back(&info, whom);
        }
    }
}

fn put_back(info: &libc::siginfo_t, whom: For) {
    let (process, signo) = (ids::process(), info.si_signo);
    if whom == For::Thread {
        // SAFETY: an info as the kernel gave it.
        unsafe {
            let thread = ids::thread();
            libc::syscall(libc::SYS_rt_tgsigqueueinfo, process, thread, signo, &raw const *info)
        };
        return;
    }
    // SAFETY: an info as the kernel gave it.
    let queued =
        unsafe { libc::syscall(libc::SYS_rt_sigqueueinfo, process, signo, &raw const *info) };
    if queued != 0 {
        // KERNEL: the first thread alone can say that another process, or the kernel, has sent it.
        // SAFETY: takes no pointers.
        unsafe { libc::kill(process, signo) };
    }
}

/// Whether `signo` is pending for the calling thread, and for the process.
fn pending_for(signo: c_int) -> [bool; 2] {
    let status = file::read(c"/proc/thread-self/status").unwrap_or_default();
    ["SigPnd:", "ShdPnd:"].map(|name| {
        let set = status.lines().find_map(|line| line.strip_prefix(name));
        let set = set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
        set.is_some_and(|set| set >> (signo - 1) & 1 != 0)
    })
}

/// Whether it is known that neither the library nor a socket of it has queued the signal.
///
/// KERNEL: an overflow looks as SIGIO does that a file queues without `F_SETSIG`; it is taken for ours.
fn is_the_programs(info: &libc::siginfo_t) -> bool {
    if info.si_code == libc::SI_KERNEL || signal::is_own(info) {
        return false;
    }
    info.si_code <= 0 || queues(signal::SignalInfo::from_siginfo(info).fd, info.si_signo)
}

const F_GETSIG: c_int = 11;

/// Whether the file with that number queues `signo`. The sockets of an inbox do not, by the time that it
/// takes back its signals.
fn queues(fd: c_int, signo: c_int) -> bool {
    // SAFETY: takes no pointers.
    let queued = unsafe { libc::fcntl(fd, F_GETSIG) };
    // SAFETY: takes no pointers.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    queued == signo && flags & libc::O_ASYNC != 0
}

impl std::fmt::Debug for Aside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Aside").field(&self.0.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{ids, socket};
    use std::os::fd::{AsFd, AsRawFd};

    #[test]
    fn a_socket_queues_its_signal_until_it_is_disarmed() {
        let (one, _other) = socket::pair().expect("two sockets");
        let signo = libc::SIGRTMIN() + 9;
        assert!(!queues(one.as_raw_fd(), 0) && !queues(one.as_raw_fd(), signo));
        // No signal comes: nothing arrives on it.
        socket::arm(one.as_fd(), ids::thread(), signo).expect("armed");
        assert!(queues(one.as_raw_fd(), signo) && !queues(one.as_raw_fd(), signo + 1));
        socket::disarm(one.as_fd());
        assert!(!queues(one.as_raw_fd(), signo));
    }
}
