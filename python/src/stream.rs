//! Reading from a Unix socket what may bring a descriptor along.

use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::io::IoSliceMut;
use std::os::fd::RawFd;

/// The most that is read at once.
const MOST: usize = 64;

/// Room for all that the kernel passes in one message, so that none is cut off unseen.
type Control = [RawFd; 253];

/// Reads up to `size` bytes from the socket `fd`, and the descriptor that may come with them.
#[pyfunction]
pub(crate) fn receive(
    py: Python<'_>,
    fd: RawFd,
    size: usize,
) -> PyResult<(Bound<'_, PyBytes>, Option<RawFd>)> {
    let mut buffer = [0; MOST];
    let Some(bytes) = buffer.get_mut(..size) else {
        return Err(PyValueError::new_err(format!("at most {MOST} bytes")));
    };
    loop {
        match py.detach(|| read(fd, bytes)) {
            Ok((count, handle)) => return Ok((PyBytes::new(py, &bytes[..count]), handle)),
            Err(Errno::EINTR) => py.check_signals()?,
            Err(errno) => return Err(PyOSError::new_err((errno as i32, errno.desc()))),
        }
    }
}

fn read(fd: RawFd, bytes: &mut [u8]) -> Result<(usize, Option<RawFd>), Errno> {
    let mut control = nix::cmsg_space!(Control);
    let mut parts = [IoSliceMut::new(bytes)];
    let message = recvmsg::<()>(fd, &mut parts, Some(&mut control), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let mut handle = None;
    // What is cut off was not installed: there was no room in the table.
    for part in message.cmsgs().map_err(|_| Errno::EMFILE)? {
        if let ControlMessageOwned::ScmRights(fds) = part {
            for fd in fds {
                if handle.is_some() {
                    let _ = nix::unistd::close(fd);
                } else {
                    handle = Some(fd);
                }
            }
        }
    }
    Ok((message.bytes, handle))
}
