//! Notification of a thread by signals: which sockets queue them, and those that the library queues
//! itself where the kernel does not.

use crate::signal::Signal;
use crate::sys::fd::PrivateFd;
use crate::sys::ids::{self, Uids};
use crate::sys::{Result, signal, socket};
use std::os::fd::{AsFd, BorrowedFd};

/// Which signal a thread is notified by, and as which user the sockets were armed.
#[derive(Debug)]
pub(crate) struct Notifier {
    signo: i32,
    thread: i32,
    uids: Uids,
    /// A signal that the library queued itself is pending.
    own_is_pending: bool,
}

impl Notifier {
    /// Notifies the calling thread.
    pub(crate) fn of_this_thread(signal: Signal) -> Notifier {
        Notifier {
            signo: signal.number(),
            thread: ids::thread(),
            uids: ids::uids(),
            own_is_pending: false,
        }
    }

    /// Everything that arrives on the socket from now on queues a signal.
    pub(crate) fn arm(&self, socket: BorrowedFd<'_>) -> Result<()> {
        socket::arm(socket, self.thread, self.signo)
    }

    /// Queues a signal of the library's own, if none is pending; from any thread, while the notified one
    /// lives.
    pub(crate) fn notify(&mut self) {
        if !self.own_is_pending {
            self.own_is_pending = true;
            signal::queue_to_thread(self.thread, self.signo);
        }
    }

    /// The library's own signal was dequeued, or may have been; whether one was pending.
    pub(crate) fn own_was_dequeued(&mut self) -> bool {
        std::mem::take(&mut self.own_is_pending)
    }

    /// Arms the sockets for this process's users of now, if they are others than before; whether they are.
    pub(crate) fn follow_users<'a>(
        &mut self,
        sockets: impl Iterator<Item = &'a PrivateFd>,
    ) -> Result<bool> {
        let uids = ids::uids();
        if self.uids == uids {
            return Ok(false);
        }
        for socket in sockets {
            socket::set_owner(socket.as_fd(), self.thread)?;
        }
        self.uids = uids;
        Ok(true)
    }
}
