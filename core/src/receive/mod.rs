//! The way in: what is opened, how it waits, who is admitted, and how a parcel is taken.

mod inbox;
pub use inbox::{Inbox, QuietInbox};
mod mailbox;
pub use mailbox::Mailbox;
mod options;
pub use options::Options;
mod announcement;
pub use announcement::Announcement;
mod stream;
pub use stream::read_with_fd;

mod wait;

mod queue;

mod admission;
mod guests;
mod listener;
mod listeners;
pub(crate) mod take;

mod bound;
mod directory;
mod mask;
mod notify;
mod places;
mod reserve;
