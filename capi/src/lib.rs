//! The C interface: argument checks, ownership, errno. It has no behaviour of its own.
//!
//! The comments on what is exported become `include/sendfd.h` and are C text.
#![allow(clippy::doc_markdown, reason = "C text has no Rust links")]

mod convert;
mod options;
mod outbox;
mod panic;
mod receive;
mod send;

pub use outbox::*;
pub use receive::*;
pub use send::*;
