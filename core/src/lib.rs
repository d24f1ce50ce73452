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

mod signal;
pub use signal::Signal;
mod task;
pub use task::{Target, Task};

mod outgoing;
pub use outgoing::{Outgoing, room, send, send_pidfd};
mod cache;
mod link;
mod recipient;

mod inbox;
pub use inbox::{Inbox, QuietInbox};
mod mailbox;
pub use mailbox::{Mailbox, Options};
mod announcement;
pub use announcement::Announcement;
mod stream;
pub use stream::read_with_fd;
mod parcel;
pub use parcel::{Info, Parcel, is_listening};
mod bell;
mod door;
mod incoming;
mod names;
mod reserve;
mod tray;

mod error;
pub use error::{Error, Result};

mod address;
mod deadline;
mod proc;
mod wire;

#[allow(unsafe_code, reason = "the one place for it")]
mod sys;

/// Descriptors in one parcel at most.
pub const MAX_FDS: usize = 252;

/// Bytes in one parcel at most.
pub const MAX_DATA: usize = 65536;

/// The version of this library.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
