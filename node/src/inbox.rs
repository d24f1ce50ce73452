//! An inbox that waits in Node's event loop.

use crate::Failure;
use crate::parcel::{Told, hold};
use crate::poll::{Interest, Poll};
use napi::bindgen_prelude::{Either, Env, Function, Result};
use napi_derive::napi;
use sendfd_core::{Mailbox, Options, Signal};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::rc::Rc;
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
    mailbox: Rc<Mailbox>,
    number: i64,
}

thread_local! {
    static LAST: Cell<i64> = const { Cell::new(0) };
    /// The open ones of this thread: to find an object of Node-API takes longer than to receive.
    static BY_NUMBER: RefCell<HashMap<i64, Rc<Mailbox>>> = RefCell::default();
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
        let open = Open { poll, mailbox: Rc::new(mailbox), number: LAST.get() + 1 };
        LAST.set(open.number);
        BY_NUMBER.with_borrow_mut(|all| all.insert(open.number, Rc::clone(&open.mailbox)));
        Ok(Either::A(NativeInbox { open: Some(open) }))
    }

    /// By which `receive` knows it.
    #[napi(getter, catch_unwind)]
    pub fn number(&self) -> i64 {
        self.open.as_ref().map_or(0, |open| open.number)
    }

    /// The text that names it on this machine.
    #[napi(getter, catch_unwind)]
    pub fn address(&self) -> Option<String> {
        self.open.as_ref()?.mailbox.address().ok().map(|address| address.to_string())
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

/// Writes down the next parcel (see `hold`), if there is one.
#[napi(catch_unwind)]
pub fn receive(env: Env, inbox: i64, told: Told<'_>) -> Result<Option<Either<u32, Failure>>> {
    let taken =
        BY_NUMBER.with_borrow(|all| all.get(&inbox).map(|it| it.recv(Some(Duration::ZERO))));
    Ok(match taken {
        Some(Ok(parcel)) => Some(Either::A(hold(env, parcel, told)?)),
        Some(Err(error)) if error.name() != "EAGAIN" => Some(Either::B(error.into())),
        _ => None,
    })
}

impl Drop for Open {
    fn drop(&mut self) {
        // Not there any more where the thread ends.
        let _ = BY_NUMBER.try_with(|all| all.borrow_mut().remove(&self.number));
    }
}
