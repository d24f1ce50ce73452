//! `_sendfd`: what the Python package `sendfd` is built on.
//!
//! Everything that behaves is in `sendfd-core`. Here: arguments, exceptions, the interpreter's lock,
//! and objects that own descriptors.
#![forbid(unsafe_code)]
#![allow(clippy::doc_markdown, reason = "docstrings, which Python shows as they are")]

mod answer;
mod arguments;
mod errors;
mod inbox;
mod no_room;
mod outbox;
mod parcel;
mod send;
mod stream;
mod wait;

use pyo3::pymodule;

/// What the package is built on; private.
#[pymodule(gil_used = false)]
mod _sendfd {
    #[pymodule_export]
    use crate::answer::Answer;
    #[pymodule_export]
    use crate::inbox::Mailbox;
    #[pymodule_export]
    use crate::outbox::{HeldLink, TakenWatch, request_once};
    #[pymodule_export]
    use crate::parcel::Parcel;
    #[pymodule_export]
    use crate::send::{room_at, send};
    #[pymodule_export]
    use crate::stream::receive;

    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("SIGNO", sendfd_core::Signal::DEFAULT.number())?;
        module.add("MAX_FDS", sendfd_core::MAX_FDS)?;
        module.add("MAX_DATA", sendfd_core::MAX_DATA)?;
        module.add("__version__", sendfd_core::VERSION)
    }
}
