//! What callers pass, turned into what the core takes: `TypeError` for the wrong type, `ValueError`
//! for a number out of range, and whatever errno the core has for the rest.

use crate::errors::os_error;
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyInt, PyMemoryView};
use sendfd_core::{Signal, Task};
use std::os::fd::RawFd;
use std::time::Duration;

pub(crate) struct Pid(pub(crate) Task);

impl<'py> FromPyObject<'_, 'py> for Pid {
    type Error = PyErr;
    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Pid> {
        Task::new(int("pid", value)?).map(Pid).map_err(os_error)
    }
}

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
        if value.is_instance_of::<PyInt>() {
            return int("descriptor", value).map(Descriptor);
        }
        let Some(fileno) = value.getattr_opt("fileno")? else {
            return wrong("descriptor", "an int or have a fileno() method", &value);
        };
        int("fileno()", fileno.call0()?.as_borrowed()).map(Descriptor)
    }
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
        let Ok(view) = PyMemoryView::from(&value) else {
            return wrong("data", "a bytes-like object", &value);
        };
        Ok(Data(Some(view.call_method0("tobytes")?.cast_into()?)))
    }
}

/// Seconds; `None` is for ever.
#[derive(Clone, Copy)]
pub(crate) struct Timeout(pub(crate) Option<Duration>);

impl Timeout {
    pub(crate) const NOW: Timeout = Timeout(Some(Duration::ZERO));
    pub(crate) const NEVER: Timeout = Timeout(None);
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

fn int(name: &str, value: Borrowed<'_, '_, PyAny>) -> PyResult<i32> {
    if !value.is_instance_of::<PyInt>() || value.is_instance_of::<PyBool>() {
        return wrong(name, "an int", &value);
    }
    value.extract::<i32>().map_err(|error| out_of_range(name, &value, error))
}

fn wrong<T>(name: &str, wanted: &str, value: &Bound<'_, PyAny>) -> PyResult<T> {
    let kind = value.get_type().name()?;
    Err(PyTypeError::new_err(format!("{name} must be {wanted}, not {kind}")))
}

/// What Python calls an overflow is a value like any other that is wrong.
fn out_of_range(name: &str, value: &Bound<'_, PyAny>, error: PyErr) -> PyErr {
    if error.is_instance_of::<PyOverflowError>(value.py()) {
        PyValueError::new_err(format!("{name} is out of range: {value}"))
    } else {
        error
    }
}
