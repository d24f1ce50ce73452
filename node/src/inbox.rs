//! An inbox that waits in Node's event loop.

use crate::Failure;
use crate::uv::{Interest, Poll};
use napi::bindgen_prelude::{Buffer, Either, Env, Function, Result};
use napi_derive::napi;
use sendfd_core::{Mailbox, Options, Parcel, Signal};
use std::os::fd::{AsFd, AsRawFd, IntoRawFd};
use std::time::Duration;

/// A parcel; its descriptors belong to whoever gets it.
#[napi(object)]
pub struct Content {
    pub fds: Vec<i32>,
    pub data: Buffer,
    pub pid: i32,
    pub uid: u32,
    pub gid: u32,
    pub signo: i32,
}

impl From<Parcel> for Content {
    fn from(Parcel { fds, data, info }: Parcel) -> Content {
        Content {
            fds: fds.into_iter().map(IntoRawFd::into_raw_fd).collect(),
            data: data.into(),
            pid: info.pid,
            uid: info.uid,
            gid: info.gid,
            signo: info.signo,
        }
    }
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
        on_readable: Function<'_, (), ()>,
    ) -> Result<Either<NativeInbox, Failure>> {
        let options = Options { thread, signals: false };
        let mailbox = match Signal::new(signo).and_then(|signal| Mailbox::open(signal, options)) {
            Ok(mailbox) => mailbox,
            Err(error) => return Ok(Either::B(error.into())),
        };
        let poll = Poll::new(env, mailbox.as_fd(), &on_readable)?;
        poll.wait_for(Interest::Nothing)?;
        Ok(Either::A(NativeInbox { open: Some(Open { poll, mailbox }) }))
    }

    /// The next parcel, if there is one; EAGAIN otherwise.
    #[napi(catch_unwind)]
    pub fn recv(&self) -> Option<Either<Content, Failure>> {
        let open = self.open.as_ref()?;
        Some(match open.mailbox.recv(Some(Duration::ZERO)) {
            Ok(parcel) => Either::A(parcel.into()),
            Err(error) => Either::B(error.into()),
        })
    }

    #[napi(catch_unwind)]
    pub fn want(&self, mail: bool) -> Result<()> {
        let interest = if mail { Interest::Readable } else { Interest::Nothing };
        self.open.as_ref().map_or(Ok(()), |open| open.poll.wait_for(interest))
    }

    #[napi(catch_unwind)]
    pub fn keep_alive(&self, yes: bool) {
        if let Some(open) = &self.open {
            open.poll.keep_alive(yes);
        }
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
