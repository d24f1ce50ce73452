//! Waiting for room in a full queue.

use crate::poll::{Interest, Poll};
use napi::Result;
use napi::bindgen_prelude::{Env, Function};
use napi_derive::napi;
use sendfd_core::{Awaited, Outbox};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// Tells that there is room, until it is closed.
#[napi]
#[derive(Debug)]
pub struct Watch {
    open: Option<(Poll, Watched)>,
}

/// What leads to the queue; it must stay open as long as it is polled, and so is dropped after that.
#[derive(Debug)]
pub(crate) enum Watched {
    /// A link of the cache.
    Link(OwnedFd, Awaited),
    Outbox(Arc<Outbox>),
}

impl Watch {
    pub(crate) fn new(
        env: Env,
        watched: Watched,
        callback: &Function<'_, (), ()>,
    ) -> Result<Watch> {
        let (fd, awaited) = match &watched {
            Watched::Link(link, awaited) => (link.as_fd(), *awaited),
            Watched::Outbox(outbox) => (outbox.as_fd(), outbox.awaited()),
        };
        let poll = Poll::new(env, fd, callback)?;
        poll.wait_for(match awaited {
            Awaited::Readable => Interest::Readable,
            Awaited::Writable => Interest::Writable,
        })?;
        Ok(Watch { open: Some((poll, watched)) })
    }
}

#[napi]
impl Watch {
    #[napi(catch_unwind)]
    pub fn close(&mut self) {
        self.open = None;
    }
}
