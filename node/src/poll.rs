//! Waiting for a descriptor: in libuv's loop where the runtime has it, else by a thread.

use crate::helper;
use crate::uv;
use napi::Result;
use napi::bindgen_prelude::{Env, Function};
use napi_derive::napi;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    Readable,
    Writable,
    /// Nothing; but what waits keeps the process alive.
    Nothing,
}

/// Calls a function of JavaScript whenever a descriptor is as wanted. Closed when dropped.
#[derive(Debug)]
pub(crate) enum Poll {
    Loop(uv::Poll),
    Helper(helper::Poll),
}

static BY_HELPER: AtomicBool = AtomicBool::new(false);

/// To be called before anything else where `uv_poll_t` is not real: in Bun it aborts the process, in
/// Deno it tells of one event.
#[napi]
pub fn poll_by_helper() {
    BY_HELPER.store(true, Ordering::Relaxed);
}

impl Poll {
    /// Waits for nothing at first. `fd` must stay open until this is closed.
    pub(crate) fn new(
        env: Env,
        fd: BorrowedFd<'_>,
        callback: &Function<'_, (), ()>,
    ) -> Result<Poll> {
        if BY_HELPER.load(Ordering::Relaxed) {
            helper::Poll::new(fd, callback).map(Poll::Helper)
        } else {
            uv::Poll::new(env, fd, callback).map(Poll::Loop)
        }
    }

    pub(crate) fn wait_for(&self, interest: Interest) -> Result<()> {
        match self {
            Poll::Loop(poll) => poll.wait_for(interest),
            Poll::Helper(poll) => {
                poll.wait_for(interest);
                Ok(())
            }
        }
    }

    /// Whether it keeps the process alive while it is open.
    pub(crate) fn keep_alive(&mut self, env: Env, yes: bool) -> Result<()> {
        match self {
            Poll::Loop(poll) => {
                poll.keep_alive(yes);
                Ok(())
            }
            Poll::Helper(poll) => poll.keep_alive(env, yes),
        }
    }
}
