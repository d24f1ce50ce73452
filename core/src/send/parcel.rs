//! Sending to a task, over a link that is kept.

use super::cache::{Cache, Key, Who};
use super::link::Link;
use super::welcome::Standing;
use crate::address::{Identity, Recipient, Target, Task, visible};
use crate::deadline::Deadline;
use crate::error::{self, Call, Result, To};
use crate::outgoing::{Message, Outgoing};
use crate::signal::Signal;
use crate::sys::cancel::Uncancelled;
use crate::sys::fd::Awaited;
use crate::sys::shared::Shared;
use crate::sys::{self, Errno, clock, fd, pidfd, thread_table};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

/// Queues `fd` to `task`, which is told by `signal`. Never waits.
///
/// On success the kernel holds a reference in the receiver's queue, whatever becomes of this
/// process, and `fd` may be closed. It does not mean that the receiver has taken it, or will.
///
/// # Errors
/// `ESRCH` no such task; `ECONNREFUSED` it has no inbox for this signal; `EPERM` not allowed to
/// signal it, or it would not let this user in; `EAGAIN` its queue is full, or too many others wait
/// to be accepted; `ETOOMANYREFS` too many descriptors of this user are in flight; `EINVAL` a
/// descriptor of a kind that cannot be passed; `EMFILE`, `ENFILE` none left for the connection;
/// `ENOMEM`, `ENOBUFS`.
///
/// ```
/// use sendfd_core::{QuietInbox, Signal, Task, send};
///
/// let inbox = QuietInbox::open(Signal::new(51)?)?;
/// send(Task::this_process(), Signal::new(51)?, std::io::stdin())?;
/// let parcel = inbox.recv(None)?;
/// assert_eq!(parcel.info.pid, Task::this_process().id());
/// # Ok::<(), sendfd_core::Error>(())
/// ```
pub fn send(task: Task, signal: Signal, fd: impl AsFd) -> Result<()> {
    send_one(Target::Task(task), signal, fd.as_fd().as_raw_fd())
}

/// The same to the task that a pidfd stands for, which no other can be mistaken for.
///
/// # Errors
/// As [`send`]; also `EBADF`, `EINVAL`: that is no open pidfd.
pub fn send_pidfd(pidfd: impl AsFd, signal: Signal, fd: impl AsFd) -> Result<()> {
    send_one(Target::Pidfd(pidfd.as_fd()), signal, fd.as_fd().as_raw_fd())
}

fn send_one(target: Target<'_>, signal: Signal, fd: RawFd) -> Result<()> {
    Outgoing::from_raw(&[fd]).dispatch(target, signal).map_err(|errno| {
        error::of(Call::Send { to: target.into(), signo: signal.number(), fd })(errno)
    })
}

impl Outgoing<'_> {
    /// Queues the parcel, all of it or nothing.
    ///
    /// # Errors
    /// As [`send`]; also `EINVAL` too many descriptors; `EMSGSIZE` too many bytes; `EBADF` a
    /// number that is not open; `ETIMEDOUT` no room in time; `EINTR` if that was asked for.
    pub fn send<'t>(self, target: impl Into<Target<'t>>, signal: Signal) -> Result<()> {
        let target = target.into();
        self.dispatch(target, signal).map_err(|errno| {
            let ((nfds, len), timeout) = (self.counts(), self.timeout);
            let (to, signo) = (target.into(), signal.number());
            error::of(Call::SendMany { to, signo, nfds, len, timeout })(errno)
        })
    }

    fn dispatch(&self, target: Target<'_>, signal: Signal) -> sys::Result<()> {
        let message = self.message()?;
        let now = clock::coarse_ms();
        thread_table::check_at(now)?;
        let cache = Cache::of_this_process()?;
        if let Target::Task(task) = target {
            let key = Key::new(Who::Id(task.id()), signal.number());
            // Here a thread cannot be cancelled: no call of the C library is made at which it could.
            if let Some(link) = cache.get(key)
                && link.is_trusted_at(now)
                && link.send(&message).is_ok()
            {
                return Ok(());
            }
        }
        self.dispatch_with_care(&message, cache, target, signal)
    }

    /// Finds or makes the link, waits, and tells apart what can go wrong.
    #[cold]
    #[inline(never)]
    fn dispatch_with_care(
        &self,
        message: &Message<'_>,
        cache: &Cache,
        target: Target<'_>,
        signal: Signal,
    ) -> sys::Result<()> {
        let signal = target.signal(signal);
        let _uncancelled = Uncancelled::begin();
        let deadline = Deadline::after(self.timeout);
        let key = key_of(target, signal)?;
        let (mut lost_one, mut turned_away) = (false, false);
        loop {
            let link = self.link(cache, key, target, signal, deadline)?;
            match link.standing()? {
                Standing::LetIn => {}
                Standing::NotYet if deadline.has_passed() => {
                    let errno = if turned_away { libc::EPERM } else { deadline.errno() };
                    return Err(Errno(errno));
                }
                Standing::NotYet => {
                    self.wait(&link, deadline)?;
                    continue;
                }
                // Or the inbox was closed, which an attempt to connect again tells.
                Standing::TurnedAway => {
                    cache.remove(key, &link);
                    if turned_away {
                        return Err(Errno(libc::EPERM));
                    }
                    turned_away = true;
                    continue;
                }
            }
            match link.send(message) {
                Ok(()) => return Ok(()),
                // Whatever it says, it is not the link that says it.
                Err(_) if !link.is_intact() => cache.remove(key, &link),
                // The receiver closed its inbox or died. It, or its successor, may have a new one.
                Err(Errno(libc::EPIPE | libc::ECONNRESET | libc::ENOTCONN)) => {
                    cache.remove(key, &link);
                    if lost_one {
                        return Err(Errno(libc::ECONNREFUSED));
                    }
                    lost_one = true;
                }
                Err(Errno(libc::EAGAIN)) => {
                    if !link.reaches_the_living() {
                        cache.remove(key, &link);
                    } else if deadline.has_passed() {
                        return Err(Errno(deadline.errno()));
                    } else {
                        self.wait(&link, deadline)?;
                    }
                }
                result => return result,
            }
        }
    }

    /// The link that is kept, or a new one.
    fn link(
        &self,
        cache: &Cache,
        key: Key,
        target: Target<'_>,
        signal: Signal,
        deadline: Deadline,
    ) -> sys::Result<Shared<Link>> {
        if let Some(kept) = cache.get(key) {
            if kept.is_trusted() {
                return Ok(kept);
            }
            cache.remove(key, &kept);
        }
        cache.drop_the_dead();
        let recipient = Recipient::find(target)?;
        let known = cache.find(key, recipient.id(), recipient.inode());
        let permitted = |link: &Link| !recipient.is_forbidden() || link.is_of_a_guest();
        let of_use = |link: &Link| link.is_intact() && link.is_trusted();
        let link = match known.filter(|link| permitted(link) && of_use(link)) {
            Some(link) => link,
            None => Shared::new(Link::open(&recipient, signal, deadline, self.interruptible)?)?,
        };
        Ok(cache.insert(key, link, links_kept()))
    }

    fn wait(&self, link: &Link, deadline: Deadline) -> sys::Result<()> {
        match link.wait_for_room(deadline) {
            Err(Errno(libc::EINTR)) if !self.interruptible => Ok(()),
            result => result,
        }
    }
}

/// A descriptor, and what to poll it for, that tells once a full queue has room again, or its end has come,
/// for an event loop that must not wait in [`Outgoing::send`]. It is the caller's.
///
/// [`Awaited::Readable`]: the receiver has not let in this guest yet.
///
/// # Errors
/// As [`send`]; `EAGAIN`: there is nothing to poll yet, for too many others wait to be accepted.
pub fn room<'t>(target: impl Into<Target<'t>>, signal: Signal) -> Result<(OwnedFd, Awaited)> {
    let target = target.into();
    let call = Call::Room { to: target.into(), signo: signal.number() };
    let (any, signal) = (Outgoing::from_raw(&[]), target.signal(signal));
    let _uncancelled = Uncancelled::begin();
    thread_table::check()
        .and_then(|()| key_of(target, signal))
        .and_then(|key| any.link(Cache::of_this_process()?, key, target, signal, Deadline::Now))
        .and_then(|link| Ok((fd::duplicate(link.as_fd())?, link.awaited())))
        .map_err(error::of(call))
}

/// How many links this process keeps.
fn links_kept() -> usize {
    links_within(fd::limit())
}

/// Of the descriptors that may be open, a quarter.
fn links_within(limit: u64) -> usize {
    usize::try_from(limit / 4).unwrap_or(MOST_LINKS).min(MOST_LINKS)
}

const MOST_LINKS: usize = 4096;

fn key_of(target: Target<'_>, signal: Signal) -> sys::Result<Key> {
    let who = match target {
        Target::Task(task) => Who::Id(task.id()),
        Target::Pidfd(pidfd) => match pidfd::inode(pidfd)? {
            Some(inode) => Who::Inode(inode),
            // KERNEL(6.9): before, a pidfd has no inode of its own; its id does while it lives.
            None => match crate::address::proc::id_of_pidfd(pidfd.as_raw_fd())? {
                Some(id) if id > 0 && pidfd::is_alive(pidfd) => Who::Id(id),
                Some(_) => return Err(Errno(libc::ESRCH)),
                None => return Err(Errno(libc::EINVAL)),
            },
        },
        Target::Address(address) => match address.identity() {
            Identity::Inode(inode) => Who::Inode(inode),
            Identity::Started { id, at } => Who::Id(visible(id, at)?),
        },
    };
    Ok(Key::new(who, signal.number()))
}

impl From<Target<'_>> for To {
    fn from(target: Target<'_>) -> To {
        match target {
            Target::Task(task) => To::Task(task.id()),
            Target::Pidfd(pidfd) => To::Pidfd(pidfd.as_raw_fd()),
            Target::Address(address) => To::Address(address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receive::QuietInbox;
    use std::time::Duration;

    #[test]
    fn links_are_a_quarter_of_the_descriptors_and_no_more_than_so_many() {
        let links = [3, 64, 16_384, 16_388, 1 << 20, u64::MAX].map(links_within);
        assert_eq!(links, [0, 16, 4096, 4096, 4096, 4096]);
    }

    /// C sends by other functions.
    #[test]
    fn by_id_and_by_pidfd() {
        let signal = Signal::new(61).expect("a real-time signal");
        let inbox = QuietInbox::open(signal).expect("opens");
        let soon = Some(Duration::from_secs(10));
        send(Task::this_process(), signal, std::io::stderr()).expect("sends");
        assert_eq!(inbox.recv(soon).expect("is there").fds.len(), 1);
        match pidfd::open(Task::this_process().id()) {
            Ok(pidfd) => {
                send_pidfd(pidfd, signal, std::io::stderr()).expect("sends");
                assert_eq!(inbox.recv(soon).expect("is there").fds.len(), 1);
            }
            Err(errno) => assert_eq!(errno, Errno(libc::ENOSYS)),
        }
        assert_eq!(
            send_pidfd(std::io::stderr(), signal, std::io::stderr()).map_err(|e| e.errno()),
            Err(libc::EINVAL)
        );
    }
}
