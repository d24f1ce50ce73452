//! What a receiver tells a guest: that it is let in.
//!
//! Who comes by signal permission or as one of the receiver's own users knows that it is let in, and is told
//! nothing. A guest cannot know, for it may have another number where the receiver is. So it sends nothing
//! until it has been told, and what it has sent is received, or queued, or its receiver gone, as for all.
//!
//! KERNEL: whoever receives a message closes the descriptors in it that were not wanted, and may wait for
//! that. So a guest looks first, consumes the very message that it awaits and no other, and shuts its reading
//! side then.

use crate::address::Whom;
use crate::sys::message::{self, Glimpse};
use crate::sys::{Errno, Result, socket};
use crate::wire::{HEADER, WELCOME};
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

#[derive(Debug)]
pub(crate) struct Welcome {
    whom: Whom,
    awaited: AtomicBool,
    /// Whether it has been consumed; held by whoever looks, so that nothing else is.
    consumed: Mutex<bool>,
}

/// Whether a sender is let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    LetIn,
    NotYet,
    /// Or the inbox was closed.
    TurnedAway,
}

impl Welcome {
    pub(crate) fn of(whom: Whom) -> Welcome {
        let awaited = AtomicBool::new(whom == Whom::Guests);
        Welcome { whom, awaited, consumed: Mutex::new(false) }
    }

    pub(crate) fn is_for_guests(&self) -> bool {
        self.whom == Whom::Guests
    }

    pub(crate) fn is_awaited(&self) -> bool {
        self.awaited.load(Ordering::Acquire)
    }

    /// Looks at the socket where that is not known yet. `lives` tells whether the receiver does: a child of
    /// it may hold the other end open.
    pub(crate) fn standing(
        &self,
        socket: BorrowedFd<'_>,
        lives: impl FnOnce() -> bool,
    ) -> Result<Standing> {
        if !self.is_awaited() {
            return Ok(Standing::LetIn);
        }
        let mut consumed = self.consumed.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_awaited() {
            return Ok(Standing::LetIn);
        }
        if !*consumed {
            match look(socket, lives)? {
                Standing::LetIn => once_more(|| message::discard(socket))?,
                other => return Ok(other),
            }
            *consumed = true;
        }
        need_not_wait(socket)?;
        self.awaited.store(false, Ordering::Release);
        Ok(Standing::LetIn)
    }
}

/// Makes a socket fit to send: nothing more is to come from its other end, what it could send would wait
/// here to be closed.
fn need_not_wait(socket: BorrowedFd<'_>) -> Result<()> {
    socket::stop_reading(socket);
    socket::pass_credentials(socket)
}

fn look(socket: BorrowedFd<'_>, lives: impl FnOnce() -> bool) -> Result<Standing> {
    let mut bytes = [0; HEADER];
    let mut glimpse = || once_more(|| message::glimpse(socket, &mut bytes));
    let seen = match glimpse() {
        // KERNEL: the end may hide a message that came just before it.
        Ok(Glimpse { len: 0, .. }) => glimpse(),
        seen => seen,
    };
    match seen {
        Ok(Glimpse { len: HEADER, has_more: false }) if bytes == WELCOME => Ok(Standing::LetIn),
        Err(Errno(libc::EAGAIN)) if lives() => Ok(Standing::NotYet),
        Ok(_) | Err(Errno(libc::ECONNRESET | libc::EAGAIN)) => Ok(Standing::TurnedAway),
        Err(errno) => Err(errno),
    }
}

/// KERNEL: one ECONNRESET may stand in front of messages that are still queued.
fn once_more<T>(mut call: impl FnMut() -> Result<T>) -> Result<T> {
    match call() {
        Err(Errno(libc::ECONNRESET | libc::EINTR)) => call(),
        result => result,
    }
}
