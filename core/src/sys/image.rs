//! Becoming another program, with chosen descriptors and the signals as this one found them.

use super::{Errno, Result, check, listing};
use std::ffi::{CString, c_char, c_uint};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether SIGPIPE was ignored when the program was loaded: Rust's own start-up ignores it afterwards.
static PIPE_IGNORED: AtomicBool = AtomicBool::new(false);

#[used]
#[unsafe(link_section = ".init_array")]
static AT_LOAD: extern "C" fn() = remember;

extern "C" fn remember() {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: asks only; the pointer is to a struct that the call fills.
    let asked = unsafe { libc::sigaction(libc::SIGPIPE, std::ptr::null(), action.as_mut_ptr()) };
    // SAFETY: zeroed, and filled by a successful call.
    let action = unsafe { action.assume_init() };
    PIPE_IGNORED.store(asked == 0 && action.sa_sigaction == libc::SIG_IGN, Ordering::Relaxed);
}

/// Replaces the program. Comes back only with an error, which leaves all as it was but for the numbers
/// in `fds`, and what was open there.
pub(crate) fn replace(
    program: &CString,
    args: &[CString],
    env: &[CString],
    fds: &[(RawFd, OwnedFd)],
) -> Errno {
    match prepare(fds) {
        Ok(()) => {}
        Err(errno) => return errno,
    }
    let ignored = PIPE_IGNORED.load(Ordering::Relaxed);
    set_pipe(if ignored { libc::SIG_IGN } else { libc::SIG_DFL });
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: three valid strings or arrays of such, the arrays ended by null.
    unsafe { libc::execve(program.as_ptr(), args.as_ptr(), env.as_ptr()) };
    let errno = Errno::last();
    set_pipe(libc::SIG_IGN);
    errno
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}

fn set_pipe(action: libc::sighandler_t) {
    // SAFETY: one of SIG_IGN and SIG_DFL.
    unsafe { libc::signal(libc::SIGPIPE, action) };
}

/// Each descriptor under its number, and nothing else above 2 to outlive an exec.
fn prepare(fds: &[(RawFd, OwnedFd)]) -> Result<()> {
    let mut taken: Vec<RawFd> = fds.iter().map(|(number, _)| *number).collect();
    taken.sort_unstable();
    let beyond = taken.last().copied().unwrap_or(2).max(2) + 1;
    // First out of the way of all the numbers: one may stand where another is to go.
    let lifted = fds
        .iter()
        .map(|(number, fd)| Ok((*number, lift(fd, beyond)?)))
        .collect::<Result<Vec<_>>>()?;
    for (number, fd) in &lifted {
        // SAFETY: numbers only.
        check(unsafe { libc::dup2(fd.as_raw_fd(), *number) })?;
    }
    let mut first = 3;
    for number in taken.into_iter().filter(|number| *number > 2) {
        close_on_exec(first, number - 1)?;
        first = number + 1;
    }
    close_on_exec(first, RawFd::MAX)
}

fn lift(fd: &OwnedFd, least: RawFd) -> Result<OwnedFd> {
    // SAFETY: numbers only.
    let lifted = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, least) })?;
    // SAFETY: just made, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(lifted) })
}

const CLOSE_RANGE_CLOEXEC: c_uint = 4;

fn close_on_exec(first: RawFd, last: RawFd) -> Result<()> {
    if first > last {
        return Ok(());
    }
    #[allow(clippy::cast_sign_loss, reason = "no descriptor has a negative number")]
    let (from, to) = (first as c_uint, last as c_uint);
    // SAFETY: numbers only; nothing is closed before an exec.
    let marked = unsafe { libc::syscall(libc::SYS_close_range, from, to, CLOSE_RANGE_CLOEXEC) };
    if marked == 0 {
        return Ok(());
    }
    // KERNEL(5.11): before, each has to be marked.
    let listed = listing::numbers(c"/proc/self/fd").map_err(|_| Errno(libc::ENOSYS))?;
    for number in listed.into_iter().filter(|number| (first..=last).contains(number)) {
        // SAFETY: numbers only; that of the listing itself is closed by now.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::alone::is_alone;

    #[test]
    fn nothing_but_what_was_asked_for_outlives_an_exec() {
        if !is_alone("sys::image::tests::nothing_but_what_was_asked_for_outlives_an_exec") {
            return;
        }
        let file = || OwnedFd::from(std::fs::File::open("/dev/null").expect("it is there"));
        for number in [40, 41, 43, 45, 46, 47] {
            // SAFETY: numbers that nobody has here.
            check(unsafe { libc::dup2(0, number) }).expect("room");
        }
        prepare(&[(44, file()), (40, file()), (42, file())]).expect("room");
        let outlives = |number: &RawFd| {
            // SAFETY: numbers only.
            let flags = check(unsafe { libc::fcntl(*number, libc::F_GETFD) });
            flags.expect("open") & libc::FD_CLOEXEC == 0
        };
        assert!([0, 1, 2, 40, 42, 44].iter().all(outlives));
        assert!(![41, 43, 45, 46, 47].iter().any(outlives));
    }
}
