//! An answer that is awaited.

use crate::arguments::Timeout;
use crate::parcel::Parcel;
use crate::wait::{Ready, wait};
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The place where an answer comes. It polls readable when it is there, or will never be.
#[pyclass(frozen, module = "sendfd._sendfd")]
pub(crate) struct Answer(Mutex<Option<Arc<sendfd_core::Answer>>>);

#[pymethods]
impl Answer {
    fn fileno(&self) -> PyResult<RawFd> {
        self.held().map(|answer| answer.as_raw_fd())
    }

    /// Takes the answer, once. Waits for it up to `timeout` seconds; None waits for ever.
    #[pyo3(signature = (timeout = Timeout::NEVER), text_signature = "($self, timeout=None)")]
    pub(crate) fn recv(&self, py: Python<'_>, timeout: Timeout) -> PyResult<Parcel> {
        let answer = self.held()?;
        let ready = || Ok(Ready::Readable(answer.as_raw_fd()));
        let taken = wait(py, timeout, ready, |left| answer.recv(left))?;
        Ok(Parcel::new(taken))
    }

    /// Gives up the wish: whoever answers then gets BrokenPipeError. May be repeated.
    fn close(&self, py: Python<'_>) {
        let answer = self.lock().take();
        py.detach(|| drop(answer));
    }
}

impl Answer {
    pub(crate) fn new(answer: sendfd_core::Answer) -> Answer {
        Answer(Mutex::new(Some(Arc::new(answer))))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<sendfd_core::Answer>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> PyResult<Arc<sendfd_core::Answer>> {
        let closed = || PyOSError::new_err((libc::EBADF, "the answer is no longer awaited"));
        self.lock().clone().ok_or_else(closed)
    }
}
