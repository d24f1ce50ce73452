//! What was received.

use crate::Failure;
use napi::bindgen_prelude::Buffer;
use napi_derive::napi;
use rustix::net::sockopt::{socket_domain, socket_type};
use rustix::net::{AddressFamily, SocketType};
use sendfd_core::{Info, Outgoing, Parcel, Reply};
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};

/// Owns its descriptors, also when the environment ends before anybody closed them.
#[napi]
#[derive(Debug)]
pub struct NativeParcel {
    fds: Vec<OwnedFd>,
    data: Vec<u8>,
    info: Info,
    reply: Option<Reply>,
}

impl From<Parcel> for NativeParcel {
    fn from(Parcel { fds, data, info, reply }: Parcel) -> NativeParcel {
        NativeParcel { fds, data, info, reply }
    }
}

#[napi]
impl NativeParcel {
    #[napi(getter, catch_unwind)]
    pub fn fds(&self) -> Vec<i32> {
        self.fds.iter().map(AsRawFd::as_raw_fd).collect()
    }

    /// Moves the bytes out.
    #[napi(catch_unwind)]
    pub fn take_data(&mut self) -> Buffer {
        std::mem::take(&mut self.data).into()
    }

    #[napi(getter, catch_unwind)]
    pub fn pid(&self) -> i32 {
        self.info.pid
    }

    #[napi(getter, catch_unwind)]
    pub fn uid(&self) -> u32 {
        self.info.uid
    }

    #[napi(getter, catch_unwind)]
    pub fn gid(&self) -> u32 {
        self.info.gid
    }

    #[napi(getter, catch_unwind)]
    pub fn signo(&self) -> i32 {
        self.info.signo
    }

    /// The descriptors belong to the caller from now on.
    #[napi(catch_unwind)]
    pub fn take(&mut self) -> Vec<i32> {
        self.fds.drain(..).map(IntoRawFd::into_raw_fd).collect()
    }

    /// The same for the first one, if there is one.
    #[napi(catch_unwind)]
    pub fn take_first(&mut self) -> Option<i32> {
        (!self.fds.is_empty()).then(|| self.fds.remove(0).into_raw_fd())
    }

    /// Keeps a duplicate of the first one, whose number belongs to somebody else by now. False: there
    /// is no room for one.
    #[napi(catch_unwind)]
    pub fn duplicate_first(&mut self) -> bool {
        let Some(first) = self.fds.first_mut() else { return false };
        if let Ok(duplicate) = first.try_clone() {
            let _ = std::mem::replace(first, duplicate).into_raw_fd();
            return true;
        }
        self.take_first();
        false
    }

    /// What the first one is, if it is a socket of a usual kind.
    #[napi(getter, catch_unwind)]
    pub fn kind(&self) -> Option<&'static str> {
        let first = self.fds.first()?;
        let domain = socket_domain(first).ok()?;
        Some(match (domain, socket_type(first).ok()?) {
            (AddressFamily::INET | AddressFamily::INET6, SocketType::STREAM) => "tcp",
            (AddressFamily::UNIX, SocketType::STREAM) => "unix",
            (AddressFamily::INET, SocketType::DGRAM) => "udp4",
            (AddressFamily::INET6, SocketType::DGRAM) => "udp6",
            _ => return None,
        })
    }

    /// Whether the first one is a socket that listens.
    #[napi(getter, catch_unwind)]
    pub fn listens(&self) -> bool {
        self.fds.first().is_some_and(sendfd_core::is_listening)
    }

    #[napi(catch_unwind)]
    pub fn close(&mut self) {
        self.fds.clear();
        self.reply = None;
    }

    #[napi(getter, catch_unwind)]
    pub fn wants_reply(&self) -> bool {
        self.reply.is_some()
    }

    /// Answers its sender; the failure, if it could not. There may be another try unless it is EPIPE.
    #[napi(catch_unwind)]
    #[allow(clippy::needless_pass_by_value, reason = "as values come from JavaScript")]
    pub fn reply(&mut self, fds: Vec<i32>, data: Option<&[u8]>) -> Option<Failure> {
        let answer = Outgoing::from_raw(&fds).data(data.unwrap_or_default());
        let failure = self.reply.as_ref()?.try_send(answer).err().map(Failure::from);
        if failure.as_ref().is_none_or(|failure| failure.code == "EPIPE") {
            self.reply = None;
        }
        failure
    }
}
