//! Waiting: without the interpreter's lock, for signal handlers to run, and for other greenlets.

use crate::arguments::Timeout;
use crate::errors::os_error;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use sendfd_core::{Awaited, Error, Result};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// What a call waits for.
pub(crate) enum Ready {
    Readable(RawFd),
    Writable(RawFd),
    /// Only for this.
    Room(OwnedFd, Awaited),
    /// Nothing tells when.
    Later,
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
    wait_for(py, timeout, &[libc::EAGAIN], ready, call)
}

/// The same, where these errors mean that it is to be waited for.
pub(crate) fn wait_for<T: Send>(
    py: Python<'_>,
    timeout: Timeout,
    not_yet: &[i32],
    ready: impl Fn() -> Result<Ready>,
    call: impl Fn(Option<Duration>) -> Result<T> + Sync,
) -> std::result::Result<T, Failure> {
    let mut result = call(Timeout::NOW.0);
    if timeout == Timeout::NOW {
        return result.map_err(Failure::Call);
    }
    let end = timeout.end();
    let mut left = timeout;
    while is(&result, not_yet)
        && Timeout::until(end) != Timeout::NOW
        && runs_others(py, &ready, left)?
    {
        result = call(Timeout::NOW.0);
        left = timeout.rest(end);
    }
    if is(&result, not_yet) {
        result = py.detach(|| call(left.0));
    }
    while is(&result, &[libc::EINTR]) {
        py.check_signals()?;
        result = py.detach(|| call(timeout.rest(end).0));
    }
    result.map_err(Failure::Call)
}

fn is<T>(result: &Result<T>, errnos: &[i32]) -> bool {
    result.as_ref().is_err_and(|error| errnos.contains(&error.errno()))
}

/// By Python's own function, since that is what gevent and eventlet replace.
pub(crate) fn pause(py: Python<'_>, left: Timeout) -> PyResult<()> {
    const LOOK_AGAIN: Duration = Duration::from_millis(50);
    let pause = left.0.map_or(LOOK_AGAIN, |left| left.min(LOOK_AGAIN));
    py.import("time")?.call_method1("sleep", (pause.as_secs_f64(),)).map(drop)
}

/// Waits in gevent or eventlet, where one of them runs this thread.
fn runs_others(py: Python<'_>, ready: impl Fn() -> Result<Ready>, left: Timeout) -> PyResult<bool> {
    let modules = py.import("sys")?.getattr("modules")?.cast_into::<PyDict>()?;
    if !modules.contains("gevent")? && !modules.contains("eventlet")? {
        return Ok(false);
    }
    let green = py.import("sendfd._green")?;
    let seconds = left.0.map(|left| left.as_secs_f64());
    let waited = match ready().map_err(os_error)? {
        Ready::Readable(fd) => green.call_method1("wait", (fd, false, seconds)),
        Ready::Writable(fd) => green.call_method1("wait", (fd, true, seconds)),
        Ready::Room(fd, awaited) => {
            let write = awaited == Awaited::Writable;
            green.call_method1("wait", (fd.as_raw_fd(), write, seconds))
        }
        Ready::Later => green.call_method1("look_again", (seconds,)),
    };
    waited?.extract()
}
