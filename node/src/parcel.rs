//! What was received, and has not been given away: JavaScript knows it by a number.
//!
//! To make an object of Node-API for each, and to find it again for each call, takes several times as
//! long as to receive it.

use crate::Failure;
use napi::Result;
use napi::bindgen_prelude::{BufferSlice, Env};
use napi_derive::napi;
use rustix::net::sockopt::{socket_domain, socket_type};
use rustix::net::{AddressFamily, SocketType};
use sendfd_core::{Info, Outgoing, Parcel, Reply};
use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};

/// Owns its descriptors, also when the environment ends before anybody closed them.
#[derive(Debug)]
struct Received {
    environment: usize,
    fds: Vec<OwnedFd>,
    data: Vec<u8>,
    reply: Option<Reply>,
}

/// What the environments of this thread hold.
#[derive(Debug, Default)]
struct Held {
    last: i64,
    parcels: HashMap<i64, Received>,
    environments: Vec<usize>,
}

thread_local! {
    static HELD: RefCell<Held> = RefCell::default();
}

/// How many numbers tell of a parcel, beside its descriptors.
#[napi]
pub const TOLD: u32 = 7;

/// Memory of JavaScript's, a `Float64Array`. By this name: napi wants a class behind what looks like a reference.
pub type Told<'a> = &'a mut [f64];

/// Writes down the number of the parcel, its sender's pid, uid and gid, the signal number, whether an answer
/// is wanted, how many bytes came, and the descriptors. Returns how many numbers these are.
///
/// By memory of JavaScript's, since an array takes a call of V8 for each.
#[allow(clippy::cast_precision_loss, reason = "numbers of parcels and lengths, far below 2^53")]
pub(crate) fn hold(env: Env, parcel: Parcel, told: Told<'_>) -> Result<u32> {
    let Parcel { fds, data, info, reply } = parcel;
    let Info { pid, uid, gid, signo, .. } = info;
    let environment = env.raw() as usize;
    let received = Received { environment, fds, data, reply };
    let is_new = HELD.with_borrow(|held| !held.environments.contains(&environment));
    if is_new {
        env.add_env_cleanup_hook(environment, forget)?;
    }
    HELD.with_borrow_mut(|held| {
        if is_new {
            held.environments.push(environment);
        }
        held.last += 1;
        let wants_reply = f64::from(u8::from(received.reply.is_some()));
        let (pid, uid, gid, signo) = (pid.into(), uid.into(), gid.into(), signo.into());
        let len = received.data.len() as f64;
        let first = [held.last as f64, pid, uid, gid, signo, wants_reply, len];
        let numbers = received.fds.iter().map(|fd| f64::from(fd.as_raw_fd()));
        let mut count = 0;
        for (place, number) in told.iter_mut().zip(first.into_iter().chain(numbers)) {
            *place = number;
            count += 1;
        }
        if !received.is_empty() {
            held.parcels.insert(held.last, received);
        }
        Ok(count)
    })
}

fn forget(environment: usize) {
    let forgotten: Vec<_> = HELD.with_borrow_mut(|held| {
        held.environments.retain(|other| *other != environment);
        held.parcels.extract_if(|_, received| received.environment == environment).collect()
    });
    drop(forgotten);
}

/// Nothing is kept of a parcel in which nothing is left.
fn with<T>(parcel: i64, call: impl FnOnce(&mut Received) -> T) -> Option<T> {
    HELD.with_borrow_mut(|held| {
        let Entry::Occupied(mut received) = held.parcels.entry(parcel) else { return None };
        let result = call(received.get_mut());
        if received.get().is_empty() {
            received.remove();
        }
        Some(result)
    })
}

/// Moves the bytes out.
#[napi(catch_unwind)]
#[allow(clippy::trivially_copy_pass_by_ref, reason = "what the buffer lives as long as")]
pub fn take_data(env: &Env, parcel: i64) -> Result<BufferSlice<'_>> {
    let data = with(parcel, |received| std::mem::take(&mut received.data)).unwrap_or_default();
    if data.len() <= COPIED {
        BufferSlice::copy_from(env, data)
    } else {
        BufferSlice::from_data(env, data)
    }
}

/// Up to here a copy takes V8 less than memory that it must have somebody else free.
const COPIED: usize = 8192;

/// The descriptors belong to the caller from now on.
#[napi(catch_unwind)]
pub fn take_descriptors(parcel: i64) {
    with(parcel, |received| {
        for fd in received.fds.drain(..) {
            let _ = fd.into_raw_fd();
        }
    });
}

/// The same for the first one, if there is one.
#[napi(catch_unwind)]
pub fn take_first(parcel: i64) {
    with(parcel, Received::take_first);
}

/// Keeps a duplicate of the first one, whose number belongs to somebody else by now: its number, or none
/// if there is no room for one.
#[napi(catch_unwind)]
pub fn duplicate_first(parcel: i64) -> Vec<i32> {
    let duplicated = with(parcel, |received| {
        let duplicate = received.fds.first()?.try_clone().ok();
        received.take_first();
        let number = duplicate.as_ref().map(AsRawFd::as_raw_fd);
        received.fds.splice(0..0, duplicate);
        number
    });
    duplicated.flatten().into_iter().collect()
}

/// What the first one is: the place of its kind in `KINDS` there, and [`LISTENS`] if it is a socket that does.
#[napi(catch_unwind)]
pub fn kind(parcel: i64) -> u32 {
    with(parcel, |received| received.fds.first().map_or(0, kind_of)).unwrap_or_default()
}

#[napi]
pub const LISTENS: u32 = 8;

fn kind_of(fd: &OwnedFd) -> u32 {
    let kind = match (socket_domain(fd), socket_type(fd)) {
        (Ok(AddressFamily::INET | AddressFamily::INET6), Ok(SocketType::STREAM)) => 1,
        (Ok(AddressFamily::UNIX), Ok(SocketType::STREAM)) => 2,
        (Ok(AddressFamily::INET), Ok(SocketType::DGRAM)) => 3,
        (Ok(AddressFamily::INET6), Ok(SocketType::DGRAM)) => 4,
        _ => 0,
    };
    if sendfd_core::is_listening(fd) { kind | LISTENS } else { kind }
}

/// Closes what is left in it, and the place for an answer.
#[napi(catch_unwind)]
pub fn close_parcel(parcel: i64) {
    let closed = HELD.with_borrow_mut(|held| held.parcels.remove(&parcel));
    drop(closed);
}

/// Answers its sender; the failure, if it could not. There may be another try unless it is EPIPE.
#[napi(catch_unwind)]
#[allow(clippy::needless_pass_by_value, reason = "as values come from JavaScript")]
pub fn reply(parcel: i64, fds: Vec<i32>, data: Option<&[u8]>) -> Option<Failure> {
    with(parcel, |received| {
        let answer = Outgoing::from_raw(&fds).data(data.unwrap_or_default());
        let failure = received.reply.as_ref()?.try_send(answer).err().map(Failure::from);
        if failure.as_ref().is_none_or(|failure| failure.code == "EPIPE") {
            received.reply = None;
        }
        failure
    })?
}

impl Received {
    fn is_empty(&self) -> bool {
        self.fds.is_empty() && self.data.is_empty() && self.reply.is_none()
    }

    fn take_first(&mut self) {
        if !self.fds.is_empty() {
            let _ = self.fds.remove(0).into_raw_fd();
        }
    }
}
