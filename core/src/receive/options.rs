//! What can be chosen when an inbox is opened.

use std::path::Path;

/// Whom an inbox is for, and how it tells of mail. The default: any sender to this process that may signal
/// it and is of its own user or root, quietly.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Options<'a> {
    /// Addressed by the id of the calling thread instead of the process.
    pub thread: bool,
    /// Queues signals to the calling thread, which alone may use it then.
    pub signals: bool,
    /// Other users that may send, by their effective user id as this process's user namespace shows it.
    pub uids: &'a [u32],
    /// Groups whose members may send.
    pub gids: &'a [u32],
    /// Any user of this machine may send.
    pub anyone: bool,
    /// Where it listens as well, for senders in other network namespaces. `None`: in `$SENDFD_DIR`, or in
    /// `/run/sendfd` if that is there; what is wrong with these is no reason not to open. The empty path: nowhere.
    pub directory: Option<&'a Path>,
}
