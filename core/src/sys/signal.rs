//! Real-time signals: blocking, dequeuing, queueing to oneself.

use super::{Errno, Result, check, check_size, ids, pending};
use std::ffi::{c_int, c_long};
use std::mem::MaybeUninit;
use std::os::fd::RawFd;

/// What the kernel says with a signal that a socket has caused.
///
/// Hints only: a number may be stale or made up by anybody who may signal this process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SignalInfo {
    pub(crate) signo: i32,
    pub(crate) code: i32,
    pub(crate) fd: RawFd,
}

/// Bytes of a set of signals: one bit for each of 64.
const KERNEL_SET: usize = 8;

/// The layout of `siginfo_t` for a signal of `F_SETSIG`, which the libc crate does not show.
#[repr(C)]
struct SigPoll {
    signo: c_int,
    errno: c_int,
    code: c_int,
    band: c_long,
    fd: c_int,
}

impl SignalInfo {
    pub(crate) fn from_siginfo(info: &libc::siginfo_t) -> SignalInfo {
        const { assert!(size_of::<SigPoll>() <= size_of::<libc::siginfo_t>()) };
        const { assert!(align_of::<SigPoll>() <= align_of::<libc::siginfo_t>()) };
        let poll = (&raw const *info).cast::<SigPoll>();
        // SAFETY: within a siginfo_t (asserted above); any bit pattern is a valid integer.
        let poll = unsafe { &*poll };
        SignalInfo { signo: poll.signo, code: poll.code, fd: poll.fd }
    }
}

/// `RLIMIT_SIGPENDING`: how many signals may be queued to all processes of this user together.
pub(crate) fn queue_limit() -> u64 {
    let mut limit = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: the pointer is to a struct that the call fills.
    if unsafe { libc::getrlimit(libc::RLIMIT_SIGPENDING, limit.as_mut_ptr()) } != 0 {
        return 0;
    }
    // SAFETY: filled by the successful call above.
    unsafe { limit.assume_init() }.rlim_cur
}

/// Signals to be dequeued; made once, for it takes a library call for each.
#[derive(Clone, Copy)]
pub(crate) struct Set(libc::sigset_t);

impl Set {
    pub(crate) fn of(signals: &[i32]) -> Set {
        Set(set_of(signals))
    }
}

impl std::fmt::Debug for Set {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Set").finish_non_exhaustive()
    }
}

fn set_of(signals: &[i32]) -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the pointer is to a set that the call fills.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: filled by the call above, which cannot fail.
    let mut set = unsafe { set.assume_init() };
    for signo in signals {
        // SAFETY: a valid set; a bad number only makes the call fail.
        unsafe { libc::sigaddset(&raw mut set, *signo) };
    }
    set
}

/// Blocks `signals` in the calling thread, all or none; tells which were blocked before.
pub(crate) fn block<const N: usize>(signals: [i32; N]) -> Result<[bool; N]> {
    let (blocked, mut before) = (set_of(&signals), set_of(&[]));
    // SAFETY: two valid sets.
    let failed =
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const blocked, &raw mut before) };
    if failed != 0 {
        return Err(Errno(failed));
    }
    // SAFETY: a valid set.
    Ok(signals.map(|signo| unsafe { libc::sigismember(&raw const before, signo) } == 1))
}

/// Unblocks `signo` in the calling thread.
pub(crate) fn unblock(signo: i32) {
    let blocked = set_of(&[signo]);
    // SAFETY: a valid set; the old one is not wanted.
    unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const blocked, std::ptr::null_mut()) };
}

/// Ignores `signo` in this process where it has its default action, which would kill.
///
/// KERNEL: a blocked signal is queued although it is ignored, so nothing is lost by this; but to
/// ignore it drops what is pending.
pub(crate) fn ignore_if_default(signo: i32) -> Result<()> {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: a null new action only asks; the pointer is to a struct that the call fills.
    check(unsafe { libc::sigaction(signo, std::ptr::null(), action.as_mut_ptr()) })?;
    // SAFETY: filled by the successful call above.
    let mut action = unsafe { action.assume_init() };
    if action.sa_sigaction != libc::SIG_DFL {
        return Ok(());
    }
    action.sa_sigaction = libc::SIG_IGN;
    let pending = pending::set_aside(signo);
    // SAFETY: a valid action, with no handler in it.
    let ignored = unsafe { libc::sigaction(signo, &raw const action, std::ptr::null_mut()) };
    pending.put_back();
    check(ignored).map(drop)
}

/// Whether `signo` is pending for the calling thread.
pub(crate) fn is_pending(signo: i32) -> bool {
    let mut pending = set_of(&[]);
    // SAFETY: a valid set, which the call fills; it cannot fail with one.
    unsafe { libc::sigpending(&raw mut pending) };
    // SAFETY: a valid set.
    unsafe { libc::sigismember(&raw const pending, signo) == 1 }
}

/// Takes the first pending signal of `signals` off the queue, without waiting.
pub(crate) fn dequeue(wanted: &Set) -> Option<SignalInfo> {
    dequeue_whole(wanted).as_ref().map(SignalInfo::from_siginfo)
}

/// The same with all that the kernel says.
pub(super) fn dequeue_whole(Set(wanted): &Set) -> Option<libc::siginfo_t> {
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let mut info = MaybeUninit::<libc::siginfo_t>::uninit();
    // Past the C library: its own is a cancellation point, and tells what was raised as if it were sent by kill().
    // SAFETY: a valid set, of which the kernel knows so many bytes, and timeout: zeros, whatever its width; the
    // pointer is to a struct that the call fills.
    let signo = unsafe {
        let info = info.as_mut_ptr();
        libc::syscall(libc::SYS_rt_sigtimedwait, wanted, info, &raw const now, KERNEL_SET)
    };
    check_size(signo).ok()?;
    // SAFETY: the successful call above has filled all of it.
    Some(unsafe { info.assume_init() })
}

/// The layout of `siginfo_t` for a signal that is queued, which the libc crate does not show.
#[repr(C)]
struct Queued {
    signo: c_int,
    errno: c_int,
    code: c_int,
    /// What follows is aligned as a pointer is.
    rest: [usize; 0],
    pid: libc::pid_t,
    uid: libc::uid_t,
    value: usize,
}

/// By which a signal that the library has queued is told from others.
const OWN: usize = 0x73_66_64_31;

/// Whether the library has queued the signal.
pub(super) fn is_own(info: &libc::siginfo_t) -> bool {
    const { assert!(size_of::<Queued>() <= size_of::<libc::siginfo_t>()) };
    const { assert!(align_of::<Queued>() <= align_of::<libc::siginfo_t>()) };
    // SAFETY: within a siginfo_t (asserted above); any bit pattern is a valid integer.
    let queued = unsafe { &*(&raw const *info).cast::<Queued>() };
    match info.si_code {
        libc::SI_QUEUE => queued.pid == 0 && queued.value == OWN,
        // KERNEL: with a full queue, nothing is told of who has sent it.
        libc::SI_USER => info.si_signo == libc::SIGIO && queued.pid == 0,
        _ => false,
    }
}

/// Queues `signo` to a thread of this process. If the queue is full, SIGIO takes its place, of which
/// the kernel keeps one in any case.
#[cold]
pub(crate) fn queue_to_thread(thread: i32, signo: i32) {
    if !queue(thread, signo) {
        queue(thread, libc::SIGIO);
    }
}

/// `false`: the queue is full.
fn queue(thread: i32, signo: i32) -> bool {
    let process = ids::process();
    // SAFETY: a siginfo_t is made of integers and pointers, for which zeros are valid.
    let mut info = unsafe { MaybeUninit::<libc::siginfo_t>::zeroed().assume_init() };
    info.si_signo = signo;
    info.si_code = libc::SI_QUEUE;
    // SAFETY: the fields of a signal that is queued, within a siginfo_t.
    unsafe { &mut *(&raw mut info).cast::<Queued>() }.value = OWN;
    // SAFETY: a fully initialized siginfo_t.
    let queued = unsafe {
        libc::syscall(libc::SYS_rt_tgsigqueueinfo, process, thread, signo, &raw const info)
    };
    queued == 0
}

#[cfg(test)]
const MOST_INTERRUPTIONS: u32 = 1500;

/// Runs a handler in the calling thread again and again, until it is dropped.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Interruptions(std::sync::Arc<std::sync::atomic::AtomicBool>);

#[cfg(test)]
impl Interruptions {
    pub(crate) fn of_this_thread() -> Interruptions {
        extern "C" fn nothing(_: c_int) {}
        let (process, thread) = (ids::process(), ids::thread());
        // SAFETY: a struct of integers and pointers, for which zeros are valid: no flags, so that calls
        // give EINTR.
        let mut action = unsafe { MaybeUninit::<libc::sigaction>::zeroed().assume_init() };
        action.sa_sigaction = nothing as *const () as usize;
        // SAFETY: a handler that does nothing.
        unsafe { libc::sigaction(libc::SIGUSR2, &raw const action, std::ptr::null_mut()) };
        let ends = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let until = std::sync::Arc::clone(&ends);
        std::thread::spawn(move || {
            // A wait that each of them begins anew shall come to an end some time, too.
            for _ in 0..MOST_INTERRUPTIONS {
                if until.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                // SAFETY: takes no pointers.
                unsafe { libc::syscall(libc::SYS_tgkill, process, thread, libc::SIGUSR2) };
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        });
        Interruptions(ends)
    }
}

#[cfg(test)]
impl Drop for Interruptions {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_to_this_thread_is_dequeued_once() {
        let signo = libc::SIGRTMIN() + 9;
        assert_eq!(block([signo]), Ok([false]));
        assert_eq!(block([signo, signo + 1]), Ok([true, false]));
        assert_eq!(dequeue(&Set::of(&[signo])), None);
        queue_to_thread(ids::thread(), signo);
        let info = dequeue(&Set::of(&[signo])).expect("the signal that was just queued");
        assert_eq!((info.signo, info.code), (signo, libc::SI_QUEUE));
        assert_eq!(dequeue(&Set::of(&[signo])), None);
        unblock(signo);
        assert_eq!(block([signo]), Ok([false]));
    }

    fn info(signo: i32, code: i32, pid: libc::pid_t, value: usize) -> libc::siginfo_t {
        let queued = Queued { signo, errno: 0, code, rest: [], pid, uid: 0, value };
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: at the beginning of a siginfo_t, which has room for it and is aligned as it is.
        unsafe { info.as_mut_ptr().cast::<Queued>().write(queued) };
        // SAFETY: made of integers.
        unsafe { info.assume_init() }
    }

    #[test]
    fn what_the_library_has_queued_is_told_from_what_others_have() {
        let (own, other) = (libc::SIGRTMIN() + 9, libc::SIGIO);
        let us = 4242;
        assert!(is_own(&info(own, libc::SI_QUEUE, 0, OWN)));
        assert!(is_own(&info(other, libc::SI_QUEUE, 0, OWN)));
        assert!(is_own(&info(libc::SIGIO, libc::SI_USER, 0, 0)));
        for (signo, code, pid, value) in [
            (own, libc::SI_QUEUE, us, OWN),
            (own, libc::SI_QUEUE, 0, OWN + 1),
            (own, libc::SI_QUEUE, us, 0),
            (own, libc::SI_USER, 0, OWN),
            (libc::SIGIO, libc::SI_USER, us, 0),
            (own, libc::SI_USER, us, 0),
            (own, libc::SI_TKILL, 0, OWN),
            (own, libc::SI_KERNEL, 0, OWN),
        ] {
            assert!(!is_own(&info(signo, code, pid, value)), "{signo} {code} {pid} {value}");
        }
    }
}
