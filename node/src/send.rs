//! Sending without waiting, and waiting for room.

use crate::Failure;
use crate::watch::{Watch, Watched};
use napi::bindgen_prelude::{Either, Env, Function, Result};
use napi_derive::napi;
use sendfd_core::{Outgoing, Signal, Task};

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
#[napi(catch_unwind)]
pub fn watch_room(
    env: Env,
    id: i32,
    signo: i32,
    on_room: Function<'_, (), ()>,
) -> Result<Either<Watch, Failure>> {
    match Signal::new(signo).and_then(|signal| sendfd_core::room(Task::new(id)?, signal)) {
        Ok(link) => Watch::new(env, Watched::Link(link), &on_room).map(Either::A),
        Err(error) => Ok(Either::B(error.into())),
    }
}
