//! Sending without waiting, and waiting for room.

use crate::Failure;
use crate::uv::{Interest, Poll};
use napi::bindgen_prelude::{Either, Env, Function, Result};
use napi_derive::napi;
use sendfd_core::{Outgoing, Signal, Task};
use std::os::fd::{AsFd, OwnedFd};

/// Queues one parcel; the failure, if it could not.
#[napi(catch_unwind)]
#[allow(clippy::needless_pass_by_value, reason = "as values come from JavaScript")]
pub fn send(id: i32, signo: i32, fds: Vec<i32>, data: Option<&[u8]>) -> Option<Failure> {
    let data = data.unwrap_or_default();
    let sent = Signal::new(signo)
        .and_then(|signal| Outgoing::from_raw(&fds).data(data).send(Task::new(id)?, signal));
    sent.err().map(Failure::from)
}

/// Tells once a full queue has room again.
#[napi]
#[derive(Debug)]
pub struct Room {
    // Dropped first: the descriptor must outlive it.
    poll: Option<Poll>,
    _link: OwnedFd,
}

#[napi]
impl Room {
    #[napi(catch_unwind)]
    pub fn wait(
        env: Env,
        id: i32,
        signo: i32,
        on_room: Function<'_, (), ()>,
    ) -> Result<Either<Room, Failure>> {
        let link = Signal::new(signo).and_then(|signal| sendfd_core::room(Task::new(id)?, signal));
        let link = match link {
            Ok(link) => link,
            Err(error) => return Ok(Either::B(error.into())),
        };
        let poll = Poll::new(env, link.as_fd(), &on_room)?;
        poll.wait_for(Interest::Writable)?;
        Ok(Either::A(Room { poll: Some(poll), _link: link }))
    }

    #[napi(catch_unwind)]
    pub fn close(&mut self) {
        self.poll = None;
    }
}
