//! Waiting: without the interpreter's lock, and for signal handlers to run.

use crate::arguments::Timeout;
use crate::errors::os_error;
use pyo3::prelude::*;
use sendfd_core::Error;
use std::time::{Duration, Instant};

/// Calls `call` with the time that is left, again after each signal whose handler raises nothing
/// (PEP 475).
pub(crate) fn wait<T: Send>(
    py: Python<'_>,
    Timeout(timeout): Timeout,
    call: impl Fn(Option<Duration>) -> Result<T, Error> + Sync,
) -> PyResult<T> {
    // Such a call never waits, so there is nothing to let others run for.
    let at_once = timeout == Some(Duration::ZERO);
    let end = timeout.filter(|_| !at_once).and_then(|timeout| Instant::now().checked_add(timeout));
    let mut left = timeout;
    loop {
        match if at_once { call(timeout) } else { py.detach(|| call(left)) } {
            Err(error) if error.errno() == libc::EINTR => py.check_signals()?,
            result => return result.map_err(os_error),
        }
        // Zero would be another call, with another error.
        let least = Duration::from_nanos(1);
        left = end.map(|end| end.saturating_duration_since(Instant::now()).max(least));
    }
}
