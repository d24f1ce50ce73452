//! A task that holds on to what a forked child closes.
//!
//! KERNEL: whoever closes a file last releases it and what waits in it, and a TCP socket that lingers
//! keeps it waiting; only a task that exits does not wait. A child may be the last, if its parent has
//! closed its inbox meanwhile. It may start no thread there, for locks may be held that nobody gives
//! back; a task of its own it may, which is killed when the child has closed.

use super::{Errno, ids};
use std::ffi::{c_int, c_long};
use std::mem::MaybeUninit;
use std::os::fd::RawFd;

/// Exists as long as that task, which has copies of all descriptors.
#[derive(Debug)]
pub(super) struct Holder(libc::pid_t);

impl Holder {
    /// `None` where there cannot be one.
    pub(super) fn start() -> Option<Holder> {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: the pointer is to a set that the call fills.
        unsafe { libc::sigfillset(all.as_mut_ptr()) };
        // SAFETY: a set that is filled, and room for another one; it fails for other actions only.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
        let (us, nothing): (i32, c_long) = (ids::process(), 0);
        // SAFETY: without flags this is a fork: no memory is shared, and no signal tells of its end.
        let task =
            unsafe { libc::syscall(libc::SYS_clone, nothing, nothing, nothing, nothing, nothing) };
        if task == 0 {
            hold_for(us);
        }
        // SAFETY: filled above; the set that was in force is not wanted.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut());
        }
        libc::pid_t::try_from(task).ok().filter(|task| *task > 0).map(Holder)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // SAFETY: a child of this process that nobody else waits for, since it has no signal.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
        let any = std::ptr::null_mut();
        // SAFETY: its status is not wanted.
        while unsafe { libc::waitpid(self.0, any, libc::__WALL) } == -1 && interrupted() {}
    }
}

fn interrupted() -> bool {
    Errno::last() == Errno(libc::EINTR)
}

/// In that task: no handler of the program's runs, and it does not outlive who started it.
fn hold_for(us: i32) -> ! {
    // SAFETY: takes numbers only.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    loop {
        // Its end may have come before that was asked for.
        // SAFETY: takes nothing.
        unsafe { libc::usleep(100_000) };
        // SAFETY: takes nothing.
        if unsafe { libc::getppid() } != us {
            // SAFETY: ends the task at once.
            unsafe { libc::_exit(0) };
        }
    }
}

/// Whether what others have queued may wait in the socket `number`: it has a name, or bytes.
///
/// No message is looked at: that could take an error off the socket, which is the parent's to see.
pub(super) fn may_hold(number: RawFd) -> bool {
    let mut polled = libc::pollfd { fd: number, events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry.
    unsafe { libc::poll(&raw mut polled, 1, 0) };
    polled.revents & libc::POLLIN != 0 && (has_name(number) || has_bytes(number))
}

/// Accepted ones have the name of their listener; those that this process has connected have none.
fn has_name(number: RawFd) -> bool {
    let mut name = MaybeUninit::<libc::sockaddr_un>::uninit();
    #[allow(clippy::cast_possible_truncation, reason = "110 bytes")]
    let mut len = size_of::<libc::sockaddr_un>() as libc::socklen_t;
    // SAFETY: room for a name of that length.
    let asked = unsafe { libc::getsockname(number, name.as_mut_ptr().cast(), &raw mut len) };
    asked == 0 && len as usize > size_of::<libc::sa_family_t>()
}

fn has_bytes(number: RawFd) -> bool {
    let mut bytes: c_int = 0;
    // SAFETY: the pointer is to the integer that the call fills.
    unsafe { libc::ioctl(number, libc::FIONREAD, &raw mut bytes) == 0 && bytes > 0 }
}
