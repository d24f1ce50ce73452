//! Sending without waiting, and waiting for room.

use crate::Failure;
use crate::target::{To, target};
use crate::watch::{Watch, Watched};
use napi::bindgen_prelude::{Either, Env, Function, Result};
use napi_derive::napi;
use sendfd_core::Outgoing;

/// Queues one parcel; the failure, if it could not.
#[napi(catch_unwind)]
#[allow(clippy::needless_pass_by_value, reason = "as values come from JavaScript")]
pub fn send(to: To, signo: i32, fds: Vec<i32>, data: Option<&[u8]>) -> Option<Failure> {
    let data = data.unwrap_or_default();
    let sent = target(&to, signo)
        .and_then(|(target, signal)| Outgoing::from_raw(&fds).data(data).send(target, signal));
    sent.err().map(Failure::from)
}

/// Tells once a full queue has room again, or a guest may be let in.
#[napi(catch_unwind)]
#[allow(clippy::needless_pass_by_value, reason = "as values come from JavaScript")]
pub fn watch_room(
    env: Env,
    to: To,
    signo: i32,
    on_room: Function<'_, (), ()>,
) -> Result<Either<Watch, Failure>> {
    match target(&to, signo).and_then(|(target, signal)| sendfd_core::room(target, signal)) {
        Ok((link, awaited)) => {
            Watch::new(env, Watched::Link(link, awaited), &on_room).map(Either::A)
        }
        Err(error) => Ok(Either::B(error.into())),
    }
}
