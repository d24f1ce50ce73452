//! What arrives.

use crate::arguments::Data;
use crate::errors::os_error;
use crate::send::Descriptors;
use pyo3::exceptions::{PyResourceWarning, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyIterator, PyTuple};
use sendfd_core::{Info, Reply};
use std::collections::VecDeque;
use std::ffi::CString;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Received descriptors, the bytes that came with them, and who sent them.
///
/// The descriptors belong to the parcel until detach(), socket() or open() takes them out; those
/// that are left are closed by close() or at the end of a with statement. They are not inheritable
/// and share their file description with the sender's, as after dup().
#[pyclass(frozen, module = "sendfd")]
pub(crate) struct Parcel {
    fds: Mutex<VecDeque<OwnedFd>>,
    data: Vec<u8>,
    info: Info,
    /// Where an answer is awaited. The lock is held while one is given, which never waits.
    reply: Mutex<Option<Reply>>,
}

#[pymethods]
impl Parcel {
    #[new]
    fn make() -> PyResult<Parcel> {
        Err(PyTypeError::new_err("parcels are what an inbox receives"))
    }

    /// The first descriptor that is left in the parcel. It stays there.
    #[getter]
    fn fd(&self) -> PyResult<RawFd> {
        self.lock().front().map(AsRawFd::as_raw_fd).ok_or_else(none_left)
    }

    /// The descriptors that are left in the parcel. They stay there.
    #[getter]
    fn fds<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.numbers())
    }

    /// The bytes that came with them.
    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.data)
    }

    /// The sender's process; 0 if it is not visible in this pid namespace.
    #[getter]
    fn pid(&self) -> i32 {
        self.info.pid
    }

    /// The sender's real user, as the kernel recorded it at the send.
    #[getter]
    fn uid(&self) -> u32 {
        self.info.uid
    }

    /// The sender's real group, likewise.
    #[getter]
    fn gid(&self) -> u32 {
        self.info.gid
    }

    /// The signal number it was sent with.
    #[getter]
    fn signo(&self) -> i32 {
        self.info.signo
    }

    /// Whether its sender awaits an answer, and has got none yet.
    #[getter]
    fn wants_reply(&self) -> bool {
        self.reply().is_some()
    }

    /// Answers a request: once, from any thread, at any later time before close(). Never waits.
    ///
    /// The descriptors, none to MAX_FDS of them, stay the caller's. Returning means that the answer is in
    /// the asker's hands or on its way there; not that the asker takes it.
    ///
    /// Raises ValueError (no answer is awaited, or it has been given), BrokenPipeError (the asker is
    /// gone, or does not await it any more), or another OSError by errno, after which it may be tried
    /// again: EBADF, EMSGSIZE, ETOOMANYREFS, ...
    #[pyo3(
        signature = (*fds, data = Data::NONE),
        text_signature = "($self, *fds, data=b'')"
    )]
    #[allow(clippy::needless_pass_by_value, reason = "extracted arguments")]
    #[pyo3(name = "reply")]
    fn answer<'py>(&self, fds: &Bound<'py, PyTuple>, data: Data<'py>) -> PyResult<()> {
        let fds = Descriptors::of(fds)?;
        let mut reply = self.reply();
        let Some(place) = reply.as_ref() else {
            return Err(PyValueError::new_err("no answer is awaited, or it has been given"));
        };
        place.try_send(fds.with(data.as_bytes())).map_err(os_error)?;
        *reply = None;
        Ok(())
    }

    /// Takes out all descriptors that are left; they are the caller's to close.
    fn detach(&self) -> Vec<RawFd> {
        self.take_all().into_iter().map(IntoRawFd::into_raw_fd).collect()
    }

    /// Takes out the first descriptor that is left, as a socket. Stays as it is if that fails.
    fn socket<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let first = self.take_first()?;
        self.as_sockets(py, vec![first]).map(|mut made| made.pop())
    }

    /// Takes out all descriptors that are left, as sockets. Stays as it is if one of them is none.
    fn sockets<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        self.as_sockets(py, self.take_all().into())
    }

    /// Takes out the first descriptor that is left, as a file object; arguments as for the builtin
    /// open(). Stays as it is if that fails.
    #[pyo3(
        signature = (mode = "r", buffering = -1, encoding = None, errors = None, newline = None),
        text_signature = "($self, mode='r', buffering=-1, encoding=None, errors=None, newline=None)"
    )]
    fn open<'py>(
        &self,
        py: Python<'py>,
        mode: &str,
        buffering: i32,
        encoding: Option<&str>,
        errors: Option<&str>,
        newline: Option<&str>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let open = py.import("io")?.getattr("open")?;
        let fd = self.take_first()?;
        let number = fd.as_raw_fd();
        let with =
            |closefd| open.call1((number, mode, buffering, encoding, errors, newline, closefd));
        // One that fails half-way closes the descriptor if it may; so the first one may not.
        if let Err(error) = with(false) {
            self.lock().push_front(fd);
            return Err(error);
        }
        // Where the second one fails all the same, the number may mean something else by now.
        let _ = fd.into_raw_fd();
        with(true)
    }

    /// Closes the descriptors that are left, and the place for an answer: whoever awaits one gets
    /// ConnectionResetError. May be repeated.
    fn close(&self, py: Python<'_>) {
        let left = (self.take_all(), self.reply().take());
        py.detach(|| drop(left));
    }

    /// How many descriptors are left in the parcel.
    fn __len__(&self) -> usize {
        self.lock().len()
    }

    /// What has none left is there all the same.
    #[allow(clippy::unused_self, reason = "what Python calls")]
    fn __bool__(&self) -> bool {
        true
    }

    fn __getitem__<'py>(
        &self,
        py: Python<'py>,
        index: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.fds(py)?.as_any().get_item(index)
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.fds(py)?.try_iter()
    }

    fn __reversed__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        let backwards: Vec<RawFd> = self.numbers().into_iter().rev().collect();
        PyTuple::new(py, backwards)?.try_iter()
    }

    fn __enter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    #[pyo3(signature = (*_exc_info))]
    fn __exit__(&self, py: Python<'_>, _exc_info: &Bound<'_, PyTuple>) {
        self.close(py);
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        const SHOWN: usize = 64;
        let Info { signo, pid, uid, gid, .. } = self.info;
        let data = match self.data.len() {
            0..=SHOWN => self.data(py).repr()?.to_string(),
            long => format!("<{long} bytes>"),
        };
        let fds = self.numbers();
        let asks = if self.wants_reply() { " wants_reply" } else { "" };
        Ok(format!(
            "<sendfd.Parcel fds={fds:?} data={data} pid={pid} uid={uid} gid={gid} signo={signo}{asks}>"
        ))
    }
}

impl Parcel {
    pub(crate) fn new(parcel: sendfd_core::Parcel) -> Parcel {
        let sendfd_core::Parcel { fds, data, info, reply } = parcel;
        Parcel { fds: Mutex::new(fds.into()), data, info, reply: Mutex::new(reply) }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<OwnedFd>> {
        self.fds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reply(&self) -> MutexGuard<'_, Option<Reply>> {
        self.reply.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn numbers(&self) -> Vec<RawFd> {
        self.lock().iter().map(AsRawFd::as_raw_fd).collect()
    }

    /// Each socket owns the number of its descriptor as soon as it is made, and `fds` until all are.
    fn as_sockets<'py>(
        &self,
        py: Python<'py>,
        fds: Vec<OwnedFd>,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let mut made = Vec::with_capacity(fds.len());
        let mut wrap = |fd: &OwnedFd| {
            let class = py.import("socket")?.getattr("socket")?;
            let socket = class.call_method1("__new__", (&class,))?;
            made.push(socket.clone());
            let arguments = PyDict::new(py);
            arguments.set_item("fileno", fd.as_raw_fd())?;
            socket.call_method("__init__", (), Some(&arguments))
        };
        let Err(error) = fds.iter().try_for_each(|fd| wrap(fd).map(drop)) else {
            for fd in fds {
                let _ = fd.into_raw_fd();
            }
            return Ok(made);
        };
        let mut left = VecDeque::new();
        for (at, fd) in fds.into_iter().enumerate() {
            // What a signal handler raises may come after the socket has taken the number.
            match made.get(at).map(|socket| socket.call_method0("detach")) {
                Some(Err(_)) => drop(fd.into_raw_fd()),
                _ => left.push_back(fd),
            }
        }
        let mut fds = self.lock();
        left.append(&mut fds);
        *fds = left;
        Err(error)
    }

    fn take_all(&self) -> VecDeque<OwnedFd> {
        std::mem::take(&mut self.lock())
    }

    /// Out of the parcel, since others may run while something is made of it.
    fn take_first(&self) -> PyResult<OwnedFd> {
        self.lock().pop_front().ok_or_else(none_left)
    }
}

/// A parcel that was forgotten says so, and closes what it has.
impl Drop for Parcel {
    fn drop(&mut self) {
        let (left, reply) = (self.take_all(), self.reply().take());
        if left.is_empty() && reply.is_none() {
            return;
        }
        let pid = self.info.pid;
        let text = if reply.is_some() {
            format!("a request from process {pid} was not answered")
        } else {
            let numbers: Vec<RawFd> = left.iter().map(AsRawFd::as_raw_fd).collect();
            format!("descriptors {numbers:?} of a parcel from process {pid} were not taken")
        };
        let _ = Python::try_attach(|py| {
            // It may be on its way out because of an exception, which must not be in the way.
            let raised = PyErr::take(py);
            let text = CString::new(text).unwrap_or_default();
            if let Err(error) = PyErr::warn(py, &py.get_type::<PyResourceWarning>(), &text, 1) {
                error.write_unraisable(py, None);
            }
            py.detach(|| drop((left, reply)));
            if let Some(raised) = raised {
                raised.restore(py);
            }
        });
    }
}

fn none_left() -> PyErr {
    PyValueError::new_err("no descriptor is left in the parcel")
}
