//! Waiting: without the interpreter's lock, for signal handlers to run, and for other greenlets.

use crate::arguments::Timeout;
use crate::errors::os_error;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use sendfd_core::Result;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

const AT_ONCE: Option<Duration> = Some(Duration::ZERO);

/// What a call waits for.
pub(crate) enum Ready {
    Readable(RawFd),
    Writable(OwnedFd),
}

/// Calls `call` with the time that is left, again after each signal whose handler raises nothing
/// (PEP 475).
///
/// The first call does not wait, and keeps the lock: where other threads compute, it can take
/// milliseconds to get that back.
pub(crate) fn wait<T: Send>(
    py: Python<'_>,
    Timeout(timeout): Timeout,
    ready: impl Fn() -> Result<Ready>,
    call: impl Fn(Option<Duration>) -> Result<T> + Sync,
) -> PyResult<T> {
    if timeout == AT_ONCE {
        return call(AT_ONCE).map_err(os_error);
    }
    let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let left = || end.map(|end| end.saturating_duration_since(Instant::now()));
    let mut left_of_it = timeout;
    let mut result = call(AT_ONCE);
    while is(&result, libc::EAGAIN) && left() != AT_ONCE && runs_others(py, &ready, left())? {
        result = call(AT_ONCE);
        left_of_it = not_nothing(left());
    }
    if is(&result, libc::EAGAIN) {
        result = py.detach(|| call(left_of_it));
    }
    while is(&result, libc::EINTR) {
        py.check_signals()?;
        result = py.detach(|| call(not_nothing(left())));
    }
    result.map_err(os_error)
}

/// Zero would be another call, with another error.
fn not_nothing(left: Option<Duration>) -> Option<Duration> {
    left.map(|left| left.max(Duration::from_nanos(1)))
}

fn is<T>(result: &Result<T>, errno: i32) -> bool {
    result.as_ref().is_err_and(|error| error.errno() == errno)
}

/// Waits in gevent or eventlet, where one of them runs this thread.
fn runs_others(
    py: Python<'_>,
    ready: impl Fn() -> Result<Ready>,
    left: Option<Duration>,
) -> PyResult<bool> {
    let modules = py.import("sys")?.getattr("modules")?.cast_into::<PyDict>()?;
    if !modules.contains("gevent")? && !modules.contains("eventlet")? {
        return Ok(false);
    }
    let green = py.import("sendfd._green")?;
    let left = left.map(|left| left.as_secs_f64());
    let waited = match ready() {
        Ok(Ready::Readable(fd)) => green.call_method1("readable", (fd, left)),
        Ok(Ready::Writable(fd)) => green.call_method1("writable", (fd.as_raw_fd(), left)),
        Err(error) => Err(os_error(error)),
    };
    waited?.extract()
}
