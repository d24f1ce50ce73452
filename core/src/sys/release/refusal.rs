//! Whether the kernel keeps a descriptor from this process, as security modules do.
//!
//! KERNEL: a message of which some descriptors could not be installed does not say why. In the table of
//! the program, another thread may have made room since, or taken it. In a table that nobody else uses,
//! and that had room for all of them, nothing but a refusal keeps them out.

use super::keeper::Keeper;
use super::shared::What;
use crate::sys::message::{self, Rights};
use crate::sys::{Errno, check};
use std::os::fd::{BorrowedFd, RawFd};

/// Whether this process may not receive one of the `fds` descriptors of the first message of `socket`,
/// though there is room.
///
/// `false` is said in doubt, too: where no thread can have a table of its own, and where that has no room
/// for so many or does not see the message.
pub(crate) fn is_refused(socket: BorrowedFd<'_>, fds: usize) -> bool {
    Keeper::of([socket], What::FirstMessage(fds)).is_some_and(|keeper| keeper.is_refused())
}

/// Installs the descriptors of the first message, of which there are `fds`, in the table of this thread,
/// for as long as it runs. Nothing else is open there. `true`: there was room, and they were refused.
pub(super) fn install_first_message(socket: RawFd, fds: usize) -> bool {
    // They get the lowest numbers.
    let had_room = has_room_at(socket, fds);
    let mut rights = Rights::new();
    let look = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    let mut seen = message::receive(socket, &mut [], &mut rights, look);
    if let Err(Errno(libc::ECONNRESET)) = seen {
        // KERNEL: one may stand in front of messages that are still queued.
        seen = message::receive(socket, &mut [], &mut rights, look);
    }
    std::mem::forget(rights);
    had_room && seen.is_ok_and(|seen| seen.rights_cut) && has_room_at(socket, 0)
}

/// Whether a descriptor may have the number `at` or a higher one. It makes the table as large as that.
fn has_room_at(any: RawFd, at: usize) -> bool {
    let Ok(at) = RawFd::try_from(at) else { return false };
    // SAFETY: takes no pointers.
    let copy = check(unsafe { libc::fcntl(any, libc::F_DUPFD_CLOEXEC, at) });
    // SAFETY: open in a table of this thread's own, where nobody else knows of it.
    copy.map(|copy| unsafe { libc::close(copy) }).is_ok()
}
