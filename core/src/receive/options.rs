//! What can be chosen when an inbox is opened.

/// Whom an inbox is for, and how it tells of mail. The default: any sender to this process, quietly.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Options {
    /// Addressed by the id of the calling thread instead of the process.
    pub thread: bool,
    /// Queues signals to the calling thread, which alone may use it then.
    pub signals: bool,
}
