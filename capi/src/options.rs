//! The options of an inbox, as C passes them.

use crate::convert::{path, slice};
use crate::receive::{
    SENDFD_INBOX_ANYONE, SENDFD_INBOX_NOSIGNAL, SENDFD_INBOX_THREAD, sendfd_inbox_options,
};
use libc::{c_int, c_uint};
use sendfd_core::Options;

/// More is nonsense.
const MOST_BYTES: usize = 4096;
/// More users or groups are not looked at.
const MOST_IDS: usize = 65536;

/// What the flags say; `None`: some are unknown.
pub(crate) fn chosen(flags: c_uint) -> Option<Options<'static>> {
    let known = SENDFD_INBOX_THREAD | SENDFD_INBOX_NOSIGNAL | SENDFD_INBOX_ANYONE;
    let options = Options {
        thread: flags & SENDFD_INBOX_THREAD != 0,
        signals: flags & SENDFD_INBOX_NOSIGNAL == 0,
        anyone: flags & SENDFD_INBOX_ANYONE != 0,
        ..Options::default()
    };
    (flags & !known == 0).then_some(options)
}

/// # Safety
/// `options` is NULL, or valid for as many bytes as it says, as is what it points to.
pub(crate) unsafe fn of<'a>(options: *const sendfd_inbox_options) -> Result<Options<'a>, c_int> {
    if options.is_null() {
        return Err(libc::EINVAL);
    }
    // SAFETY: every release begins with the size.
    let size = unsafe { options.cast::<usize>().read() };
    if size < size_of::<sendfd_inbox_options>() {
        return Err(libc::EINVAL);
    }
    if size > MOST_BYTES {
        return Err(libc::E2BIG);
    }
    // SAFETY: within what the caller promises, or just behind it.
    let unknown = unsafe { options.add(1) }.cast::<u8>();
    // SAFETY: up to as many bytes as it says.
    let unknown = unsafe { slice(unknown, size - size_of::<sendfd_inbox_options>()) }?;
    if unknown.iter().any(|byte| *byte != 0) {
        return Err(libc::E2BIG);
    }
    // SAFETY: it is at least as large as this.
    let sendfd_inbox_options { flags, uids, nuids, gids, ngids, directory, .. } =
        unsafe { options.read() };
    if nuids > MOST_IDS || ngids > MOST_IDS {
        return Err(libc::EINVAL);
    }
    let chosen = chosen(flags).ok_or(libc::EINVAL)?;
    // SAFETY: as the caller promises.
    let uids = unsafe { slice(uids, nuids) }?;
    // SAFETY: as the caller promises.
    let gids = unsafe { slice(gids, ngids) }?;
    // SAFETY: as the caller promises.
    let directory = unsafe { path(directory) }?;
    Ok(Options { uids, gids, directory, ..chosen })
}
