//! The inbox itself: opening, waiting, receiving.

use crate::address::{self, Identity};
use crate::announcement::Announcement;
use crate::bell::{self, Bell, OVERFLOW, Owner};
use crate::deadline::Deadline;
use crate::error::{self, Call, Error, Result};
use crate::incoming::{Kept, Room};
use crate::parcel::{Info, Parcel};
use crate::signal::Signal;
use crate::sys::cancel::Uncancelled;
use crate::sys::epoll::{self, Ready};
use crate::sys::fd::PrivateFd;
use crate::sys::{self, Errno, fork, signal};
use crate::tray::Tray;
use crate::{MAX_DATA, MAX_FDS};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Once the time is up, a call looks this often past what turned out to be no mail.
const LAST_LOOKS: u32 = 16;

/// After so many signals that announced nothing, a call looks at the clock and at the sockets.
const MANY_SIGNALS: u32 = 1024;

/// Whom an inbox is for, and how it tells of mail. The default: any sender to this process, quietly.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Options {
    /// Addressed by the id of the calling thread instead of the process.
    pub thread: bool,
    /// Queues signals to the calling thread, which alone may use it then.
    pub signals: bool,
}

/// An inbox, with its thread rule checked at run time: [`Inbox`](crate::Inbox) and
/// [`QuietInbox`](crate::QuietInbox) put the rule into the type.
///
/// Dropping it closes it: mail that nobody took is released, senders see ECONNREFUSED.
#[derive(Debug)]
pub struct Mailbox {
    /// Left alone in a forked child: a lock in it may have been held at the fork.
    inner: Option<Arc<Inner>>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    signal: Signal,
    generation: u32,
    /// The only thread that may use it.
    owner: Option<Owner>,
    announcements: signal::Set,
    epoll: Arc<PrivateFd>,
    tray: Mutex<Tray>,
    closed: AtomicBool,
}

impl Mailbox {
    /// Opens the inbox of this task for `signal`.
    ///
    /// With signals: blocks the number and SIGIO in the calling thread, and ignores them in this
    /// process where they had their default action, so that none can ever kill.
    ///
    /// # Errors
    /// `EADDRINUSE` this task has one for that number already, or another user sits on its name;
    /// `EMFILE`, `ENFILE` no descriptor left (four are needed); `ENOMEM`, `ENOBUFS`;
    /// `ENOSPC` `/proc/sys/fs/epoll/max_user_watches` is reached.
    pub fn open(signal: Signal, options: Options) -> Result<Mailbox> {
        let Options { thread, signals } = options;
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
    /// kept; `EINTR` a signal handler ran, or the process was stopped and goes on; `EPROTO` a peer speaks another protocol version and was
    /// shut out; `EPERM` opened by another thread, or before a fork; `EBADF` shut down; `ENOMEM`,
    /// `ENOBUFS`; `ENOSPC` as for [`Mailbox::open`].
    pub fn recv(&self, timeout: Option<Duration>) -> Result<Parcel> {
        self.receive(ANY, timeout, unpack)
    }

    /// Takes the next parcel if it has exactly one descriptor; bytes in it are dropped.
    ///
    /// # Errors
    /// As [`recv`](Mailbox::recv); `EMSGSIZE`: it has more and stays first in the queue.
    pub fn recv_one(&self, timeout: Option<Duration>) -> Result<(OwnedFd, Info)> {
        let (fd, info) = self.receive(ONE, timeout, unpack_one)?;
        fd.map(|fd| (fd, info)).ok_or_else(|| Error::new(self.receiving(timeout), libc::EIO))
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
    ) -> Result<Info> {
        let room = Room { fds: fds.len(), bytes: Some(data.len()) };
        self.receive(room, timeout, |tray, info| {
            data[..info.len as usize].copy_from_slice(tray.unpacked.data(&info));
            tray.unpacked.rights.take_numbers(fds);
            info
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
    pub fn claim(&self, announcement: Announcement) -> Result<(OwnedFd, Info)> {
        let (fd, info) = self.claim_as(ONE, announcement, unpack_one)?;
        fd.map(|fd| (fd, info)).ok_or_else(|| Error::new(self.claiming(announcement), libc::EIO))
    }

    /// The same for a parcel of any size.
    ///
    /// # Errors
    /// As [`claim`](Mailbox::claim), but never `EMSGSIZE`.
    pub fn claim_parcel(&self, announcement: Announcement) -> Result<Parcel> {
        self.claim_as(ANY, announcement, unpack)
    }

    /// The signal it was opened for.
    #[must_use]
    pub fn signal(&self) -> Signal {
        self.inner().signal
    }

    /// The descriptor that polls readable while there is mail, from any thread.
    ///
    /// # Errors
    /// `EPERM`: opened before a fork.
    pub fn fileno(&self) -> Result<RawFd> {
        let inner = self.inner();
        inner
            .check_generation()
            .map(|()| inner.epoll.as_raw_fd())
            .map_err(error::of(self.receiving(None)))
    }

    /// Ends every wait on this inbox, in whatever thread, and lets nobody connect any more. Later
    /// calls give `EBADF`.
    pub fn shutdown(&self) {
        let _uncancelled = Uncancelled::begin();
        let inner = self.inner();
        if inner.check_generation().is_ok() {
            inner.closed.store(true, Ordering::Release);
            inner.tray().stop_listening();
        }
    }

    fn receive<T>(
        &self,
        room: Room,
        timeout: Option<Duration>,
        unpack: impl FnOnce(&mut Tray, Info) -> T,
    ) -> Result<T> {
        self.inner()
            .receive(room, Deadline::after(timeout), unpack)
            .map_err(|kept| Error::of_parcel(self.receiving(timeout), kept.errno.0, kept.info))
    }

    fn claim_as<T>(
        &self,
        room: Room,
        announcement: Announcement,
        unpack: impl FnOnce(&mut Tray, Info) -> T,
    ) -> Result<T> {
        self.inner()
            .claim(room, announcement, unpack)
            .map_err(|kept| Error::of_parcel(self.claiming(announcement), kept.errno.0, kept.info))
    }

    fn receiving(&self, timeout: Option<Duration>) -> Call {
        Call::Receive { signo: self.signal().number(), timeout }
    }

    fn claiming(&self, Announcement(info): Announcement) -> Call {
        Call::Claim { signo: self.signal().number(), si_signo: info.signo, si_fd: info.fd }
    }

    fn inner(&self) -> &Arc<Inner> {
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
            bell::take_down(inner.signal, inner.generation);
        }
        if inner.check_generation().is_err() {
            std::mem::forget(inner);
        }
    }
}

impl Inner {
    fn open(signal: Signal, options: Options) -> sys::Result<Arc<Inner>> {
        let generation = fork::generation();
        if !options.signals {
            return Inner::listen(signal, options.thread, generation, None).map(Arc::new);
        }
        bell::hang(signal, generation)?;
        match Inner::listen(signal, options.thread, generation, Some(Bell::here(signal))) {
            Ok(inner) => {
                let inner = Arc::new(inner);
                bell::name_inbox(signal, Arc::downgrade(&inner));
                Ok(inner)
            }
            Err(errno) => {
                bell::take_down(signal, generation);
                Err(errno)
            }
        }
    }

    fn listen(
        signal: Signal,
        thread: bool,
        generation: u32,
        bell: Option<Bell>,
    ) -> sys::Result<Inner> {
        let name = address::name(Identity::own(thread)?, signal);
        let epoll = Arc::new(PrivateFd::new(epoll::create)?);
        let owner = bell.is_some().then(Owner::this_thread);
        let tray = Tray::open(signal, name, Arc::clone(&epoll), bell)?;
        let (tray, closed) = (Mutex::new(tray), AtomicBool::new(false));
        let announcements = signal::Set::of(&[signal.number(), OVERFLOW]);
        Ok(Inner { signal, generation, owner, announcements, epoll, tray, closed })
    }

    /// A thread that panics leaves nothing half done in a tray.
    fn tray(&self) -> MutexGuard<'_, Tray> {
        self.tray.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_generation(&self) -> sys::Result<()> {
        if self.generation == fork::generation() { Ok(()) } else { Err(Errno(libc::EPERM)) }
    }

    fn check(&self) -> sys::Result<()> {
        self.check_generation()?;
        if self.owner.is_some_and(|owner| owner != Owner::this_thread()) {
            return Err(Errno(libc::EPERM));
        }
        if self.closed.load(Ordering::Acquire) {
            return Err(Errno(libc::EBADF));
        }
        Ok(())
    }

    pub(crate) fn close(&self) {
        if self.check_generation().is_ok() && !self.closed.swap(true, Ordering::AcqRel) {
            self.tray().close();
        }
    }

    fn receive<T>(
        &self,
        room: Room,
        deadline: Deadline,
        unpack: impl FnOnce(&mut Tray, Info) -> T,
    ) -> std::result::Result<T, Kept> {
        let uncancelled = Uncancelled::begin();
        self.check()?;
        let mut ready = Ready::new();
        let (mut looks_left, mut signals) = (LAST_LOOKS, 0_u32);
        let mut tray = self.tray();
        loop {
            if let Some(taken) = tray.take(room) {
                let taken = taken.map(|info| unpack(&mut tray, info));
                tray.ring_if_mail_is_left();
                return taken;
            }
            // A flood of signals that announce nothing must not stop the clock.
            signals += 1;
            let in_time = signals % MANY_SIGNALS != 0 || !deadline.has_passed();
            if in_time && self.note_next_signal(&mut tray) {
                continue;
            }
            if deadline.has_passed() {
                looks_left -= 1;
            }
            tray.rearm_after_change_of_uid()?;
            drop(tray);
            let left = deadline.left_ms();
            let mut wait = || epoll::wait(self.epoll.as_fd(), &mut ready, left);
            if left == 0 { wait() } else { uncancelled.except_in(wait) }?;
            self.check()?;
            if ready.is_empty() && deadline.has_passed() || looks_left == 0 {
                return Err(Errno(deadline.errno()).into());
            }
            tray = self.tray();
            // What signals tell of comes first, for they keep the order of arrival.
            if !self.note_next_signal(&mut tray) {
                tray.hear(&ready);
            }
        }
    }

    /// Dequeues a signal of this inbox, if one is pending.
    fn note_next_signal(&self, tray: &mut Tray) -> bool {
        if self.owner.is_none() {
            return false;
        }
        let Some(info) = signal::dequeue(&self.announcements) else { return false };
        self.note(tray, info);
        true
    }

    fn note(&self, tray: &mut Tray, info: signal::SignalInfo) {
        tray.note(info);
        if info.signo == OVERFLOW {
            bell::pass_on_overflow(self.signal);
        }
    }

    fn claim<T>(
        &self,
        room: Room,
        Announcement(info): Announcement,
        unpack: impl FnOnce(&mut Tray, Info) -> T,
    ) -> std::result::Result<T, Kept> {
        let _uncancelled = Uncancelled::begin();
        self.check()?;
        if info.signo != self.signal.number() && info.signo != OVERFLOW {
            return Err(Errno(libc::EINVAL).into());
        }
        let mut tray = self.tray();
        self.note(&mut tray, info);
        let taken = tray.take(room);
        let taken = taken.map(|taken| taken.map(|info| unpack(&mut tray, info)));
        tray.ring_if_mail_is_left();
        taken.unwrap_or(Err(Errno(libc::EAGAIN).into()))
    }

    /// For a thread with several inboxes, of which another dequeued the common SIGIO.
    pub(crate) fn ring_if_readable(&self) {
        let mut ready = Ready::new();
        let looked = epoll::wait(self.epoll.as_fd(), &mut ready, 0);
        if looked.is_err() || !ready.is_empty() {
            signal::ring(self.signal.number());
        }
    }
}

const ANY: Room = Room { fds: MAX_FDS, bytes: Some(MAX_DATA) };
const ONE: Room = Room { fds: 1, bytes: None };

fn unpack(tray: &mut Tray, info: Info) -> Parcel {
    Parcel { fds: tray.unpacked.rights.take(), data: tray.unpacked.data(&info).to_vec(), info }
}

fn unpack_one(tray: &mut Tray, info: Info) -> (Option<OwnedFd>, Info) {
    (tray.unpacked.rights.take_first(), info)
}
