//! The way out: a parcel, the link that it takes, and the links that are kept.

mod parcel;
pub use parcel::{room, send, send_pidfd};
mod cache;

mod outbox;
pub use outbox::Outbox;
mod taken;
pub use taken::TakenWatch;
mod fate;
mod held;

pub use crate::sys::fd::Awaited;

mod link;
mod welcome;
