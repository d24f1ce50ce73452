//! Waiting until a receiver has taken what was sent to it.

use super::held::HeldLink;
use crate::deadline::Deadline;
use crate::error::{self, Call, Result};
use crate::sys::cancel::Uncancelled;
use crate::sys::epoll::{self, Ready};
use crate::sys::fd::PrivateFd;
use crate::sys::shared::Shared;
use crate::sys::{self, Errno};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

/// Without a pidfd of the receiver, its end is looked for so often.
const LOOK_AGAIN_MS: i32 = 1000;

/// Whether everything that was sent through an [`Outbox`](crate::Outbox) has been taken, for an event
/// loop: its descriptor polls readable whenever the answer may have changed.
///
/// It goes on when the outbox is dropped. A forked child does not have it.
#[derive(Debug)]
pub struct TakenWatch {
    held: Shared<HeldLink>,
    epoll: PrivateFd,
    /// A member of the set, where the kernel gives one.
    receiver: Option<PrivateFd>,
}

impl TakenWatch {
    pub(crate) fn new(held: &Shared<HeldLink>) -> sys::Result<TakenWatch> {
        let epoll = PrivateFd::new(epoll::create)?;
        epoll::add_each_writable(epoll.as_fd(), held.as_fd())?;
        let receiver = held.link().receiver_pidfd();
        if let Some(receiver) = &receiver {
            epoll::add(epoll.as_fd(), receiver.as_fd())?;
        }
        Ok(TakenWatch { held: held.clone(), epoll, receiver })
    }

    /// Whether everything has been taken. Never waits.
    ///
    /// # Errors
    /// `ECONNRESET` the inbox was closed or its process died with something untaken; `EPERM` made before
    /// a fork.
    pub fn is_taken(&self) -> Result<bool> {
        let _uncancelled = Uncancelled::begin();
        let call = call(&self.held, Some(Duration::ZERO));
        self.held.check().and_then(|()| self.look()).map_err(error::of(call))
    }

    fn look(&self) -> sys::Result<bool> {
        // What was reported until now is looked at below; from now on it is news.
        match self.wait(Deadline::Now) {
            Err(Errno(libc::EINTR)) | Ok(()) => self.held.verdict()?.is_taken(),
            Err(errno) => Err(errno),
        }
    }

    fn wait(&self, deadline: Deadline) -> sys::Result<()> {
        let left = match (deadline.left_ms(), &self.receiver) {
            (left, Some(_)) => left,
            (-1, None) => LOOK_AGAIN_MS,
            (left, None) => left.min(LOOK_AGAIN_MS),
        };
        epoll::wait(self.epoll.as_fd(), &mut Ready::new(), left)
    }
}

/// Waits until everything has been taken.
pub(crate) fn wait(held: &Shared<HeldLink>, deadline: Deadline) -> sys::Result<()> {
    if held.verdict()?.is_taken()? {
        return Ok(());
    }
    if deadline.has_passed() {
        return Err(Errno(deadline.errno()));
    }
    let watch = TakenWatch::new(held)?;
    while !watch.look()? {
        if deadline.has_passed() {
            return Err(Errno(deadline.errno()));
        }
        watch.wait(deadline)?;
    }
    Ok(())
}

/// For what an error says.
pub(crate) fn call(held: &HeldLink, timeout: Option<Duration>) -> Call {
    Call::WaitTaken { to: held.to, signo: held.signal.number(), timeout }
}

impl AsFd for TakenWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

impl AsRawFd for TakenWatch {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use crate::sys::fd::{Awaited, poll};
    use crate::{Outbox, Outgoing, QuietInbox, Signal, Task};
    use std::os::fd::AsFd;
    use std::time::Duration;

    /// C waits by a call of its own.
    #[test]
    fn a_watch_tells_when_the_last_one_is_taken() {
        let signal = Signal::new(56).expect("a real-time signal");
        let inbox = QuietInbox::open(signal).expect("opens");
        let outbox = Outbox::open(Task::this_process(), signal, None).expect("opens");
        let watch = outbox.watch_taken().expect("memory");
        let polls = |ms| poll([(watch.as_fd(), Awaited::Readable)], ms).expect("polls") != [0];
        assert!(watch.is_taken().expect("nothing was sent"));
        for _ in 0..3 {
            outbox.send(Outgoing::from_raw(&[0])).expect("sends");
        }
        for _ in 0..3 {
            assert!(!watch.is_taken().expect("it waits") && !polls(0));
            inbox.recv(Some(Duration::ZERO)).expect("it is there");
            assert!(polls(10_000), "asleep");
        }
        assert!(watch.is_taken().expect("the receiver lives") && !polls(0));
        outbox.send(Outgoing::from_raw(&[0])).expect("sends");
        drop(inbox);
        assert!(polls(10_000), "asleep");
        assert_eq!(watch.is_taken().map_err(|error| error.errno()), Err(libc::ECONNRESET));
    }
}
