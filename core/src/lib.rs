//! Hands open descriptors to other processes by their pid, over real-time signals.
//!
//! [`send`] queues a descriptor to any process or thread that this one may signal, if it has opened
//! an inbox for that signal number. The receiver is told by a queued real-time signal ([`Inbox`]) or
//! by a descriptor that polls readable ([`QuietInbox`]), and only when it receives does a descriptor
//! appear in its table.
//!
//! Guaranteed: a descriptor whose send succeeded is received, or still queued, or the receiver closed
//! its inbox or died. The sender's process and user come from the kernel. Nobody else can put a
//! descriptor into the receiver's table, and nobody else can pose as the receiver.
//!
//! Not guaranteed: that the receiver ever takes it.
//!
//! Linux 5.3 or newer; 6.9 or newer for addresses that are right in every pid namespace.
#![deny(unsafe_code)]

mod address;
pub use address::{Address, Target, Task};
mod signal;
pub use signal::Signal;

mod outgoing;
pub use outgoing::Outgoing;
mod send;
pub use send::{Awaited, Outbox, TakenWatch, room, send, send_pidfd};

mod receive;
pub use receive::{Announcement, Inbox, Mailbox, Options, QuietInbox, read_with_fd};

mod request;
pub use request::Answer;

mod parcel;
pub use parcel::{Info, Parcel, is_listening};
mod reply;
pub use reply::Reply;
mod error;
pub use error::{Error, Result};

#[cfg(feature = "tool")]
mod exec;
#[cfg(feature = "tool")]
pub use exec::{exec, release};

mod deadline;
mod map;
mod wire;
pub use wire::{MAX_DATA, MAX_FDS};

#[allow(unsafe_code, reason = "the one place for it")]
mod sys;

/// The version of this library.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
