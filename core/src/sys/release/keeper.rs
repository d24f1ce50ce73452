//! The thread that keeps descriptors open, as its owner sees it.

use super::shared::{CLOSES, COPIED, MAY_END, STARTS, Shared, What};
use super::thread;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::time::Duration;

/// A thread that has descriptors open, in a table of its own, until this is dropped; unless it cannot.
#[derive(Debug)]
pub(super) struct Keeper(NonNull<Shared>);

/// How long to wait until a copy of the program's own files is closed, which one of them can make slow.
const MOST: Duration = Duration::from_millis(20);

impl Keeper {
    /// Owns `fds` from here on.
    pub(super) fn of<T: AsRawFd, A: AsRef<[T]> + Send>(fds: A, what: What) -> Option<Keeper> {
        let keeper = Keeper(Shared::new(fds, what)?);
        let shared = keeper.shared();
        match thread::start(keeper.0) {
            Ok(()) => {
                shared.wait_while(STARTS);
                shared.wait_while_for(COPIED, MOST);
            }
            // The thread's share is its own only if it comes to be.
            Err(_) => shared.has_one_user(),
        }
        Some(keeper)
    }

    /// Closes the descriptors in the table of the program, unless the thread does. To be called once.
    pub(super) fn close_here(&self) {
        if self.shared().state() != CLOSES {
            self.shared().close();
        }
    }

    /// Whether the thread has shown that the first message may not be received.
    pub(super) fn is_refused(&self) -> bool {
        self.shared().is_refused()
    }

    fn shared(&self) -> &Shared {
        // SAFETY: freed only after this has let go of it.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.shared().enter(MAY_END);
        Shared::let_go(self.0);
    }
}
