//! A link that an outbox holds, and what is known of it.

use super::fate::{Fate, Verdict};
use super::link::Link;
use super::welcome::Standing;
use crate::address::{Recipient, Target};
use crate::deadline::Deadline;
use crate::error::To;
use crate::outgoing::Message;
use crate::signal::Signal;
use crate::sys::shared::Shared;
use crate::sys::{Errno, Result, clock, fork, thread_table};
use std::mem::offset_of;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// A task that has no inbox yet is looked at again after so long at most.
///
/// KERNEL: nothing tells that a name has come into use.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What a send looks at comes first, within one line of memory.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct HeldLink {
    fate: Fate,
    generation: u32,
    link: Link,
    /// For what errors say.
    pub(crate) to: To,
    pub(crate) signal: Signal,
}

const _: () = assert!(Shared::<HeldLink>::OFFSET + offset_of!(HeldLink, link) + Link::HOT <= 64);

impl HeldLink {
    /// Connects, and waits until the deadline for the task to open its inbox.
    pub(crate) fn open(
        target: Target<'_>,
        signal: Signal,
        deadline: Deadline,
        interruptible: bool,
    ) -> Result<HeldLink> {
        let generation = fork::generation();
        let signal = target.signal(signal);
        let recipient = Recipient::find(target)?;
        let (mut pause, mut turned_away) = (Duration::from_millis(1), false);
        let link = loop {
            match Link::open(&recipient, signal, deadline, interruptible) {
                Err(Errno(libc::ECONNREFUSED)) if !matches!(deadline, Deadline::Now) => {
                    if deadline.has_passed() {
                        return Err(Errno(deadline.errno()));
                    }
                    let left = deadline.at_most(pause).left_ms();
                    match recipient.wait_for_its_end(left) {
                        Err(Errno(libc::EINTR)) if !interruptible => {}
                        Ok(true) => return Err(Errno(libc::ESRCH)),
                        waited => drop(waited?),
                    }
                    pause = pause.saturating_mul(2).min(LOOK_AGAIN);
                }
                link => {
                    let link = link?;
                    if wait_for_welcome(&link, deadline, interruptible)? {
                        break link;
                    }
                    // Or the inbox was closed, which a further attempt tells.
                    if turned_away {
                        return Err(Errno(libc::EPERM));
                    }
                    turned_away = true;
                }
            }
        };
        Ok(HeldLink { fate: Fate::default(), generation, link, to: target.into(), signal })
    }

    /// EPERM: it was opened before a fork.
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_inherited() { Err(Errno(libc::EPERM)) } else { thread_table::check() }
    }

    pub(crate) fn is_inherited(&self) -> bool {
        self.generation != fork::generation()
    }

    /// Queues a message, and waits for room until the deadline.
    pub(crate) fn queue(
        &self,
        message: &Message<'_>,
        deadline: Deadline,
        interruptible: bool,
    ) -> Result<()> {
        let link = &self.link;
        if link.is_trusted_at(clock::coarse_ms()) {
            // Whoever is trusted has let us in.
            match self.fate.of(|| link.send(message)) {
                Ok(()) => return Ok(()),
                Err(errno) if tells_the_end(errno) => return Err(Errno(libc::EPIPE)),
                Err(_) => {}
            }
        }
        self.queue_with_care(message, deadline, interruptible)
    }

    /// Looks at the link first, waits, and tells apart what can go wrong.
    #[cold]
    #[inline(never)]
    fn queue_with_care(
        &self,
        message: &Message<'_>,
        deadline: Deadline,
        interruptible: bool,
    ) -> Result<()> {
        let link = &self.link;
        let gone = Err(Errno(libc::EPIPE));
        loop {
            if !link.is_trusted() {
                return gone;
            }
            match link.standing()? {
                Standing::LetIn => {}
                Standing::NotYet if deadline.has_passed() => return Err(Errno(deadline.errno())),
                Standing::NotYet => {
                    wait_for_room(link, deadline, interruptible)?;
                    continue;
                }
                Standing::TurnedAway if link.receiver_lives() => return Err(Errno(libc::EPERM)),
                Standing::TurnedAway => return gone,
            }
            match self.fate.of(|| link.send(message)) {
                Ok(()) => return Ok(()),
                Err(errno) if tells_the_end(errno) => return gone,
                // Whatever it says, it is not the link that says it.
                Err(_) if !link.is_intact() => return gone,
                Err(Errno(libc::EAGAIN)) => {
                    if !link.reaches_the_living() {
                        return gone;
                    }
                    if deadline.has_passed() {
                        return Err(Errno(deadline.errno()));
                    }
                    wait_for_room(link, deadline, interruptible)?;
                }
                sent => return sent,
            }
        }
    }

    /// What became of all that was sent.
    pub(crate) fn verdict(&self) -> Result<Verdict> {
        self.fate.look(self.link.as_fd(), || self.link.reaches_the_living())
    }

    pub(crate) fn link(&self) -> &Link {
        &self.link
    }
}

/// KERNEL: a socket tells only once that its peer went with something unread. What has told so sends nothing more.
fn tells_the_end(Errno(errno): Errno) -> bool {
    matches!(errno, libc::EPIPE | libc::ECONNRESET | libc::ENOTCONN)
}

fn wait_for_room(link: &Link, deadline: Deadline, interruptible: bool) -> Result<()> {
    match link.wait_for_room(deadline) {
        Err(Errno(libc::EINTR)) if !interruptible => Ok(()),
        waited => waited,
    }
}

/// Waits until the receiver has let us in; where that must not wait, the first send will tell. `false`: it
/// has turned us away.
fn wait_for_welcome(link: &Link, deadline: Deadline, interruptible: bool) -> Result<bool> {
    loop {
        match link.standing()? {
            Standing::LetIn => return Ok(true),
            Standing::TurnedAway => return Ok(false),
            Standing::NotYet if matches!(deadline, Deadline::Now) => return Ok(true),
            Standing::NotYet if deadline.has_passed() => return Err(Errno(deadline.errno())),
            Standing::NotYet => wait_for_room(link, deadline, interruptible)?,
        }
    }
}

impl AsFd for HeldLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }
}
