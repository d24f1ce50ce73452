//! A connected socket and its receiver, as `send/fate.rs` sees them. Each step of the receiver is one that
//! others can see, hence the lock: what is behind it is tried in every order.

use crate::kernel::{ECONNRESET, EPIPE};
use crate::sync::{Mutex, MutexGuard, PoisonError};
use crate::{Errno, Result};
use std::marker::PhantomData;

#[derive(Default, Debug)]
struct State {
    unconsumed: usize,
    hung_up: bool,
    error: i32,
}

#[derive(Default, Debug)]
pub(crate) struct Socket(Mutex<State>);

#[derive(Clone, Copy)]
pub(crate) struct BorrowedFd<'a>(pub(crate) &'a Socket, pub(crate) PhantomData<()>);

impl Socket {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        BorrowedFd(self, PhantomData)
    }

    /// The error that waits is told once.
    pub(crate) fn send(&self) -> Result<()> {
        let mut state = self.state();
        match std::mem::take(&mut state.error) {
            0 if state.hung_up => Err(Errno(EPIPE)),
            0 => {
                state.unconsumed += 1;
                Ok(())
            }
            error => Err(Errno(error)),
        }
    }

    pub(crate) fn consume(&self) {
        self.state().unconsumed -= 1;
    }

    /// The first half of the receiver's end; it leaves an error if something is unread.
    pub(crate) fn hang_up(&self) {
        let mut state = self.state();
        state.hung_up = true;
        if state.unconsumed > 0 {
            state.error = ECONNRESET;
        }
    }

    /// The second half.
    pub(crate) fn release(&self) {
        self.state().unconsumed = 0;
    }
}

pub(crate) fn unconsumed(socket: BorrowedFd<'_>) -> Result<usize> {
    Ok(socket.0.state().unconsumed)
}

pub(crate) fn is_hung_up(socket: BorrowedFd<'_>) -> Result<bool> {
    Ok(socket.0.state().hung_up)
}

pub(crate) fn take_error(socket: BorrowedFd<'_>) -> Result<i32> {
    Ok(std::mem::take(&mut socket.0.state().error))
}
