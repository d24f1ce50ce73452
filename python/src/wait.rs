//! Waiting: without the interpreter's lock, and for signal handlers to run.

use crate::arguments::Timeout;
use crate::errors::os_error;
use pyo3::prelude::*;
use sendfd_core::Error;
use std::time::{Duration, Instant};

/// Calls `call` with the time that is left, again after each signal whose handler raises nothing
/// (PEP 475).
///
/// The first call does not wait, and keeps the lock: where other threads compute, it can take
/// milliseconds to get that back.
pub(crate) fn wait<T: Send>(
    py: Python<'_>,
    Timeout(timeout): Timeout,
    call: impl Fn(Option<Duration>) -> Result<T, Error> + Sync,
) -> PyResult<T> {
    let at_once = Some(Duration::ZERO);
    if timeout == at_once {
        return call(at_once).map_err(os_error);
    }
    let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut result = call(at_once);
    if result.as_ref().is_err_and(|error| error.errno() == libc::EAGAIN) {
        result = py.detach(|| call(timeout));
    }
    while result.as_ref().is_err_and(|error| error.errno() == libc::EINTR) {
        py.check_signals()?;
        // Zero would be another call, with another error.
        let least = Duration::from_nanos(1);
        let left = end.map(|end| end.saturating_duration_since(Instant::now()).max(least));
        result = py.detach(|| call(left));
    }
    result.map_err(os_error)
}
