//! Reading from a Unix socket what may bring a descriptor along.

use crate::errors::system_error;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::io::ErrorKind;
use std::os::fd::{IntoRawFd, RawFd};

/// The most that is read at once.
const MOST: usize = 64;

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
        match py.detach(|| sendfd_core::read_with_fd(fd, bytes)) {
            Ok((count, handle)) => {
                return Ok((PyBytes::new(py, &bytes[..count]), handle.map(IntoRawFd::into_raw_fd)));
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => py.check_signals()?,
            Err(error) => return Err(system_error(py, &error)),
        }
    }
}
