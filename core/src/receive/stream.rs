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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::alone::{is_alone, limit_descriptors};
    use std::io::Write;
    use std::os::fd::{AsFd, AsRawFd};
    use std::os::unix::net::UnixStream;
    use std::time::{Duration, Instant};

    #[test]
    fn one_for_which_there_is_no_room_is_told_of() {
        if !is_alone("receive::stream::tests::one_for_which_there_is_no_room_is_told_of") {
            return;
        }
        let (here, there) = UnixStream::pair().expect("two sockets");
        let send = || {
            let mut bytes = [std::io::IoSlice::new(b"x")];
            message::send(there.as_fd(), &mut bytes, &[there.as_raw_fd()], message::Only::Any)
        };
        send().expect("room");
        send().expect("room");
        limit_descriptors(64);
        let mut hoard = Vec::new();
        let full = loop {
            match there.try_clone() {
                Ok(copy) => hoard.push(copy),
                Err(error) => break error,
            }
        };
        assert_eq!(full.raw_os_error(), Some(libc::EMFILE));
        let lost = read_with_fd(here.as_raw_fd(), &mut [0]);
        assert_eq!(lost.expect_err("no room").raw_os_error(), Some(libc::EMFILE));
        hoard.pop();
        let (count, fd) = read_with_fd(here.as_raw_fd(), &mut [0]).expect("room");
        assert_eq!((count, fd.is_some()), (1, true));
    }

    fn pidfds() -> usize {
        let links = std::fs::read_dir("/proc/self/fd").expect("it is there");
        let targets = links.filter_map(|link| std::fs::read_link(link.ok()?.path()).ok());
        targets.filter(|target| target.to_string_lossy().contains("pidfd")).count()
    }

    #[test]
    fn nobody_waits_for_what_is_not_wanted() {
        let (socket, other) = crate::sys::release::tests::lingering();
        let (here, there) = UnixStream::pair().expect("two sockets");
        let fds = [there.as_raw_fd(), socket.as_raw_fd()];
        let mut bytes = [std::io::IoSlice::new(b"x")];
        message::send(there.as_fd(), &mut bytes, &fds, message::Only::Any).expect("room");
        drop(socket);
        let start = Instant::now();
        let (count, fd) = read_with_fd(here.as_raw_fd(), &mut [0]).expect("a byte");
        assert_eq!((count, fd.is_some()), (1, true));
        assert!(start.elapsed() < Duration::from_secs(5));
        drop(other);
    }

    /// KERNEL(6.5): with `SO_PASSPIDFD` each message brings a pidfd of its sender.
    #[test]
    fn a_pidfd_that_comes_along_is_closed() {
        const SO_PASSPIDFD: libc::c_int = 76;
        const READS: usize = 100;
        let (here, mut there) = UnixStream::pair().expect("two sockets");
        if crate::sys::socket::set_flag(&here, SO_PASSPIDFD).is_err() {
            return;
        }
        for _ in 0..READS {
            there.write_all(b"x").expect("room");
            let (count, fd) = read_with_fd(here.as_raw_fd(), &mut [0]).expect("a byte");
            assert_eq!((count, fd.is_none()), (1, true));
        }
        assert!(pidfds() < READS, "each read leaves a pidfd");
    }
}
