//! What became of the parcels that were sent through one link.
//!
//! KERNEL: `SIOCOUTQ` counts what the peer has not consumed; a look by `MSG_PEEK` does not consume. A peer
//! that goes with mail unread leaves `ECONNRESET` on the socket, one that goes with all read leaves nothing.
//! When a peer goes, the hang-up shows before the count drops to 0: so a count of 0 that was read before a
//! socket without a hang-up means that all was consumed.

use crate::sys::{Errno, Result, fd, socket};
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

/// What is known so far.
#[derive(Debug, Default)]
pub(crate) struct Fate {
    /// Shared by those who send. A look keeps them out: the socket tells its error only once, and it may
    /// tell it to a sender.
    sending: RwLock<()>,
    something_was_sent: AtomicBool,
    was_lost: AtomicBool,
}

/// Of all that was sent so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Taken,
    NotYet,
    /// The receiver went with something untaken.
    Lost,
}

impl Verdict {
    pub(crate) fn is_taken(self) -> Result<bool> {
        match self {
            Verdict::Taken => Ok(true),
            Verdict::NotYet => Ok(false),
            Verdict::Lost => Err(Errno(libc::ECONNRESET)),
        }
    }
}

impl Fate {
    /// Notes the outcome of one attempt to send.
    pub(crate) fn of(&self, send: impl FnOnce() -> Result<()>) -> Result<()> {
        let _sending = self.sending.read().unwrap_or_else(PoisonError::into_inner);
        let outcome = send();
        match outcome {
            Ok(()) if !self.something_was_sent.load(Ordering::Relaxed) => {
                self.something_was_sent.store(true, Ordering::Relaxed);
            }
            Err(Errno(libc::ECONNRESET)) => self.was_lost.store(true, Ordering::Relaxed),
            _ => {}
        }
        outcome
    }

    /// Looks at the socket. `alive` tells whether the receiver's process is: its sockets can outlive it.
    pub(crate) fn look(
        &self,
        socket: BorrowedFd<'_>,
        alive: impl FnOnce() -> bool,
    ) -> Result<Verdict> {
        let _alone = self.sending.write().unwrap_or_else(PoisonError::into_inner);
        if !self.something_was_sent.load(Ordering::Relaxed) {
            return Ok(Verdict::Taken);
        }
        if self.was_lost.load(Ordering::Relaxed) {
            return Ok(Verdict::Lost);
        }
        let left = socket::unconsumed(socket)?;
        if !fd::is_hung_up(socket)? {
            if left == 0 {
                return Ok(Verdict::Taken);
            }
            if alive() {
                return Ok(Verdict::NotYet);
            }
        }
        // Nothing is consumed any more.
        if socket::unconsumed(socket)? == 0 && socket::take_error(socket)? == 0 {
            return Ok(Verdict::Taken);
        }
        self.was_lost.store(true, Ordering::Relaxed);
        Ok(Verdict::Lost)
    }
}
