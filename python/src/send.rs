//! Sending.

use crate::arguments::{Data, Descriptor, Signo, Timeout, target};
use crate::errors::{os_error, with_hint};
use crate::wait::{Ready, wait};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use sendfd_core::{Awaited, Outgoing, room};
use std::os::fd::{IntoRawFd, RawFd};

/// Queues descriptors, as one parcel, to the process or thread with the id `to`, or to the inbox with the
/// address `to`, which has a signal number of its own.
///
/// They are ints or objects with a `fileno()` method, none to MAX_FDS of them, and stay the caller's:
/// once this returns they may be closed. Up to MAX_DATA bytes of `data` travel with them. In the place
/// of `to`, which is None then, `pidfd` may name the receiver.
///
/// Returning means that the parcel is in the receiver's queue, not that anybody has taken it. In a
/// full queue it waits for room up to `timeout` seconds; None waits for ever.
///
/// Raises ProcessLookupError (no such process), ConnectionRefusedError (it has no inbox for
/// `signal`), PermissionError (not allowed to signal it, and no guest of its
/// inbox), BlockingIOError (its queue is full, or it has not let in this guest yet),
/// TimeoutError (it stayed full), or another OSError by errno.
#[pyfunction]
#[pyo3(
    signature = (
        to = None, *fds, pidfd = None, data = Data::NONE, signal = Signo::DEFAULT,
        timeout = Timeout::NOW
    ),
    text_signature = "(to=None, *fds, pidfd=None, data=b'', signal=50, timeout=0)"
)]
#[allow(clippy::needless_pass_by_value, reason = "extracted arguments")]
pub(crate) fn send<'py>(
    py: Python<'py>,
    to: Option<&Bound<'py, PyAny>>,
    fds: &Bound<'py, PyTuple>,
    pidfd: Option<&Bound<'py, PyAny>>,
    data: Data<'py>,
    signal: Signo,
    timeout: Timeout,
) -> PyResult<()> {
    let (target, Signo(signal), data) = (target(to, pidfd)?, signal, data.as_bytes());
    let fds = Descriptors::of(fds)?;
    wait(
        py,
        timeout,
        || room(target, signal).map(|(fd, awaited)| Ready::Room(fd, awaited)),
        |left| fds.with(data).timeout(left).interruptible().send(target, signal),
    )
    .map_err(|failure| with_hint(py, failure.into(), target))
}

/// A descriptor that polls writable once a full queue has room, and whether it does: or else it polls
/// readable once the receiver has decided about this guest. It is the caller's to close.
#[pyfunction]
#[pyo3(name = "room")]
pub(crate) fn room_at(
    to: Option<&Bound<'_, PyAny>>,
    pidfd: Option<&Bound<'_, PyAny>>,
    signal: Signo,
) -> PyResult<(RawFd, bool)> {
    let (fd, awaited) = room(target(to, pidfd)?, signal.0).map_err(os_error)?;
    Ok((fd.into_raw_fd(), awaited == Awaited::Writable))
}

/// The numbers of what is to be sent; one does not need to be allocated for.
pub(crate) enum Descriptors {
    One([RawFd; 1]),
    Some(Vec<RawFd>),
}

impl Descriptors {
    pub(crate) fn of(fds: &Bound<'_, PyTuple>) -> PyResult<Descriptors> {
        let mut numbers = fds.iter_borrowed().map(|fd| fd.extract().map(|Descriptor(fd)| fd));
        match (fds.len(), numbers.next()) {
            (1, Some(fd)) => Ok(Descriptors::One([fd?])),
            (_, first) => first.into_iter().chain(numbers).collect::<PyResult<_>>().map(Self::Some),
        }
    }

    pub(crate) fn with<'a>(&'a self, data: &'a [u8]) -> Outgoing<'a> {
        let numbers = match self {
            Descriptors::One(one) => &one[..],
            Descriptors::Some(all) => all,
        };
        Outgoing::from_raw(numbers).data(data)
    }
}
