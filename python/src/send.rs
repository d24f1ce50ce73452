//! Sending.

use crate::arguments::{Data, Descriptor, Pid, Signo, Timeout};
use crate::wait::{Ready, wait};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use sendfd_core::{Outgoing, room};
use std::os::fd::RawFd;

/// Queues descriptors, as one parcel, to the process or thread with the id `pid`.
///
/// They are ints or objects with a `fileno()` method, and stay the caller's: once this returns they
/// may be closed. Up to MAX_DATA bytes of `data` travel with them.
///
/// Returning means that the parcel is in the receiver's queue, not that anybody has taken it. In a
/// full queue it waits for room up to `timeout` seconds; None waits for ever.
///
/// Raises ProcessLookupError (no such process), ConnectionRefusedError (it has no inbox for
/// `signal`), PermissionError (not allowed to signal it), BlockingIOError (its queue is full),
/// TimeoutError (it stayed full), or another OSError by errno.
#[pyfunction]
#[pyo3(
    signature = (
        pid, fd, *more, data = Data::NONE, signal = Signo::DEFAULT, timeout = Timeout::NOW
    ),
    text_signature = "(pid, fd, *more, data=b'', signal=50, timeout=0)"
)]
#[allow(clippy::needless_pass_by_value, reason = "extracted arguments")]
pub(crate) fn send(
    py: Python<'_>,
    pid: Pid,
    fd: Descriptor,
    more: &Bound<'_, PyTuple>,
    data: Data<'_>,
    signal: Signo,
    timeout: Timeout,
) -> PyResult<()> {
    let (Pid(task), Signo(signal), data) = (pid, signal, data.as_bytes());
    let first = [fd.0];
    let all: Vec<RawFd>;
    let fds = if more.is_empty() {
        &first[..]
    } else {
        let more = more.iter().map(|fd| fd.extract().map(|Descriptor(fd)| fd));
        all = first.into_iter().map(Ok).chain(more).collect::<PyResult<_>>()?;
        &all[..]
    };
    wait(
        py,
        timeout,
        || room(task, signal).map(Ready::Writable),
        |left| Outgoing::from_raw(fds).data(data).timeout(left).interruptible().send(task, signal),
    )
}
