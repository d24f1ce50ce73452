//! Exceptions: the builtin ones, chosen by errno.

use pyo3::exceptions::PyOSError;
use pyo3::prelude::PyAnyMethods;
use pyo3::{PyErr, Python};
use sendfd_core::{Error, Target};
use std::io;

/// `OSError(errno, text)` makes itself the subclass that belongs to the number.
#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
pub(crate) fn os_error(error: Error) -> PyErr {
    PyOSError::new_err((error.errno(), error.to_string()))
}

/// An int that is a pidfd of this process is easily taken for a pid; then the error says so.
pub(crate) fn with_hint(py: Python<'_>, error: PyErr, target: Target<'_>) -> PyErr {
    let hinted = || {
        let Target::Task(task) = target else { return None };
        let id = task.id();
        let link = std::fs::read_link(format!("/proc/self/fd/{id}")).ok()?;
        let link = link.to_str()?;
        // KERNEL(6.9): from then on it is a file of pidfs.
        let is_pidfd = link == "anon_inode:[pidfd]" || link.starts_with("pidfd:[");
        let value = error.value(py);
        let errno: i32 = value.getattr("errno").ok()?.extract().ok()?;
        let nobody = [libc::ESRCH, libc::ECONNREFUSED, libc::EPERM].contains(&errno);
        let text: String = value.getattr("strerror").ok()?.extract().ok()?;
        let hint =
            format!("{text}; descriptor {id} is a pidfd of this process: meant is pidfd={id}?");
        (is_pidfd && nobody).then(|| PyOSError::new_err((errno, hint)))
    };
    hinted().unwrap_or(error)
}

/// The same for a plain system call, with the text that Python's own functions have.
pub(crate) fn system_error(py: Python<'_>, error: &io::Error) -> PyErr {
    let errno = error.raw_os_error();
    match py.import("os").and_then(|os| os.call_method1("strerror", (errno,))) {
        Ok(text) => PyOSError::new_err((errno, text.unbind())),
        Err(error) => error,
    }
}
