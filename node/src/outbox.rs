//! A link to one inbox: what became of the parcels that went over it, and answers to requests.

use crate::Failure;
use crate::parcel::{Told, hold};
use crate::poll::{Interest, Poll};
use crate::target::{To, target};
use crate::watch::{Watch, Watched};
use napi::bindgen_prelude::{Either, Env, Function, Result};
use napi_derive::napi;
use sendfd_core::{Answer, Outbox, Outgoing, TakenWatch};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::Duration;

#[napi]
#[derive(Debug)]
pub struct NativeOutbox {
    outbox: Option<Arc<Outbox>>,
}

#[napi]
impl NativeOutbox {
    /// Without waiting for the inbox to be opened.
    #[napi(catch_unwind)]
    #[allow(clippy::needless_pass_by_value, reason = "as values come from JavaScript")]
    pub fn open(to: To, signo: i32) -> Either<NativeOutbox, Failure> {
        let opened = target(&to, signo)
            .and_then(|(target, signal)| Outbox::open(target, signal, Some(Duration::ZERO)));
        match opened {
            Ok(outbox) => Either::A(NativeOutbox { outbox: Some(Arc::new(outbox)) }),
            Err(error) => Either::B(error.into()),
        }
    }

    /// Queues one parcel; the failure, if it could not.
    #[napi(catch_unwind)]
    #[allow(clippy::needless_pass_by_value, reason = "as values come from JavaScript")]
    pub fn send(&self, fds: Vec<i32>, data: Option<&[u8]>) -> Option<Failure> {
        let outgoing = Outgoing::from_raw(&fds).data(data.unwrap_or_default());
        self.outbox.as_ref()?.send(outgoing).err().map(Failure::from)
    }

    /// Queues a request; `on_answer` is called when the answer is there, or will never be.
    #[napi(catch_unwind)]
    #[allow(clippy::needless_pass_by_value, reason = "as values come from JavaScript")]
    pub fn ask(
        &self,
        env: Env,
        fds: Vec<i32>,
        data: Option<&[u8]>,
        on_answer: Function<'_, (), ()>,
    ) -> Result<Option<Either<NativeAnswer, Failure>>> {
        let outgoing = Outgoing::from_raw(&fds).data(data.unwrap_or_default());
        let Some(outbox) = &self.outbox else { return Ok(None) };
        match outbox.ask(outgoing) {
            Ok(answer) => NativeAnswer::new(env, answer, &on_answer).map(|it| Some(Either::A(it))),
            Err(error) => Ok(Some(Either::B(error.into()))),
        }
    }

    /// Whether everything has been taken; `on_change` is called when that may have changed.
    #[napi(catch_unwind)]
    pub fn watch_taken(
        &self,
        env: Env,
        on_change: Function<'_, (), ()>,
    ) -> Result<Option<Either<NativeTaken, Failure>>> {
        let Some(outbox) = &self.outbox else { return Ok(None) };
        match outbox.watch_taken() {
            Ok(watch) => NativeTaken::new(env, watch, &on_change).map(|it| Some(Either::A(it))),
            Err(error) => Ok(Some(Either::B(error.into()))),
        }
    }

    /// Tells once its queue has room.
    #[napi(catch_unwind)]
    pub fn watch_room(&self, env: Env, on_room: Function<'_, (), ()>) -> Result<Option<Watch>> {
        let Some(outbox) = &self.outbox else { return Ok(None) };
        Watch::new(env, Watched::Outbox(Arc::clone(outbox)), &on_room).map(Some)
    }

    #[napi(getter, catch_unwind)]
    pub fn fd(&self) -> i32 {
        self.outbox.as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }

    #[napi(catch_unwind)]
    pub fn close(&mut self) {
        self.outbox = None;
    }
}

/// An answer that is awaited.
#[napi]
#[derive(Debug)]
pub struct NativeAnswer {
    // Dropped first: the descriptor must outlive it.
    poll: Option<Poll>,
    answer: Option<Answer>,
}

#[napi]
impl NativeAnswer {
    fn new(env: Env, answer: Answer, on_answer: &Function<'_, (), ()>) -> Result<NativeAnswer> {
        let poll = Poll::new(env, answer.as_fd(), on_answer)?;
        poll.wait_for(Interest::Readable)?;
        Ok(NativeAnswer { poll: Some(poll), answer: Some(answer) })
    }

    /// Writes down the answer (see `hold`), if it is there; it is kept where there is no room for its descriptors.
    #[napi(catch_unwind)]
    pub fn recv(&self, env: Env, told: Told<'_>) -> Result<Option<Either<u32, Failure>>> {
        Ok(match self.answer.as_ref().map(|answer| answer.recv(Some(Duration::ZERO))) {
            Some(Ok(parcel)) => Some(Either::A(hold(env, parcel, told)?)),
            Some(Err(error)) if error.name() != "EAGAIN" => Some(Either::B(error.into())),
            _ => None,
        })
    }

    /// Nothing more is told.
    #[napi(catch_unwind)]
    pub fn stop(&mut self) {
        self.poll = None;
    }

    /// Withdraws the wish for it.
    #[napi(catch_unwind)]
    pub fn close(&mut self) {
        self.poll = None;
        self.answer = None;
    }
}

/// Whether everything that was sent has been taken.
#[napi]
#[derive(Debug)]
pub struct NativeTaken {
    // Dropped first: the descriptor must outlive it.
    poll: Option<Poll>,
    watch: Option<TakenWatch>,
}

#[napi]
impl NativeTaken {
    fn new(env: Env, watch: TakenWatch, on_change: &Function<'_, (), ()>) -> Result<NativeTaken> {
        let poll = Poll::new(env, watch.as_fd(), on_change)?;
        poll.wait_for(Interest::Readable)?;
        Ok(NativeTaken { poll: Some(poll), watch: Some(watch) })
    }

    #[napi(catch_unwind)]
    pub fn look(&self) -> Option<Either<bool, Failure>> {
        Some(match self.watch.as_ref()?.is_taken() {
            Ok(taken) => Either::A(taken),
            Err(error) => Either::B(error.into()),
        })
    }

    #[napi(catch_unwind)]
    pub fn close(&mut self) {
        self.poll = None;
        self.watch = None;
    }
}
