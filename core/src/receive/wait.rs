//! How an inbox waits: for its signals first, since they keep the order of arrival, and for its
//! sockets behind them.

use super::announcement::Announcement;
use super::guests::Guests;
use super::mask::{self, Notified, OVERFLOW, Owner};
use super::notify::Notifier;
use super::options::Options;
use super::places;
use super::queue::Queue;
use super::take::{Kept, Room, Unpacked};
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
        let discarded = queue.discard(id);
        queue.notify_if_mail_is_left();
        queue.close_unread();
        discarded
    }

    pub(super) fn close(&self) {
        if self.check_generation().is_ok() {
            self.closed.store(true, Ordering::Release);
            self.queue().close();
        }
    }

    pub(super) fn receive<T>(
        &self,
        room: &Room,
        deadline: Deadline,
        unpack: impl FnOnce(&mut Unpacked) -> T,
    ) -> std::result::Result<T, Kept> {
        let uncancelled = Uncancelled::begin();
        self.check()?;
        let mut overflow = false;
        let (mut queue, received) =
            self.wait_and_take(room, deadline, &uncancelled, &mut overflow, unpack);
        // Whatever came of it: who waits for signals from here on must not sleep on mail.
        queue.notify_if_mail_is_left();
        queue.close_unread();
        drop(queue);
        if overflow {
            mask::pass_on_overflow(self.signal);
        }
        received
    }

    fn wait_and_take<T>(
        &self,
        room: &Room,
        deadline: Deadline,
        uncancelled: &Uncancelled,
        overflow: &mut bool,
        unpack: impl FnOnce(&mut Unpacked) -> T,
    ) -> (MutexGuard<'_, Queue>, std::result::Result<T, Kept>) {
        let (mut overtime, mut attempts) = (Overtime::of(deadline), 0_u32);
        let mut queue = self.queue();
        if !queue.has_due() && !queue.has_something_odd() {
            // There is nothing to take without it.
            self.note_next_signal(&mut queue, overflow);
        }
        loop {
            if let Some(taken) = queue.take(room) {
                let taken = taken.map(|()| unpack(&mut queue.unpacked));
                return (queue, taken);
            }
            attempts = attempts.wrapping_add(1);
            if attempts % ATTEMPTS == 0 && overtime.is_over() {
                queue.look_again = true;
                return (queue, Err(Errno(deadline.errno()).into()));
            }
            if queue.has_due() || self.note_next_signal(&mut queue, overflow) {
                continue;
            }
            if let Some(taken) = queue.take_kept(room) {
                let taken = taken.map(|()| unpack(&mut queue.unpacked));
                return (queue, taken);
            }
            if queue.has_due() {
                continue;
            }
            queue.close_unread();
            if let Err(errno) = queue.rearm_after_change_of_uid() {
                return (queue, Err(errno.into()));
            }
            drop(queue);
            let waited = self.wait(deadline, uncancelled);
            queue = self.queue();
            match waited {
                // What signals tell of comes first, for they keep the order of arrival.
                Ok(ready) => {
                    if !self.note_next_signal(&mut queue, overflow) {
                        queue.note_readable(&ready);
                    }
                }
                Err(errno) => return (queue, Err(errno.into())),
            }
        }
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
    fn note_next_signal(&self, queue: &mut Queue, overflow: &mut bool) -> bool {
        if self.owner.is_none() {
            return false;
        }
        let Some(info) = signal::dequeue(&self.announcements) else { return false };
        queue.note_signal(info);
        *overflow |= info.signo == OVERFLOW;
        true
    }

    pub(super) fn claim<T>(
        &self,
        room: &Room,
        Announcement(info): Announcement,
        unpack: impl FnOnce(&mut Unpacked) -> T,
    ) -> std::result::Result<T, Kept> {
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
        let taken = taken.map(|taken| taken.map(|()| unpack(&mut queue.unpacked)));
        queue.notify_if_mail_is_left();
        queue.close_unread();
        drop(queue);
        if overflow {
            mask::pass_on_overflow(self.signal);
        }
        taken.unwrap_or(Err(Errno(libc::EAGAIN).into()))
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
