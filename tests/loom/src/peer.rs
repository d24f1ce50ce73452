//! A connected socket and its receiver, as `send/fate.rs` and `send/welcome.rs` see them. Each step of the receiver is one that
//! others can see, hence the lock: what is behind it is tried in every order.

use crate::kernel::{EAGAIN, ECONNRESET, ENOBUFS, EPIPE};
use crate::sync::{Mutex, MutexGuard, PoisonError};
use crate::{Errno, Result};
use std::collections::VecDeque;
use std::marker::PhantomData;

#[derive(Default, Debug)]
struct State {
    unconsumed: usize,
    hung_up: bool,
    error: i32,
    said: VecDeque<[u8; HEADER]>,
    /// What the receiver said and the sender took.
    taken: Vec<[u8; HEADER]>,
    /// Nothing more can be said.
    deaf: bool,
    /// The next option cannot be set.
    short: bool,
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

pub(crate) const HEADER: usize = 1;
pub(crate) const WELCOME: [u8; HEADER] = [1];
pub(crate) const LIE: [u8; HEADER] = [2];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Whom {
    Own,
    Guests,
}

pub(crate) struct Glimpse {
    pub(crate) len: usize,
    pub(crate) has_more: bool,
}

impl Socket {
    pub(crate) fn say(&self, word: [u8; HEADER]) {
        let mut state = self.state();
        if !state.deaf {
            state.said.push_back(word);
        }
    }

    pub(crate) fn run_short(&self) {
        self.state().short = true;
    }

    /// What was taken of what was said, and whether more can be said.
    pub(crate) fn heard(&self) -> (Vec<[u8; HEADER]>, bool) {
        let state = self.state();
        (state.taken.clone(), state.deaf)
    }
}

pub(crate) fn glimpse(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> Result<Glimpse> {
    let first = socket.0.state().said.front().copied().ok_or(Errno(EAGAIN))?;
    bytes.copy_from_slice(&first);
    Ok(Glimpse { len: HEADER, has_more: false })
}

pub(crate) fn discard(socket: BorrowedFd<'_>) -> Result<()> {
    let mut state = socket.0.state();
    let first = state.said.pop_front().ok_or(Errno(EAGAIN))?;
    state.taken.push(first);
    Ok(())
}

pub(crate) fn stop_reading(socket: BorrowedFd<'_>) {
    socket.0.state().deaf = true;
}

pub(crate) fn pass_credentials(socket: BorrowedFd<'_>) -> Result<()> {
    if std::mem::take(&mut socket.0.state().short) { Err(Errno(ENOBUFS)) } else { Ok(()) }
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
