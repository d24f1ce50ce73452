//! The receiving end.

use crate::arguments::{Id, Signo, Timeout};
use crate::errors::os_error;
use crate::no_room::{self, NoRoom};
use crate::parcel::Parcel;
use crate::wait::{Failure, Ready, pause, wait};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use sendfd_core::Options;
use std::ffi::OsStr;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// An inbox without the parts that are Python's own (see sendfd.Inbox).
#[pyclass(subclass, frozen, module = "sendfd._sendfd")]
pub(crate) struct Mailbox {
    /// No other one of this process has it.
    serial: u64,
    state: Mutex<State>,
    opened: OnceLock<Opened>,
    no_room: NoRoom,
}

static NEXT: AtomicU64 = AtomicU64::new(1);

/// What an error says of a parcel that stays in the queue.
const PARCEL_OF_ERROR: &str = "parcel_id";
const INBOX_OF_ERROR: &str = "_inbox";

enum State {
    New,
    /// Each call holds the mailbox while it lasts, so that `close` waits for nobody.
    Open(Arc<sendfd_core::Mailbox>),
    Closed,
}

/// What it was opened with.
struct Opened {
    signo: i32,
    thread: bool,
    signals: bool,
}

#[pymethods]
impl Mailbox {
    /// Arguments are for __init__, which opens it: a subclass may have others.
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Mailbox {
        let (state, opened) = (Mutex::new(State::New), OnceLock::new());
        let serial = NEXT.fetch_add(1, Ordering::Relaxed);
        Mailbox { serial, state, opened, no_room: NoRoom::default() }
    }

    /// Opens it; once.
    #[allow(clippy::too_many_arguments, reason = "as __init__ has them")]
    #[allow(clippy::needless_pass_by_value, reason = "extracted arguments")]
    fn _open(
        &self,
        py: Python<'_>,
        signal: Signo,
        thread: bool,
        signals: bool,
        users: Vec<Id>,
        groups: Vec<Id>,
        anyone: bool,
        directory: Option<&[u8]>,
    ) -> PyResult<()> {
        let Signo(signal) = signal;
        let numbers = |ids: &[Id]| ids.iter().map(|Id(id)| *id).collect::<Vec<_>>();
        let (uids, gids) = (numbers(&users), numbers(&groups));
        let directory = directory.map(|path| Path::new(OsStr::from_bytes(path)));
        let options = Options { thread, signals, uids: &uids, gids: &gids, anyone, directory };
        if self.opened.set(Opened { signo: signal.number(), thread, signals }).is_err() {
            return Err(PyValueError::new_err("this inbox has been opened already"));
        }
        // Waits where a name is still held by a child that was forked a moment ago.
        let mailbox =
            py.detach(|| sendfd_core::Mailbox::open(signal, options)).map_err(os_error)?;
        *self.lock() = State::Open(Arc::new(mailbox));
        Ok(())
    }

    /// The text by which it can be reached without its process's pid being visible; no secret, and no
    /// permission.
    #[getter]
    fn address(&self) -> PyResult<String> {
        self.held()?.address().map(|address| address.to_string()).map_err(os_error)
    }

    /// The signal number that it was opened for.
    #[getter]
    fn signal(&self) -> PyResult<i32> {
        self.opened().map(|opened| opened.signo)
    }

    /// Whether it is addressed by the id of the thread that opened it.
    #[getter]
    fn thread(&self) -> PyResult<bool> {
        self.opened().map(|opened| opened.thread)
    }

    /// Whether it queues signals to that thread, which alone may use it then.
    #[getter]
    fn signals(&self) -> PyResult<bool> {
        self.opened().map(|opened| opened.signals)
    }

    /// Whether it is closed, or was never opened.
    #[getter]
    fn closed(&self) -> bool {
        !matches!(*self.lock(), State::Open(_))
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
    ///
    /// EMFILE comes at once, and for the same parcel again after a second: a call waits so long for
    /// room, or as long as `timeout` says.
    #[pyo3(signature = (timeout = Timeout::NEVER), text_signature = "($self, timeout=None)")]
    fn recv(&self, py: Python<'_>, timeout: Timeout) -> PyResult<Parcel> {
        let mailbox = self.held()?;
        let taken = self.take(py, &mailbox, timeout);
        if self.closed() {
            release(py, mailbox);
        }
        taken.map(Parcel::new)
    }

    /// Throws away the parcel that `error` tells of, which recv() could not take: its descriptors are
    /// released unseen.
    ///
    /// Raises BlockingIOError (it has been taken or discarded meanwhile), ValueError (`error` tells of
    /// no parcel of this inbox), or an OSError as recv() does.
    fn discard(&self, error: &Bound<'_, PyAny>) -> PyResult<()> {
        let mailbox = self.held()?;
        let inbox = error.getattr_opt(INBOX_OF_ERROR)?.map(|inbox| inbox.extract::<u64>());
        if inbox.transpose()? != Some(self.serial) {
            return Err(PyValueError::new_err("the error tells of no parcel of this inbox"));
        }
        mailbox.discard(error.getattr(PARCEL_OF_ERROR)?.extract()?).map_err(os_error)
    }

    /// Whether it has not been said for a second that there is no room for this parcel.
    fn _is_news(&self, parcel_id: u64) -> bool {
        self.no_room.is_news(parcel_id)
    }

    /// Closes it: mail that nobody took is released, waiting threads wake up. May be repeated.
    fn close(&self, py: Python<'_>) {
        let mut state = self.lock();
        if let State::Open(_) = *state {
            let was = std::mem::replace(&mut *state, State::Closed);
            drop(state);
            if let State::Open(mailbox) = was {
                // Opened before a fork: there is nothing to wake up, and release() sees to the rest.
                let _ = mailbox.shutdown();
                release(py, mailbox);
            }
        }
    }
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened(&self) -> PyResult<&Opened> {
        self.opened.get().ok_or_else(|| PyValueError::new_err("this inbox has not been opened"))
    }

    fn held(&self) -> PyResult<Arc<sendfd_core::Mailbox>> {
        let signo = self.opened()?.signo;
        if let State::Open(mailbox) = &*self.lock() {
            return Ok(Arc::clone(mailbox));
        }
        let text = format!("the inbox for signal {signo} is closed");
        Err(PyOSError::new_err((libc::EBADF, text)))
    }

    fn take(
        &self,
        py: Python<'_>,
        mailbox: &sendfd_core::Mailbox,
        timeout: Timeout,
    ) -> PyResult<sendfd_core::Parcel> {
        let end = timeout.end();
        let mut left = timeout;
        loop {
            let ready = || mailbox.fileno().map(Ready::Readable);
            let error = match wait(py, left, ready, |left| mailbox.recv(left)) {
                Err(Failure::Call(error)) => error,
                taken => return taken.map_err(PyErr::from),
            };
            left = Timeout::until(end);
            let id = error.parcel().map_or(0, |parcel| parcel.id);
            let no_room = no_room::is_errno(error.errno());
            if !no_room || left == Timeout::NOW || self.no_room.is_news(id) {
                return Err(self.error(py, error));
            }
            // KERNEL: nothing tells when a table has room again.
            pause(py, left)?;
        }
    }

    /// Tells of the parcel that was met, too.
    fn error(&self, py: Python<'_>, error: sendfd_core::Error) -> PyErr {
        let (raised, parcel) = (os_error(error), error.parcel());
        let tell = |id| {
            raised.value(py).setattr(PARCEL_OF_ERROR, id)?;
            raised.value(py).setattr(INBOX_OF_ERROR, self.serial)
        };
        match parcel.map_or(Ok(()), |parcel| tell(parcel.id)) {
            Ok(()) => raised,
            Err(error) => error,
        }
    }
}

/// Whoever lets go of it last closes what is queued, which can take its time.
fn release(py: Python<'_>, mailbox: Arc<sendfd_core::Mailbox>) {
    py.detach(|| drop(mailbox));
}
