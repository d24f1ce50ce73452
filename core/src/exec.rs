//! Becoming another program that is given descriptors.

use crate::sys::{Errno, image, release};
use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// Replaces this program by another one, in the same process, with `fds` under the numbers given there.
///
/// They are not close-on-exec; every other descriptor above 2 is. SIGPIPE is ignored or not, as it was when
/// this program was started; this changes nothing else of its signals. `args` begins with the name that the
/// program is told, `env` is all of its environment.
///
/// Does not come back, but for the error: that of `execve`, or `EMFILE`, `EBADF` where a number is not to
/// be had, or `EINVAL` where a string holds a zero byte. What stood at the numbers is lost then.
#[must_use = "it has not become the other program"]
pub fn exec(
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<OsString>,
    fds: &[(RawFd, OwnedFd)],
) -> io::Error {
    let string = |string: OsString| CString::new(string.into_vec());
    let strings = |all: Vec<OsString>| all.into_iter().map(string).collect::<Result<Vec<_>, _>>();
    match (string(program.into_os_string()), strings(args), strings(env)) {
        (Ok(program), Ok(args), Ok(env)) => {
            let Errno(errno) = image::replace(&program, &args, &env, fds);
            io::Error::from_raw_os_error(errno)
        }
        _ => io::Error::from_raw_os_error(libc::EINVAL),
    }
}

/// Closes descriptors that are the caller's, and waits for nothing that this sets free, such as a socket
/// that lingers. It costs a short-lived thread.
pub fn release(fds: Vec<OwnedFd>) {
    release::close_elsewhere(fds);
}
