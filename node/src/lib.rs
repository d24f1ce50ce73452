//! What the JavaScript in `lib/` is built on: sending, and inboxes that wait in Node's event loop.
//!
//! Mechanism only. Failures are returned as values, of which `lib/errors.js` makes errors.
#![deny(unsafe_code)]
#![allow(clippy::must_use_candidate, clippy::missing_errors_doc, reason = "called by JavaScript")]
#![allow(missing_docs, missing_debug_implementations, reason = "index.d.ts documents the package")]

mod helper;
pub mod inbox;
pub mod outbox;
pub mod parcel;
pub mod poll;
pub mod send;
pub mod target;
#[allow(unsafe_code, reason = "the calls to libuv and Node-API that napi does not wrap")]
pub mod uv;
pub mod watch;

use napi_derive::napi;

/// Why a call failed.
#[napi(object)]
#[derive(Debug)]
pub struct Failure {
    pub errno: i32,
    pub code: String,
    pub syscall: String,
    pub message: String,
    /// Of the parcel that is kept.
    pub id: Option<i64>,
}

impl From<sendfd_core::Error> for Failure {
    fn from(error: sendfd_core::Error) -> Failure {
        Failure {
            errno: -error.errno(),
            code: error.name().to_owned(),
            syscall: error.call().to_owned(),
            message: format!("{}: {error}", error.name()),
            id: error.parcel().and_then(|info| i64::try_from(info.id).ok()),
        }
    }
}

#[napi]
pub const SIGNO: i32 = sendfd_core::Signal::DEFAULT.number();
#[napi]
#[allow(clippy::cast_possible_truncation, reason = "252")]
pub const MAX_FDS: u32 = sendfd_core::MAX_FDS as u32;
#[napi]
#[allow(clippy::cast_possible_truncation, reason = "65536")]
pub const MAX_DATA: u32 = sendfd_core::MAX_DATA as u32;
#[napi]
pub const VERSION: &str = sendfd_core::VERSION;
