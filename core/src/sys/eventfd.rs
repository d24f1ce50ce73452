//! A descriptor that is readable when we say so.

use super::{Result, check};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `eventfd(0)`: not readable yet.
pub(crate) fn create() -> Result<OwnedFd> {
    let flags = libc::EFD_CLOEXEC | libc::EFD_NONBLOCK;
    // SAFETY: takes no pointers.
    let fd = check(unsafe { libc::eventfd(0, flags) })?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes it readable, until it is cleared.
pub(crate) fn raise(eventfd: BorrowedFd<'_>) {
    let one = 1_u64;
    // SAFETY: eight valid bytes. It fails only where the count is at its end, and so readable.
    unsafe { libc::write(eventfd.as_raw_fd(), (&raw const one).cast(), size_of::<u64>()) };
}

/// Makes it unreadable again.
pub(crate) fn clear(eventfd: BorrowedFd<'_>) {
    let mut count = 0_u64;
    // SAFETY: room for eight bytes. It fails only where nothing had been raised.
    unsafe { libc::read(eventfd.as_raw_fd(), (&raw mut count).cast(), size_of::<u64>()) };
}
