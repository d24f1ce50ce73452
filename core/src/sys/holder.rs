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
        match task {
            -1 => None,
            task => libc::pid_t::try_from(task).ok().map(Holder),
        }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // SAFETY: a child of this process that nobody else waits for, since it has no signal.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
        await_end(self.0);
    }
}

/// Whatever signals come.
fn await_end(child: libc::pid_t) {
    let any = std::ptr::null_mut();
    loop {
        // SAFETY: its status is not wanted.
        let ended = unsafe { libc::waitpid(child, any, libc::__WALL) };
        if ended != -1 || Errno::last() != Errno(libc::EINTR) {
            return;
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::alone::is_alone;
    use crate::sys::signal::Interruptions;
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::time::{Duration, Instant};

    fn exists(process: libc::pid_t) -> bool {
        // SAFETY: takes no pointers.
        unsafe { libc::kill(process, 0) == 0 }
    }

    /// How often it has gone to sleep.
    fn sleeps(process: libc::pid_t) -> u32 {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it lives");
        assert!(!status.contains("State:\tZ"), "it has ended");
        let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        count.and_then(|count| count.trim().parse().ok()).expect("a number")
    }

    #[test]
    fn it_exists_and_has_all_until_it_is_dropped() {
        if !is_alone("sys::holder::tests::it_exists_and_has_all_until_it_is_dropped") {
            return;
        }
        let holder = Holder::start().expect("a task");
        let task = holder.0;
        assert!(task > 0 && task != ids::process());
        // After each it looks for who has started it.
        while sleeps(task) < 4 {}
        let copies = std::fs::read_dir(format!("/proc/{task}/fd")).expect("it lives").count();
        assert!(copies >= 3);
        drop(holder);
        assert!(!exists(task));
    }

    #[test]
    fn signals_do_not_end_the_wait_for_its_end() {
        let sleep = || std::process::Command::new("sleep").arg("0.5").spawn().expect("is there");
        let (_interruptions, begun) = (Interruptions::of_this_thread(), Instant::now());
        let pid = sleep().id().cast_signed();
        await_end(pid);
        assert!(begun.elapsed() >= Duration::from_millis(450) && !exists(pid));
        // It has no such child any more.
        await_end(pid);
    }

    #[test]
    fn a_socket_holds_something_if_it_has_bytes_or_a_name() {
        let (mut here, there) = UnixStream::pair().expect("two sockets");
        assert!(!may_hold(there.as_raw_fd()));
        here.write_all(b"x").expect("room");
        assert!(may_hold(there.as_raw_fd()) && !may_hold(here.as_raw_fd()));
        // Its end reads as well.
        let (here, there) = UnixStream::pair().expect("two sockets");
        drop(here);
        assert!(!may_hold(there.as_raw_fd()));

        let place = format!("/tmp/sendfd-holder-{}", ids::process());
        let listener = UnixListener::bind(&place).expect("binds");
        assert!(!may_hold(listener.as_raw_fd()));
        let connected = UnixStream::connect(&place).expect("connects");
        std::fs::remove_file(&place).expect("it is there");
        assert!(may_hold(listener.as_raw_fd()));
        let (accepted, _) = listener.accept().expect("it waits");
        assert!(!may_hold(listener.as_raw_fd()));
        assert!(!may_hold(accepted.as_raw_fd()) && !may_hold(connected.as_raw_fd()));
        // A message with descriptors alone has no bytes.
        drop(connected);
        assert!(may_hold(accepted.as_raw_fd()));
    }

    #[test]
    fn what_is_no_socket_holds_nothing() {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        assert!(!has_name(reader.as_raw_fd()) && !has_bytes(reader.as_raw_fd()));
        writer.write_all(b"x").expect("room");
        assert!(!has_name(reader.as_raw_fd()) && has_bytes(reader.as_raw_fd()));
        assert!(!has_bytes(-1));
    }
}
