//! What was received.

use napi::bindgen_prelude::Buffer;
use napi_derive::napi;
use sendfd_core::{Info, Parcel};
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};

/// Owns its descriptors, also when the environment ends before anybody closed them.
#[napi]
#[derive(Debug)]
pub struct NativeParcel {
    fds: Vec<OwnedFd>,
    data: Vec<u8>,
    info: Info,
}

impl From<Parcel> for NativeParcel {
    fn from(Parcel { fds, data, info, .. }: Parcel) -> NativeParcel {
        NativeParcel { fds, data, info }
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

    /// Whether the first one is a socket that listens.
    #[napi(getter, catch_unwind)]
    pub fn listens(&self) -> bool {
        self.fds.first().is_some_and(sendfd_core::is_listening)
    }

    #[napi(catch_unwind)]
    pub fn close(&mut self) {
        self.fds.clear();
    }
}
