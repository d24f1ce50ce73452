//! Exceptions: the builtin ones, chosen by errno.

use pyo3::exceptions::PyOSError;
use pyo3::prelude::PyAnyMethods;
use pyo3::{PyErr, Python};
use sendfd_core::Error;
use std::io;

/// `OSError(errno, text)` makes itself the subclass that belongs to the number.
#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
pub(crate) fn os_error(error: Error) -> PyErr {
    PyOSError::new_err((error.errno(), error.to_string()))
}

/// The same for a plain system call, with the text that Python's own functions have.
pub(crate) fn system_error(py: Python<'_>, error: &io::Error) -> PyErr {
    let errno = error.raw_os_error();
    match py.import("os").and_then(|os| os.call_method1("strerror", (errno,))) {
        Ok(text) => PyOSError::new_err((errno, text.unbind())),
        Err(error) => error,
    }
}
