//! An inbox that waits in Node's event loop.

use crate::Failure;
use crate::parcel::NativeParcel;
use crate::poll::{Interest, Poll};
use napi::bindgen_prelude::{Either, Env, Function, Result};
use napi_derive::napi;
use sendfd_core::{Mailbox, Options, Signal};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::time::Duration;

/// Who may send beside root and the own user, and where it listens.
#[napi(object)]
#[derive(Debug)]
pub struct Access {
    pub users: Vec<u32>,
    pub groups: Vec<u32>,
    pub anyone: bool,
    pub directory: Option<String>,
}

#[napi]
#[derive(Debug)]
pub struct NativeInbox {
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    // Dropped first: the mailbox's descriptor must outlive it.
    poll: Poll,
    mailbox: Mailbox,
}

#[napi]
impl NativeInbox {
    /// `on_readable` is called when there may be mail, while mail is wanted.
    #[napi(catch_unwind)]
    pub fn open(
        env: Env,
        signo: i32,
        thread: bool,
        access: Access,
        on_readable: Function<'_, (), ()>,
    ) -> Result<Either<NativeInbox, Failure>> {
        let Access { users, groups, anyone, directory } = access;
        let directory = directory.as_deref().map(Path::new);
        let (uids, gids) = (&users[..], &groups[..]);
        let options = Options { thread, signals: false, uids, gids, anyone, directory };
        let mailbox = match Signal::new(signo).and_then(|signal| Mailbox::open(signal, options)) {
            Ok(mailbox) => mailbox,
            Err(error) => return Ok(Either::B(error.into())),
        };
        let poll = Poll::new(env, mailbox.as_fd(), &on_readable)?;
        poll.wait_for(Interest::Nothing)?;
        Ok(Either::A(NativeInbox { open: Some(Open { poll, mailbox }) }))
    }

    /// The text that names it on this machine.
    #[napi(getter, catch_unwind)]
    pub fn address(&self) -> Option<String> {
        self.open.as_ref()?.mailbox.address().ok().map(|address| address.to_string())
    }

    /// The next parcel, if there is one.
    #[napi(catch_unwind)]
    pub fn recv(&self) -> Option<Either<NativeParcel, Failure>> {
        match self.open.as_ref()?.mailbox.recv(Some(Duration::ZERO)) {
            Ok(parcel) => Some(Either::A(parcel.into())),
            Err(error) if error.name() == "EAGAIN" => None,
            Err(error) => Some(Either::B(error.into())),
        }
    }

    /// Throws a parcel away that is kept; the failure, if it could not.
    #[napi(catch_unwind)]
    pub fn discard(&self, id: i64) -> Option<Failure> {
        let mailbox = &self.open.as_ref()?.mailbox;
        mailbox.discard(u64::try_from(id).ok()?).err().map(Failure::from)
    }

    #[napi(catch_unwind)]
    pub fn want(&self, mail: bool) -> Result<()> {
        let interest = if mail { Interest::Readable } else { Interest::Nothing };
        self.open.as_ref().map_or(Ok(()), |open| open.poll.wait_for(interest))
    }

    #[napi(catch_unwind)]
    pub fn keep_alive(&mut self, env: Env, yes: bool) -> Result<()> {
        self.open.as_mut().map_or(Ok(()), |open| open.poll.keep_alive(env, yes))
    }

    #[napi(getter, catch_unwind)]
    pub fn fd(&self) -> i32 {
        self.open.as_ref().map_or(-1, |open| open.mailbox.as_raw_fd())
    }

    #[napi(catch_unwind)]
    pub fn close(&mut self) {
        self.open = None;
    }
}
