//! The inbox itself, as its users see it.

use super::announcement::Announcement;
use super::mask::{self, Owner};
use super::options::Options;
use super::take::{Room, Unpacked};
use super::wait::Inner;
use crate::address::Address;
use crate::error::{self, Call, Error, Result};
use crate::parcel::{Info, Parcel};
use crate::reply::Reply;
use crate::signal::Signal;
use crate::sys::cancel::Uncancelled;
use crate::sys::shared::Shared;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

/// An inbox, with its thread rule checked at run time: [`Inbox`](crate::Inbox) and
/// [`QuietInbox`](crate::QuietInbox) put the rule into the type.
///
/// Dropping it closes it: mail that nobody took is released, senders see ECONNREFUSED.
#[derive(Debug)]
pub struct Mailbox {
    /// Left alone in a forked child: a lock in it may have been held at the fork.
    inner: Option<Shared<Inner>>,
}

impl Mailbox {
    /// Opens the inbox of this task for `signal`.
    ///
    /// With signals: blocks the number and SIGIO in the calling thread, and ignores them in this
    /// process where they had their default action, so that none can ever kill.
    ///
    /// # Errors
    /// `EADDRINUSE` this task has one for that number already, or another user sits on its name;
    /// `EMFILE`, `ENFILE` no descriptor left (four are needed, and two more to listen in a directory);
    /// `ENOMEM`, `ENOBUFS`; `ENOSPC` `/proc/sys/fs/epoll/max_user_watches` is reached.
    ///
    /// For a [directory](Options::directory) that is asked for: `ENOENT`, `ENOTDIR`, `ELOOP`, `EACCES`, `EPERM`,
    /// `EROFS`, `ENOSPC`, `ENAMETOOLONG`, as making a file there gives them; `EADDRINUSE` also if somebody
    /// else's file has the name; `EINVAL` there is a zero byte in it.
    pub fn open(signal: Signal, options: Options<'_>) -> Result<Mailbox> {
        let Options { thread, signals, .. } = options;
        let call = Call::Open { signo: signal.number(), thread, signals };
        let _uncancelled = Uncancelled::begin();
        Inner::open(signal, options)
            .map(|inner| Mailbox { inner: Some(inner) })
            .map_err(error::of(call))
    }

    /// Takes the next parcel, of any size. `None` waits for ever, zero not at all.
    ///
    /// # Errors
    /// `EAGAIN`, `ETIMEDOUT` nothing came (in time); `EMFILE` no room for its descriptors: it is
    /// kept; `EINTR` a signal handler ran, or the process was stopped and goes on; `EPROTO` a peer
    /// speaks another protocol version and its link was closed; `EPERM` opened by another thread, or
    /// before a fork; `EBADF` shut down; `ENOMEM`, `ENOBUFS`; `ENOSPC` as for [`Mailbox::open`].
    pub fn recv(&self, timeout: Option<Duration>) -> Result<Parcel> {
        self.receive(&Room::ANY, timeout, |unpacked| Some(unpacked.parcel()))
    }

    /// Takes the next parcel if it has exactly one descriptor; bytes in it are dropped.
    ///
    /// # Errors
    /// As [`recv`](Mailbox::recv); `EMSGSIZE`: it has none or more and stays first in the queue.
    pub fn recv_one(&self, timeout: Option<Duration>) -> Result<(OwnedFd, Info, Option<Reply>)> {
        self.receive(&Room::ONE, timeout, unpack_one)
    }

    /// Takes the next parcel into the caller's buffers; the numbers in the first `nfds` places of
    /// `fds` are the caller's to close. On failure both buffers are untouched.
    ///
    /// # Errors
    /// As [`recv`](Mailbox::recv); `EMSGSIZE`: it does not fit and stays first in the queue.
    pub fn recv_into(
        &self,
        fds: &mut [RawFd],
        data: &mut [u8],
        timeout: Option<Duration>,
    ) -> Result<(Info, Option<Reply>)> {
        let room = Room::of(fds.len(), data.len());
        self.receive(&room, timeout, |unpacked| {
            let bytes = unpacked.data();
            data[..bytes.len()].copy_from_slice(bytes);
            unpacked.rights.take_numbers(fds);
            Some((unpacked.info, unpacked.reply.take()))
        })
    }

    /// Takes the parcel that a signal announces which the program dequeued itself, if it has exactly
    /// one descriptor. The program's signal set must hold the inbox's number and SIGIO.
    ///
    /// While mail is left after this call, a further signal is pending.
    ///
    /// # Errors
    /// `EAGAIN`: the signal announced nothing, which is normal. `EINVAL`: another signal number.
    /// Otherwise as [`recv_one`](Mailbox::recv_one).
    pub fn claim(&self, announcement: Announcement) -> Result<(OwnedFd, Info, Option<Reply>)> {
        self.claim_as(&Room::ONE, announcement, unpack_one)
    }

    /// The same for a parcel of any size.
    ///
    /// # Errors
    /// As [`claim`](Mailbox::claim), but never `EMSGSIZE`.
    pub fn claim_parcel(&self, announcement: Announcement) -> Result<Parcel> {
        self.claim_as(&Room::ANY, announcement, |unpacked| Some(unpacked.parcel()))
    }

    /// Throws away the parcel with this [`id`](Info::id), of which an error told that it could not be
    /// taken ([`Error::parcel`]). Its descriptors are released without ever entering the table, and what
    /// its sender sent after it comes up.
    ///
    /// # Errors
    /// `EAGAIN`: it is not there, for it has been taken or discarded meanwhile. `EPERM` opened by
    /// another thread, or before a fork; `EBADF` shut down.
    pub fn discard(&self, id: u64) -> Result<()> {
        let call = Call::Discard { signo: self.signal().number(), id };
        self.inner().discard(id).map_err(error::of(call))
    }

    /// The signal it was opened for.
    #[must_use]
    pub fn signal(&self) -> Signal {
        self.inner().signal
    }

    /// The text that names this inbox on this machine.
    ///
    /// # Errors
    /// `EPERM`: opened before a fork.
    pub fn address(&self) -> Result<Address> {
        let inner = self.inner();
        let call = Call::AddressOf { signo: inner.signal.number() };
        inner.check_generation().map(|()| inner.address).map_err(error::of(call))
    }

    /// The descriptor that polls readable while there is mail, from any thread.
    ///
    /// # Errors
    /// `EPERM`: opened before a fork. `EBADF`: the program has closed it.
    pub fn fileno(&self) -> Result<RawFd> {
        let inner = self.inner();
        inner
            .check_generation()
            .and_then(|()| inner.epoll.number_if_intact())
            .map_err(error::of(self.receiving(None)))
    }

    /// Ends every wait on this inbox, in whatever thread, and lets nobody connect any more. Later
    /// calls give `EBADF`. The thread of an inbox with signals finds one pending.
    ///
    /// # Errors
    /// `EPERM`: opened before a fork.
    pub fn shutdown(&self) -> Result<()> {
        let call = Call::Shutdown { signo: self.signal().number() };
        let _uncancelled = Uncancelled::begin();
        let inner = self.inner();
        inner.check_generation().map(|()| inner.shut_down()).map_err(error::of(call))
    }

    fn receive<T>(
        &self,
        room: &Room,
        timeout: Option<Duration>,
        unpack: impl FnOnce(&mut Unpacked) -> Option<T>,
    ) -> Result<T> {
        let mut taken = None;
        self.inner()
            .receive(room, timeout, |unpacked| taken = unpack(unpacked))
            .map_err(|kept| Error::of_parcel(self.receiving(timeout), kept.errno.0, kept.info))?;
        taken.ok_or_else(|| Error::new(self.receiving(timeout), libc::EIO))
    }

    fn claim_as<T>(
        &self,
        room: &Room,
        announcement: Announcement,
        unpack: impl FnOnce(&mut Unpacked) -> Option<T>,
    ) -> Result<T> {
        let mut taken = None;
        self.inner().claim(room, announcement, |unpacked| taken = unpack(unpacked)).map_err(
            |kept| Error::of_parcel(self.claiming(announcement), kept.errno.0, kept.info),
        )?;
        taken.ok_or_else(|| Error::new(self.claiming(announcement), libc::EIO))
    }

    fn receiving(&self, timeout: Option<Duration>) -> Call {
        Call::Receive { signo: self.signal().number(), timeout }
    }

    fn claiming(&self, Announcement(info): Announcement) -> Call {
        Call::Claim { signo: self.signal().number(), si_signo: info.signo, si_fd: info.fd }
    }

    fn inner(&self) -> &Shared<Inner> {
        self.inner.as_ref().expect("taken by drop alone")
    }
}

impl AsFd for Mailbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner().epoll.as_fd()
    }
}

impl AsRawFd for Mailbox {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        let _uncancelled = Uncancelled::begin();
        let Some(inner) = self.inner.take() else { return };
        if inner.check_generation().is_ok() {
            inner.close();
        }
        if inner.owner == Some(Owner::this_thread()) {
            mask::restore(inner.signal, inner.generation);
        }
        if inner.check_generation().is_err() {
            std::mem::forget(inner);
        }
    }
}

fn unpack_one(unpacked: &mut Unpacked) -> Option<(OwnedFd, Info, Option<Reply>)> {
    Some((unpacked.rights.take_first()?, unpacked.info, unpacked.reply.take()))
}

#[cfg(test)]
mod tests {
    use crate::sys::memory::scarce;
    use crate::{Outbox, Outgoing, QuietInbox, Signal, Task};
    use std::time::Duration;

    const FDS: [i32; 3] = [0, 1, 2];

    /// C brings memory of its own.
    #[test]
    fn a_parcel_without_memory_for_it_stays_where_it_is() {
        let signal = Signal::new(60).expect("a real-time signal");
        let inbox = QuietInbox::open(signal).expect("opens");
        let data = [7; 1000];
        let mut failures = 0;
        for allocations in 0.. {
            let parcel = Outgoing::from_raw(&FDS).data(&data);
            parcel.send(Task::this_process(), signal).expect("sends");
            let look = || inbox.recv(Some(Duration::ZERO));
            let parcel = match scarce::with(allocations, look) {
                Ok(parcel) => parcel,
                Err(error) => {
                    assert_eq!(error.errno(), libc::ENOMEM);
                    failures += 1;
                    inbox.recv(Some(Duration::ZERO)).expect("it is there")
                }
            };
            assert_eq!((parcel.fds.len(), parcel.data), (3, data.to_vec()));
            if failures < allocations {
                break;
            }
        }
        assert!(failures >= 2, "one for the descriptors, one for the bytes");
    }

    #[test]
    fn an_answer_without_memory_for_it_waits() {
        let signal = Signal::new(59).expect("a real-time signal");
        let inbox = QuietInbox::open(signal).expect("opens");
        let outbox = Outbox::open(Task::this_process(), signal, None).expect("opens");
        let data = [7; 1000];
        let mut failures = 0;
        for allocations in 0.. {
            let answer = outbox.ask(Outgoing::from_raw(&[])).expect("sends");
            let place = inbox.recv(None).expect("is there").reply.expect("a request");
            place.send(Outgoing::from_raw(&FDS).data(&data)).expect("answers");
            let parcel = match scarce::with(allocations, || answer.recv(Some(Duration::ZERO))) {
                Ok(parcel) => parcel,
                Err(error) => {
                    assert_eq!(error.errno(), libc::ENOMEM);
                    failures += 1;
                    answer.recv(Some(Duration::ZERO)).expect("it is there")
                }
            };
            assert_eq!((parcel.fds.len(), parcel.data), (3, data.to_vec()));
            if failures < allocations {
                break;
            }
        }
        assert!(failures >= 2, "one for the descriptors, one for the bytes");
    }
}
