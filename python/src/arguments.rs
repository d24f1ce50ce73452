//! What callers pass, turned into what the core takes: `TypeError` for the wrong type, `ValueError`
//! for a number out of range, and whatever errno the core has for the rest.

use crate::errors::os_error;
use pyo3::exceptions::{PyOSError, PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyInt, PyMemoryView, PyString};
use sendfd_core::{Address, MAX_DATA, Signal, Target, Task};
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

/// The receiver: `to`, an id or an address, or `pidfd`.
pub(crate) fn target<'py>(
    to: Option<&Bound<'py, PyAny>>,
    pidfd: Option<&Bound<'py, PyAny>>,
) -> PyResult<Target<'static>> {
    match (to, pidfd) {
        (Some(to), None) if to.is_instance_of::<PyString>() => {
            let address = to.extract::<String>()?.parse::<Address>();
            address.map(Target::Address).map_err(os_error)
        }
        (Some(to), None) => {
            Task::new(int("to", to.as_borrowed())?).map(Target::Task).map_err(os_error)
        }
        (None, Some(pidfd)) => {
            Target::pidfd(descriptor("pidfd", pidfd.as_borrowed())?).map_err(os_error)
        }
        _ => Err(PyTypeError::new_err("either to or pidfd= says whom it is for")),
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Signo(pub(crate) Signal);

impl Signo {
    pub(crate) const DEFAULT: Signo = Signo(Signal::DEFAULT);
}

impl<'py> FromPyObject<'_, 'py> for Signo {
    type Error = PyErr;
    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Signo> {
        Signal::new(int("signal", value)?).map(Signo).map_err(os_error)
    }
}

/// An int, or what `fileno()` gives.
pub(crate) struct Descriptor(pub(crate) RawFd);

impl<'py> FromPyObject<'_, 'py> for Descriptor {
    type Error = PyErr;
    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Descriptor> {
        refuse_tls(&value)?;
        descriptor("descriptor", value).map(Descriptor)
    }
}

fn descriptor(name: &str, value: Borrowed<'_, '_, PyAny>) -> PyResult<RawFd> {
    if value.is_instance_of::<PyInt>() {
        return int(name, value);
    }
    let Some(fileno) = value.getattr_opt("fileno")? else {
        return wrong(name, "an int or have a fileno() method", &value);
    };
    int("fileno()", fileno.call0()?.as_borrowed())
}

/// Whoever receives a connection under TLS gets what is encrypted, and not the state to read it.
fn refuse_tls(value: &Bound<'_, PyAny>) -> PyResult<()> {
    if value.is_instance_of::<PyInt>() {
        return Ok(());
    }
    let mut inner = value.clone();
    // What a file is made of: text on buffer on raw on socket.
    for _ in 0..5 {
        if let Some(state) = inner.getattr_opt("_sslobj")? {
            let connected =
                || inner.getattr_opt("_connected")?.map_or(Ok(false), |it| it.is_truthy());
            // After unwrap() it is a connection like any other.
            if !state.is_none() || !connected()? {
                return Err(PyTypeError::new_err(
                    "a TLS socket is of no use to others: its state stays in this process \
                     (detach() gives the descriptor of the plain one)",
                ));
            }
            return Ok(());
        }
        let module = inner.get_type().module()?;
        let next = match &*module.to_cow()? {
            "OpenSSL.SSL" => {
                return Err(PyTypeError::new_err("a TLS connection is of no use to others"));
            }
            "_io" => ["buffer", "raw"],
            "socket" => ["_sock", "_sock"],
            _ => return Ok(()),
        };
        let found = next.into_iter().find_map(|name| inner.getattr_opt(name).transpose());
        let Some(found) = found else { return Ok(()) };
        inner = found?;
    }
    Ok(())
}

/// Anything with the buffer interface; copied unless it is `bytes`, which nobody can change.
pub(crate) struct Data<'py>(Option<Bound<'py, PyBytes>>);

impl Data<'_> {
    pub(crate) const NONE: Self = Data(None);

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], PyBytesMethods::as_bytes)
    }
}

impl<'py> FromPyObject<'_, 'py> for Data<'py> {
    type Error = PyErr;
    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Data<'py>> {
        if let Ok(bytes) = value.cast::<PyBytes>() {
            return Ok(Data(Some(bytes.to_owned())));
        }
        let view = PyMemoryView::from(&value).map_err(|error| {
            if !error.is_instance_of::<PyTypeError>(value.py()) {
                return error;
            }
            let better = wrong_type("data", "a bytes-like object", &value);
            better.set_cause(value.py(), Some(error));
            better
        })?;
        let len: usize = view.getattr("nbytes")?.extract()?;
        if len > MAX_DATA {
            let text = format!("data is too long: {len} bytes, and at most {MAX_DATA} can be sent");
            return Err(PyOSError::new_err((libc::EMSGSIZE, text)));
        }
        Ok(Data(Some(view.call_method0("tobytes")?.cast_into()?)))
    }
}

/// Seconds; `None` is for ever.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Timeout(pub(crate) Option<Duration>);

impl Timeout {
    pub(crate) const NOW: Timeout = Timeout(Some(Duration::ZERO));
    pub(crate) const NEVER: Timeout = Timeout(None);

    /// `None`: never, or beyond what a clock can say.
    pub(crate) fn end(self) -> Option<Instant> {
        self.0.and_then(|timeout| Instant::now().checked_add(timeout))
    }

    /// What is left of it until `end`: never nothing, which would be another call with another error.
    pub(crate) fn rest(self, end: Option<Instant>) -> Timeout {
        if self == Timeout::NOW {
            return self;
        }
        Timeout(Timeout::until(end).0.map(|left| left.max(Duration::from_nanos(1))))
    }

    pub(crate) fn until(end: Option<Instant>) -> Timeout {
        Timeout(end.map(|end| end.saturating_duration_since(Instant::now())))
    }
}

impl<'py> FromPyObject<'_, 'py> for Timeout {
    type Error = PyErr;
    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Timeout> {
        if value.is_none() {
            return Ok(Timeout::NEVER);
        }
        let seconds = value.extract::<f64>().or_else(|error: PyErr| {
            if error.is_instance_of::<PyTypeError>(value.py()) {
                return wrong("timeout", "a number or None", &value);
            }
            Err(out_of_range("timeout", &value, error))
        })?;
        // A wait that was asked for is never none at all.
        let least = if seconds > 0.0 { Duration::from_nanos(1) } else { Duration::ZERO };
        match Duration::try_from_secs_f64(seconds) {
            Ok(timeout) => Ok(Timeout(Some(timeout.max(least)))),
            Err(_) => Err(PyValueError::new_err(format!("timeout is out of range: {seconds}"))),
        }
    }
}

/// The number of a user or group.
pub(crate) struct Id(pub(crate) u32);

impl<'py> FromPyObject<'_, 'py> for Id {
    type Error = PyErr;
    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Id> {
        let name = "a user or group";
        if !value.is_instance_of::<PyInt>() || value.is_instance_of::<PyBool>() {
            return wrong(name, "an int", &value);
        }
        value.extract::<u32>().map(Id).map_err(|error| out_of_range(name, &value, error))
    }
}

fn int(name: &str, value: Borrowed<'_, '_, PyAny>) -> PyResult<i32> {
    if !value.is_instance_of::<PyInt>() || value.is_instance_of::<PyBool>() {
        return wrong(name, "an int", &value);
    }
    value.extract::<i32>().map_err(|error| out_of_range(name, &value, error))
}

fn wrong<T>(name: &str, wanted: &str, value: &Bound<'_, PyAny>) -> PyResult<T> {
    Err(wrong_type(name, wanted, value))
}

fn wrong_type(name: &str, wanted: &str, value: &Bound<'_, PyAny>) -> PyErr {
    match value.get_type().name() {
        Ok(kind) => PyTypeError::new_err(format!("{name} must be {wanted}, not {kind}")),
        Err(error) => error,
    }
}

/// What Python calls an overflow is a value like any other that is wrong.
fn out_of_range(name: &str, value: &Bound<'_, PyAny>, error: PyErr) -> PyErr {
    if error.is_instance_of::<PyOverflowError>(value.py()) {
        PyValueError::new_err(format!("{name} is out of range: {value}"))
    } else {
        error
    }
}
