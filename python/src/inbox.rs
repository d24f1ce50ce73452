//! The receiving end.

use crate::arguments::{Signo, Timeout};
use crate::errors::os_error;
use crate::parcel::Parcel;
use crate::wait::{Ready, wait};
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use sendfd_core::Options;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An inbox without the parts that are Python's own (see sendfd.Inbox).
#[pyclass(subclass, frozen, module = "sendfd._sendfd")]
pub(crate) struct Mailbox {
    /// Each call holds the mailbox while it lasts, so that `close` waits for nobody.
    open: Mutex<Option<Arc<sendfd_core::Mailbox>>>,
    signo: i32,
    options: Options,
}

#[pymethods]
impl Mailbox {
    #[new]
    #[pyo3(
        signature = (signal = Signo::DEFAULT, *, thread = false, signals = false),
        text_signature = "(signal=50, *, thread=False, signals=False)"
    )]
    fn new(py: Python<'_>, signal: Signo, thread: bool, signals: bool) -> PyResult<Mailbox> {
        let (Signo(signal), options) = (signal, Options { thread, signals });
        // Waits where a name is still held by a child that was forked a moment ago.
        let mailbox =
            py.detach(|| sendfd_core::Mailbox::open(signal, options)).map_err(os_error)?;
        let open = Mutex::new(Some(Arc::new(mailbox)));
        Ok(Mailbox { open, signo: signal.number(), options })
    }

    /// The signal number that it was opened for.
    #[getter]
    fn signal(&self) -> i32 {
        self.signo
    }

    /// Whether it is addressed by the id of the thread that opened it.
    #[getter]
    fn thread(&self) -> bool {
        self.options.thread
    }

    /// Whether it queues signals to that thread, which alone may use it then.
    #[getter]
    fn signals(&self) -> bool {
        self.options.signals
    }

    /// Whether close() has been called.
    #[getter]
    fn closed(&self) -> bool {
        self.lock().is_none()
    }

    /// The descriptor that polls readable while there is mail, from any thread.
    fn fileno(&self) -> PyResult<RawFd> {
        self.held()?.fileno().map_err(os_error)
    }

    /// Takes the next parcel. Waits for it up to `timeout` seconds; None waits for ever.
    ///
    /// Raises TimeoutError (nothing came in time), BlockingIOError (nothing there, timeout 0),
    /// or another OSError by errno: EMFILE (no room for the descriptors: the parcel is kept), EBADF
    /// (closed, now or meanwhile), EPERM (with signals: another thread; opened before a fork).
    #[pyo3(signature = (timeout = Timeout::NEVER), text_signature = "($self, timeout=None)")]
    fn recv(&self, py: Python<'_>, timeout: Timeout) -> PyResult<Parcel> {
        let mailbox = self.held()?;
        let taken =
            wait(py, timeout, || mailbox.fileno().map(Ready::Readable), |left| mailbox.recv(left));
        if self.closed() {
            release(py, mailbox);
        }
        taken.map(Parcel::new)
    }

    /// Closes it: mail that nobody took is released, waiting threads wake up. May be repeated.
    fn close(&self, py: Python<'_>) {
        let open = self.lock().take();
        if let Some(mailbox) = open {
            // Opened before a fork: there is nothing to wake up, and release() sees to the rest.
            let _ = mailbox.shutdown();
            release(py, mailbox);
        }
    }
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Option<Arc<sendfd_core::Mailbox>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> PyResult<Arc<sendfd_core::Mailbox>> {
        self.lock().clone().ok_or_else(|| {
            let text = format!("the inbox for signal {} is closed", self.signo);
            PyOSError::new_err((libc::EBADF, text))
        })
    }
}

/// Whoever lets go of it last closes what is queued, which can take its time.
fn release(py: Python<'_>, mailbox: Arc<sendfd_core::Mailbox>) {
    py.detach(|| drop(mailbox));
}
