//! Whom a parcel is for: the task, the name of its inbox, and the proof that a peer is that task.

mod task;
pub use task::{Target, Task};
mod text;
pub use text::Address;

mod recipient;
pub(crate) use recipient::{Recipient, visible};
mod name;
pub(crate) use name::{Identity, Name, Whom, if_supported, name};
mod network;
pub(crate) use network::{Elsewhere, Network};
pub(crate) mod directory;
pub(crate) mod proc;
