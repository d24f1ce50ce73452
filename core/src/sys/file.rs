//! Small files, read whole.

use super::fd::PrivateFd;
use super::{Errno, Result, check, check_size};
use std::ffi::CStr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Opens a file for reading. A signal that interrupts it is none of the caller's.
pub(crate) fn open(path: &CStr) -> Result<PrivateFd> {
    PrivateFd::new(|| {
        loop {
            // SAFETY: a string that ends with a zero byte.
            let fd = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
            match check(fd) {
                // SAFETY: a new descriptor that nobody else owns.
                Ok(fd) => return Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
                Err(Errno(libc::EINTR)) => {}
                Err(errno) => return Err(errno),
            }
        }
    })
}

/// The text of a file. ENOMEM: there is no memory for it; std's own way would abort the process.
pub(crate) fn read(path: &CStr) -> Result<String> {
    const PART: usize = 1024;
    let file = open(path)?;
    let mut bytes = Vec::new();
    loop {
        bytes.try_reserve(PART).map_err(|_| Errno(libc::ENOMEM))?;
        let room = bytes.spare_capacity_mut();
        // SAFETY: room for that many bytes.
        let read = unsafe { libc::read(file.as_raw_fd(), room.as_mut_ptr().cast(), room.len()) };
        match check_size(read) {
            Ok(0) => break,
            // SAFETY: the call has filled so many more.
            Ok(more) => unsafe { bytes.set_len(bytes.len() + more) },
            Err(Errno(libc::EINTR)) => {}
            Err(errno) => return Err(errno),
        }
    }
    String::from_utf8(bytes).map_err(|_| Errno(libc::EIO))
}
