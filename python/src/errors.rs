//! Exceptions: the builtin ones, chosen by errno.

use pyo3::PyErr;
use pyo3::exceptions::PyOSError;
use sendfd_core::Error;

/// `OSError(errno, text)` makes itself the subclass that belongs to the number.
#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
pub(crate) fn os_error(error: Error) -> PyErr {
    PyOSError::new_err((error.errno(), error.to_string()))
}
