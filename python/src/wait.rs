//! Waiting: without the interpreter's lock, for signal handlers to run, and for other greenlets.

use crate::arguments::Timeout;
use crate::errors::os_error;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use sendfd_core::{Error, Result};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// What a call waits for.
pub(crate) enum Ready {
    Readable(RawFd),
    Writable(OwnedFd),
}

/// Why a call has nothing to give.
pub(crate) enum Failure {
    Call(Error),
    /// Raised by a signal handler, or by what else runs meanwhile.
    Raised(PyErr),
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Failure {
        Failure::Raised(error)
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> PyErr {
        match failure {
            Failure::Call(error) => os_error(error),
            Failure::Raised(error) => error,
        }
    }
}

/// Calls `call` with the time that is left, again after each signal whose handler raises nothing
/// (PEP 475).
///
/// The first call does not wait, and keeps the lock: where other threads compute, it can take
/// milliseconds to get that back.
pub(crate) fn wait<T: Send>(
    py: Python<'_>,
    timeout: Timeout,
    ready: impl Fn() -> Result<Ready>,
    call: impl Fn(Option<Duration>) -> Result<T> + Sync,
) -> std::result::Result<T, Failure> {
    let at_once = Timeout::NOW.0;
    if timeout == Timeout::NOW {
        return call(at_once).map_err(Failure::Call);
    }
    let end = timeout.end();
    // Zero would be another call, with another error.
    let left = || Timeout::until(end).0.map(|left| left.max(Duration::from_nanos(1)));
    let mut to_wait = timeout.0;
    let mut result = call(at_once);
    while is(&result, libc::EAGAIN)
        && Timeout::until(end) != Timeout::NOW
        && runs_others(py, &ready, left())?
    {
        result = call(at_once);
        to_wait = left();
    }
    if is(&result, libc::EAGAIN) {
        result = py.detach(|| call(to_wait));
    }
    while is(&result, libc::EINTR) {
        py.check_signals()?;
        result = py.detach(|| call(left()));
    }
    result.map_err(Failure::Call)
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
