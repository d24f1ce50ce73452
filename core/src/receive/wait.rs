//! How an inbox waits: for its signals first, since they keep the order of arrival, and for its
//! sockets behind them.

use super::announcement::Announcement;
use super::guests::Guests;
use super::mask::{self, Notified, OVERFLOW, Owner};
use super::notify::Notifier;
use super::options::Options;
use super::places;
use super::queue::Queue;
use super::take::{Kept, Refusal, Room, Unpacked};
use crate::address::{Address, Identity};
use crate::deadline::{Deadline, Overtime};
use crate::signal::Signal;
use crate::sys::cancel::Uncancelled;
use crate::sys::epoll::{self, Ready};
use crate::sys::fd::PrivateFd;
use crate::sys::shared::{Shared, Weak, boxed};
use crate::sys::{self, Errno, fork, ids, signal, thread_table};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// After so many attempts in vain, each because of a signal or of a place that was due, a call looks at
/// the clock.
const ATTEMPTS: u32 = 4;

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) signal: Signal,
    pub(super) address: Address,
    pub(super) generation: u32,
    /// The only thread that may use it.
    pub(super) owner: Option<Owner>,
    announcements: signal::Set,
    pub(super) epoll: Shared<PrivateFd>,
    queue: Mutex<Queue>,
    closed: AtomicBool,
}

impl Inner {
    pub(super) fn open(signal: Signal, options: Options<'_>) -> sys::Result<Shared<Inner>> {
        let generation = fork::generation();
        thread_table::check()?;
        if !options.signals {
            return Shared::new(Inner::listen(signal, options, generation, None)?);
        }
        mask::block(signal, generation)?;
        let notifier = Notifier::of_this_thread(signal);
        let opened = Inner::listen(signal, options, generation, Some(notifier))
            .and_then(Shared::new)
            .and_then(|inner| {
                mask::assign(signal, boxed(Notifies(inner.downgrade()))?);
                Ok(inner)
            });
        opened.inspect_err(|_| mask::restore(signal, generation))
    }

    fn listen(
        signal: Signal,
        options: Options<'_>,
        generation: u32,
        notifier: Option<Notifier>,
    ) -> sys::Result<Inner> {
        let identity = Identity::own(options.thread)?;
        let address = Address::new(identity, signal);
        let epoll = Shared::new(PrivateFd::new(epoll::create)?)?;
        let owner = notifier.is_some().then(Owner::this_thread);
        let guests = Guests::of(options)?;
        let bound = places::bind(identity, signal, options, guests.is_some())?;
        let queue = Queue::open(signal, (bound, guests), epoll.clone(), notifier)?;
        let (queue, closed) = (Mutex::new(queue), AtomicBool::new(false));
        let announcements = signal::Set::of(&[signal.number(), OVERFLOW]);
        Ok(Inner { signal, address, generation, owner, announcements, epoll, queue, closed })
    }

    /// A thread that panics leaves nothing half done in it.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn check_generation(&self) -> sys::Result<()> {
        if self.generation == fork::generation() { Ok(()) } else { Err(Errno(libc::EPERM)) }
    }

    #[inline]
    fn check(&self) -> sys::Result<()> {
        self.check_generation()?;
        thread_table::check()?;
        if self.owner.is_some_and(|owner| owner != Owner::this_thread()) {
            return Err(Errno(libc::EPERM));
        }
        if self.closed.load(Ordering::Acquire) {
            return Err(Errno(libc::EBADF));
        }
        Ok(())
    }

    /// Ends every wait; nothing that was queued is released yet.
    pub(super) fn shut_down(&self) {
        let mut queue = self.queue();
        if !self.closed.swap(true, Ordering::AcqRel) {
            queue.stop_listening();
        }
    }

    /// Releases a parcel that is kept. EAGAIN: it is not.
    pub(super) fn discard(&self, id: u64) -> sys::Result<()> {
        let _uncancelled = Uncancelled::begin();
        self.check()?;
        let mut queue = self.queue();
        let discarded = queue.discard(id).map_err(Refusal::from);
        self.leave(queue, false, discarded, |_| ()).map_err(|kept| kept.errno)
    }

    /// Ends a visit to the queue, whatever came of it. `overflow`: a SIGIO was dequeued.
    #[inline]
    fn leave(
        &self,
        mut queue: MutexGuard<'_, Queue>,
        overflow: bool,
        taken: std::result::Result<(), Refusal>,
        unpack: impl FnOnce(&mut Unpacked),
    ) -> std::result::Result<(), Kept> {
        let left = taken
            .map(|()| unpack(&mut queue.unpacked))
            .map_err(|refusal| queue.unpacked.kept(refusal));
        // Who waits for signals from here on must not sleep on mail.
        queue.notify_if_mail_is_left();
        queue.close_unread();
        drop(queue);
        if overflow {
            mask::pass_on_overflow(self.signal);
        }
        left
    }

    pub(super) fn close(&self) {
        if self.check_generation().is_ok() {
            self.closed.store(true, Ordering::Release);
            self.queue().close();
        }
    }

    pub(super) fn receive(
        &self,
        room: &Room,
        timeout: Option<Duration>,
        unpack: impl FnOnce(&mut Unpacked),
    ) -> std::result::Result<(), Kept> {
        let uncancelled = Uncancelled::begin();
        self.check()?;
        let (mut queue, mut overflow) = (self.queue(), false);
        if !queue.has_due() && !queue.has_something_odd() {
            // There is nothing to take without it.
            self.note_next_signal(&mut queue, &mut overflow);
        }
        let (queue, taken) = match queue.take(room) {
            Some(taken) => (queue, taken),
            // What is there at once is taken without a look at the clock.
            None => {
                self.try_until(queue, room, Deadline::after(timeout), &uncancelled, &mut overflow)
            }
        };
        self.leave(queue, overflow, taken, unpack)
    }

    /// After an attempt in vain: waits and tries again.
    #[cold]
    fn try_until<'a>(
        &'a self,
        mut queue: MutexGuard<'a, Queue>,
        room: &Room,
        deadline: Deadline,
        uncancelled: &Uncancelled,
        overflow: &mut bool,
    ) -> (MutexGuard<'a, Queue>, std::result::Result<(), Refusal>) {
        let (mut overtime, mut attempts) = (Overtime::of(deadline), 0_u32);
        loop {
            attempts = attempts.wrapping_add(1);
            if attempts % ATTEMPTS == 0 && overtime.is_over() {
                queue.look_again();
                return (queue, Err(Errno(deadline.errno()).into()));
            }
            if !queue.has_due() && !self.note_next_signal(&mut queue, overflow) {
                if let Some(taken) = queue.take_kept(room) {
                    return (queue, taken);
                }
                if !queue.has_due() {
                    let waited;
                    (queue, waited) = self.wait_for_more(queue, deadline, uncancelled, overflow);
                    if let Err(errno) = waited {
                        return (queue, Err(errno.into()));
                    }
                }
            }
            if let Some(taken) = queue.take(room) {
                return (queue, taken);
            }
        }
    }

    /// Until there may be something. Others use the queue meanwhile.
    fn wait_for_more<'a>(
        &'a self,
        mut queue: MutexGuard<'a, Queue>,
        deadline: Deadline,
        uncancelled: &Uncancelled,
        overflow: &mut bool,
    ) -> (MutexGuard<'a, Queue>, sys::Result<()>) {
        queue.close_unread();
        if let Err(errno) = queue.rearm_after_change_of_uid() {
            return (queue, Err(errno));
        }
        drop(queue);
        let waited = self.wait(deadline, uncancelled);
        let mut queue = self.queue();
        let noted = waited.map(|ready| {
            // What signals tell of comes first, for they keep the order of arrival.
            if !self.note_next_signal(&mut queue, overflow) {
                queue.note_readable(&ready);
            }
        });
        (queue, noted)
    }

    /// Until something can be read, or the deadline. EAGAIN, ETIMEDOUT: nothing can.
    fn wait(&self, deadline: Deadline, uncancelled: &Uncancelled) -> sys::Result<Ready> {
        let mut ready = Ready::new();
        let left = deadline.left_ms();
        let mut wait = || epoll::wait(self.epoll.as_fd(), &mut ready, left);
        if left == 0 { wait() } else { uncancelled.except_in(wait) }
            .map_err(|errno| self.unless_closed_by_the_program(errno))?;
        self.check()?;
        if ready.is_empty() && deadline.has_passed() {
            return Err(Errno(deadline.errno()));
        }
        Ok(ready)
    }

    /// A number that has come to mean something else gives whatever that gives.
    fn unless_closed_by_the_program(&self, errno: Errno) -> Errno {
        if errno == Errno(libc::EINTR) || self.epoll.is_intact() {
            errno
        } else {
            Errno(libc::EBADF)
        }
    }

    /// Dequeues a signal of this inbox, if one is pending. An overflow is passed on to others of this
    /// thread after the call alone: with a full queue it would come back at once, again and again.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "every parcel goes through it")]
    fn note_next_signal(&self, queue: &mut Queue, overflow: &mut bool) -> bool {
        if self.owner.is_none() {
            return false;
        }
        let Some(info) = signal::dequeue(&self.announcements) else { return false };
        queue.note_signal(info);
        *overflow |= info.signo == OVERFLOW;
        true
    }

    pub(super) fn claim(
        &self,
        room: &Room,
        Announcement(info): Announcement,
        unpack: impl FnOnce(&mut Unpacked),
    ) -> std::result::Result<(), Kept> {
        let _uncancelled = Uncancelled::begin();
        self.check()?;
        if info.signo != self.signal.number() && info.signo != OVERFLOW {
            return Err(Errno(libc::EINVAL).into());
        }
        let mut queue = self.queue();
        queue.note_signal(info);
        let overflow = info.signo == OVERFLOW;
        let taken = queue.take(room).or_else(|| {
            // What the kernel announces itself comes before what is kept.
            let unspecific = overflow || info.code <= 0;
            unspecific.then(|| queue.take_kept(room)).flatten()
        });
        let taken = taken.unwrap_or(Err(Errno(libc::EAGAIN).into()));
        self.leave(queue, overflow, taken, unpack)
    }
}

/// What a thread's mask knows of an inbox.
struct Notifies(Weak<Inner>);

impl Notified for Notifies {
    fn is_open(&self) -> bool {
        self.0.upgrade().is_some()
    }

    fn thread_ends(&self) {
        if let Some(inner) = self.0.upgrade() {
            inner.close();
        }
    }

    fn overflow_was_dequeued(&self) {
        let Some(inner) = self.0.upgrade() else { return };
        let mut ready = Ready::new();
        let looked = epoll::wait(inner.epoll.as_fd(), &mut ready, 0);
        if looked.is_err() || !ready.is_empty() {
            signal::queue_to_thread(ids::thread(), inner.signal.number());
        }
    }
}
