//! The system calls, and the only unsafe code of the crate.
//!
//! One file per family of calls. Every function here is safe to call, returns an owned or borrowed
//! descriptor rather than a number where it can, and gives the kernel's errno unchanged. Nothing in
//! here retries, waits longer than it was told, or decides anything.

#[cfg(test)]
pub(crate) mod alone;
pub(crate) mod cancel;
pub(crate) mod clock;
pub(crate) mod environment;
pub(crate) mod epoll;
pub(crate) mod eventfd;
pub(crate) mod fd;
pub(crate) mod file;
pub(crate) mod fork;
mod futex;
mod gate;
mod holder;
pub(crate) mod ids;
#[cfg(feature = "tool")]
pub(crate) mod image;
pub(crate) mod listing;
pub(crate) mod memory;
pub(crate) mod message;
pub(crate) mod network;
pub(crate) mod path;
pub(crate) mod pending;
pub(crate) mod pidfd;
pub(crate) mod release;
mod select;
pub(crate) mod shared;
pub(crate) mod signal;
pub(crate) mod socket;
mod table;
pub(crate) mod thread_end;
pub(crate) mod thread_table;
pub(crate) mod unread;

use std::ffi::c_int;

/// An error number of the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Errno(pub(crate) c_int);

pub(crate) type Result<T> = std::result::Result<T, Errno>;

impl Errno {
    /// For want of memory or of descriptors: what was asked is not answered, neither yes nor no.
    pub(crate) fn is_shortage(self) -> bool {
        matches!(self.0, libc::ENOMEM | libc::ENOBUFS | libc::EMFILE | libc::ENFILE)
    }

    /// The calling thread's `errno`.
    pub(crate) fn last() -> Errno {
        // SAFETY: takes no arguments.
        let place = unsafe { libc::__errno_location() };
        // SAFETY: the place is valid for the life of the calling thread.
        Errno(unsafe { *place })
    }
}

/// Decodes a call that answers -1 on failure.
fn check(returned: c_int) -> Result<c_int> {
    if returned == -1 { Err(Errno::last()) } else { Ok(returned) }
}

/// Decodes a call that answers a byte count, or -1 on failure.
fn check_size(returned: impl TryInto<usize>) -> Result<usize> {
    returned.try_into().map_err(|_| Errno::last())
}
