//! The sending end that tells what became of it.

use crate::answer::Answer;
use crate::arguments::{Data, Signo, Timeout, target};
use crate::errors::{os_error, with_hint};
use crate::no_room;
use crate::parcel::Parcel;
use crate::send::Descriptors;
use crate::wait::{Failure, Ready, pause, wait, wait_for};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use sendfd_core::{Awaited, Signal, Target};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// An outbox without the parts that are Python's own (see sendfd.Outbox).
#[pyclass(subclass, frozen, module = "sendfd._sendfd")]
pub(crate) struct HeldLink {
    state: Mutex<State>,
}

enum State {
    New,
    /// Each call holds it while it lasts, so that `close` waits for nobody.
    Open(Arc<sendfd_core::Outbox>),
    Closed,
}

#[pymethods]
impl HeldLink {
    /// Arguments are for __init__, which opens it: a subclass may have others.
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> HeldLink {
        HeldLink { state: Mutex::new(State::New) }
    }

    /// Opens it; once.
    fn _open(
        &self,
        py: Python<'_>,
        to: Option<&Bound<'_, PyAny>>,
        pidfd: Option<&Bound<'_, PyAny>>,
        signal: Signo,
        timeout: Timeout,
    ) -> PyResult<()> {
        let target = target(to, pidfd)?;
        let outbox = open(py, target, signal.0, timeout)
            .map_err(|failure| with_hint(py, failure.into(), target))?;
        let mut state = self.lock();
        if !matches!(*state, State::New) {
            return Err(PyValueError::new_err("this outbox has been opened already"));
        }
        *state = State::Open(Arc::new(outbox));
        Ok(())
    }

    /// Whether it is closed, or was never opened.
    #[getter]
    fn closed(&self) -> bool {
        !matches!(*self.lock(), State::Open(_))
    }

    /// The descriptor that polls writable while there is room, and hangs up with the receiver.
    fn fileno(&self) -> PyResult<RawFd> {
        self.held().map(|outbox| outbox.as_raw_fd())
    }

    /// Queues descriptors and bytes, as one parcel, like send(). In a full queue it waits for room up
    /// to `timeout` seconds; None waits for ever.
    ///
    /// Raises BrokenPipeError (the inbox is closed, or its process is dead), BlockingIOError (its queue
    /// is full), TimeoutError (it stayed full), PermissionError (opened before a fork, or no guest of
    /// the receiver's), or another OSError by errno.
    #[pyo3(
        signature = (*fds, data = Data::NONE, timeout = Timeout::NOW),
        text_signature = "($self, *fds, data=b'', timeout=0)"
    )]
    #[allow(clippy::needless_pass_by_value, reason = "extracted arguments")]
    fn send<'py>(
        &self,
        py: Python<'py>,
        fds: &Bound<'py, PyTuple>,
        data: Data<'py>,
        timeout: Timeout,
    ) -> PyResult<()> {
        let (outbox, fds, data) = (self.held()?, Descriptors::of(fds)?, data.as_bytes());
        let ready = || Ok(ready_to_send(&outbox));
        wait(py, timeout, ready, |left| outbox.send(fds.with(data).timeout(left).interruptible()))
            .map_err(PyErr::from)
    }

    /// Waits up to `timeout` seconds until the receiver has taken all that was sent through this outbox;
    /// None waits for ever. Taken means: out of the queue and in that process's hands, or discarded by
    /// it on purpose. It does not mean: used.
    ///
    /// Raises BlockingIOError or TimeoutError (not yet), ConnectionResetError (the inbox was closed, or
    /// its process died, with something untaken: the kernel has released it), PermissionError (opened
    /// before a fork), or another OSError by errno.
    #[pyo3(signature = (timeout = Timeout::NEVER), text_signature = "($self, timeout=None)")]
    fn wait_taken(&self, py: Python<'_>, timeout: Timeout) -> PyResult<()> {
        let outbox = self.held()?;
        // For event loops of greenlets alone.
        let watch = OnceLock::new();
        let ready = || {
            if watch.get().is_none() {
                let _ = watch.set(outbox.watch_taken()?);
            }
            Ok(watch.get().map_or(Ready::Later, |watch| Ready::Readable(watch.as_raw_fd())))
        };
        wait(py, timeout, ready, |left| match watch.get().map(sendfd_core::TakenWatch::is_taken) {
            Some(Ok(true)) => Ok(()),
            _ => outbox.wait_taken(left),
        })
        .map_err(PyErr::from)
    }

    /// Sends a request, and waits up to `timeout` seconds for its answer; None waits for ever.
    ///
    /// Raises ConnectionResetError (there will be no answer: the parcel was closed or forgotten, or its
    /// process has died), BlockingIOError or TimeoutError (none in time), or OSError as send() does.
    /// EMFILE: no descriptor left for the request, which takes two, or no room for those of the answer;
    /// then the error has an attribute `answer`, whose recv(timeout) may be tried again.
    #[pyo3(
        signature = (*fds, data = Data::NONE, timeout = Timeout::NEVER),
        text_signature = "($self, *fds, data=b'', timeout=None)"
    )]
    fn request<'py>(
        &self,
        py: Python<'py>,
        fds: &Bound<'py, PyTuple>,
        data: Data<'py>,
        timeout: Timeout,
    ) -> PyResult<Parcel> {
        request(py, &*self.held()?, fds, data, timeout)
    }

    /// Whether it is not known yet whether the receiver lets in this guest; then it polls readable once it is.
    fn _waits_to_be_let_in(&self) -> PyResult<bool> {
        self.held().map(|outbox| outbox.awaited() == Awaited::Readable)
    }

    /// Sends a request without waiting.
    #[pyo3(signature = (*fds, data = Data::NONE), text_signature = "($self, *fds, data=b'')")]
    #[allow(clippy::needless_pass_by_value, reason = "extracted arguments")]
    fn _ask<'py>(&self, fds: &Bound<'py, PyTuple>, data: Data<'py>) -> PyResult<Answer> {
        let (outbox, fds) = (self.held()?, Descriptors::of(fds)?);
        outbox.ask(fds.with(data.as_bytes())).map(Answer::new).map_err(os_error)
    }

    fn _watch_taken(&self) -> PyResult<TakenWatch> {
        self.held()?.watch_taken().map(TakenWatch).map_err(os_error)
    }

    /// Closes it. What was sent and not taken yet stays in the receiver's queue. May be repeated.
    fn close(&self, py: Python<'_>) {
        let was = std::mem::replace(&mut *self.lock(), State::Closed);
        py.detach(|| drop(was));
    }
}

impl HeldLink {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> PyResult<Arc<sendfd_core::Outbox>> {
        match &*self.lock() {
            State::Open(outbox) => Ok(Arc::clone(outbox)),
            State::New => Err(PyValueError::new_err("this outbox has not been opened")),
            State::Closed => Err(PyOSError::new_err((libc::EBADF, "the outbox is closed"))),
        }
    }
}

/// Sends a request to the process or thread with the id `to`, and waits up to `timeout` seconds for its
/// answer; None waits for ever. Instead of `to`, which is None then, `pidfd` may name the receiver.
///
/// The descriptors stay the caller's; those of the answer belong to its Parcel. For more than a few
/// requests an Outbox is faster.
///
/// Raises what send() and Outbox.request() raise.
#[pyfunction]
#[pyo3(
    signature = (
        to = None, *fds, pidfd = None, data = Data::NONE, signal = Signo::DEFAULT,
        timeout = Timeout::NEVER
    ),
    text_signature = "(to=None, *fds, pidfd=None, data=b'', signal=50, timeout=None)"
)]
#[pyo3(name = "request")]
pub(crate) fn request_once<'py>(
    py: Python<'py>,
    to: Option<&Bound<'py, PyAny>>,
    fds: &Bound<'py, PyTuple>,
    pidfd: Option<&Bound<'py, PyAny>>,
    data: Data<'py>,
    signal: Signo,
    timeout: Timeout,
) -> PyResult<Parcel> {
    let (target, end) = (target(to, pidfd)?, timeout.end());
    // Too many others wait to be accepted.
    let is_full =
        |failure: &Failure| matches!(failure, Failure::Call(e) if e.errno() == libc::EAGAIN);
    let outbox = loop {
        match open(py, target, signal.0, Timeout::NOW) {
            Err(failure) if is_full(&failure) && timeout.rest(end) != Timeout::NOW => {
                pause(py, timeout.rest(end))?;
            }
            Err(failure) => return Err(with_hint(py, failure.into(), target)),
            Ok(outbox) => break outbox,
        }
    };
    request(py, &outbox, fds, data, timeout.rest(end))
}

/// What tells that a send may succeed.
fn ready_to_send(outbox: &sendfd_core::Outbox) -> Ready {
    match outbox.awaited() {
        Awaited::Readable => Ready::Readable(outbox.as_raw_fd()),
        Awaited::Writable => Ready::Writable(outbox.as_raw_fd()),
    }
}

fn open(
    py: Python<'_>,
    target: Target<'_>,
    signal: Signal,
    timeout: Timeout,
) -> Result<sendfd_core::Outbox, Failure> {
    wait_for(
        py,
        timeout,
        &[libc::EAGAIN, libc::ECONNREFUSED],
        || Ok(Ready::Later),
        |left| sendfd_core::Outbox::open_interruptible(target, signal, left),
    )
}

#[allow(clippy::needless_pass_by_value, reason = "extracted arguments")]
fn request<'py>(
    py: Python<'py>,
    outbox: &sendfd_core::Outbox,
    fds: &Bound<'py, PyTuple>,
    data: Data<'py>,
    timeout: Timeout,
) -> PyResult<Parcel> {
    let (fds, data, end) = (Descriptors::of(fds)?, data.as_bytes(), timeout.end());
    let ready = || Ok(ready_to_send(outbox));
    let answer =
        wait(py, timeout, ready, |left| outbox.ask(fds.with(data).timeout(left).interruptible()))?;
    let left = timeout.rest(end);
    let answer = Bound::new(py, Answer::new(answer))?;
    answer.get().recv(py, left).map_err(|error| {
        let no_room = error.value(py).getattr("errno").and_then(|errno| errno.extract());
        match no_room.map(no_room::is_errno) {
            Ok(true) => error.value(py).setattr("answer", answer).err().unwrap_or(error),
            _ => error,
        }
    })
}

/// Whether all has been taken, for an event loop.
#[pyclass(frozen, module = "sendfd._sendfd")]
pub(crate) struct TakenWatch(sendfd_core::TakenWatch);

#[pymethods]
impl TakenWatch {
    /// Polls readable whenever is_taken() may have changed.
    fn fileno(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// It is dropped.
    #[getter]
    #[allow(clippy::unused_self, reason = "what Python calls")]
    fn closed(&self) -> bool {
        false
    }

    /// Whether all that was sent through the outbox has been taken. Never waits.
    fn is_taken(&self) -> PyResult<bool> {
        self.0.is_taken().map_err(os_error)
    }
}
