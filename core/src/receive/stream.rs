//! Descriptors that come over a connection of the program's own.

use crate::sys::message::{self, Rights};
use crate::sys::{Errno, Result};
use std::io::{self, IoSliceMut};
use std::os::fd::{OwnedFd, RawFd};

/// Reads from the Unix socket `stream` into `bytes`, and the first descriptor that comes with what
/// is read, close-on-exec. Further ones are closed. Waits like `read`.
///
/// # Errors
/// Those of `recvmsg`; `EMFILE` a descriptor came along for which there was no room: it is lost.
///
/// ```
/// use std::io::Write;
/// use std::os::{fd::AsRawFd, unix::net::UnixStream};
///
/// let (here, mut there) = UnixStream::pair()?;
/// there.write_all(b"no descriptor")?;
/// let mut bytes = [0; 20];
/// let (count, fd) = sendfd_core::read_with_fd(here.as_raw_fd(), &mut bytes)?;
/// assert_eq!(&bytes[..count], b"no descriptor");
/// assert!(fd.is_none());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn read_with_fd(stream: RawFd, bytes: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    read_first(stream, bytes).map_err(|Errno(errno)| io::Error::from_raw_os_error(errno))
}

fn read_first(stream: RawFd, bytes: &mut [u8]) -> Result<(usize, Option<OwnedFd>)> {
    let mut rights = Rights::new();
    let seen = message::receive(stream, &mut [IoSliceMut::new(bytes)], &mut rights, 0)?;
    match rights.take_first() {
        None if seen.rights_cut => Err(Errno(libc::EMFILE)),
        first => Ok((seen.len, first)),
    }
}
