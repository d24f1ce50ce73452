//! Whom a parcel is for.

use napi::bindgen_prelude::Either;
use sendfd_core::{Address, Result, Signal, Target, Task};

/// An id, or an address as text.
pub type To = Either<i32, String>;

/// The target, and the signal number of its inbox: an address has one of its own.
pub(crate) fn target(to: &To, signo: i32) -> Result<(Target<'static>, Signal)> {
    match to {
        Either::A(id) => Ok((Target::Task(Task::new(*id)?), Signal::new(signo)?)),
        Either::B(text) => {
            let address = text.parse::<Address>()?;
            Ok((Target::Address(address), address.signal()))
        }
    }
}
