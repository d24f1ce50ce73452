//! The order in which mail is taken from the accepted links of an inbox.
//!
//! Sockets are the truth; signals and epoll only say where to look. What they say is kept as a queue
//! of places that are due. Mail of which the kernel gives no notice is due as well:
//!
//! KERNEL: what a sender queued before its link was accepted and armed never signals; what did not
//! fit into the signal queue shows as a single SIGIO. The bytes that wait on a link at such a moment
//! tell how much of its mail is unannounced.

mod connections;
mod guests;
mod kept;
mod links;
mod odd;
mod places;

use self::connections::Waiting;
use self::links::{Key, Links};
use self::odd::Odd;
use self::places::{Due, Places};
use super::bound::Bound;
use super::guests::Guests;
use super::listeners::Listeners;
use super::notify::Notifier;
use super::take::{self, Refusal, Room, Taken, Unpacked};
use crate::signal::Signal;
use crate::sys::epoll::{self, Ready};
use crate::sys::fd::PrivateFd;
use crate::sys::shared::Shared;
use crate::sys::signal::SignalInfo;
use crate::sys::unread::Unread;
use crate::sys::{Errno, Result, socket};
use std::mem;
use std::ops::ControlFlow;
use std::os::fd::AsFd;

/// So many places are looked at in one go, in vain, before the caller looks at the clock.
///
/// A look costs as much as the descriptors of a message that is none: they are installed and closed.
const LOOKS: u32 = 16;

/// Where only one parcel was there, so many times it is not looked whether another has come.
const NOT_AGAIN: u8 = 15;

#[derive(Debug)]
pub(crate) struct Queue {
    signal: Signal,
    epoll: Shared<PrivateFd>,
    listeners: Listeners,
    links: Links,
    due: Places,
    odd: Odd,
    /// Notification by signals, if the inbox has any.
    notifier: Option<Notifier>,
    /// The id of the parcel that came last.
    last_id: u64,
    /// What is closed, but not yet released.
    unread: Unread,
    pub(crate) unpacked: Unpacked,
}

impl Queue {
    /// Begins to listen on sockets that are bound.
    pub(crate) fn open(
        signal: Signal,
        bound: (Vec<Bound>, Option<Guests>),
        epoll: Shared<PrivateFd>,
        notifier: Option<Notifier>,
    ) -> Result<Queue> {
        Ok(Queue {
            signal,
            listeners: Listeners::open(bound, &epoll, notifier.as_ref())?,
            epoll,
            links: Links::new(),
            due: Places::default(),
            odd: Odd::default(),
            notifier,
            last_id: 0,
            unread: Unread::default(),
            unpacked: Unpacked::new(0)?,
        })
    }

    /// A signal was dequeued: what it announces is due.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "every parcel goes through it")]
    pub(crate) fn note_signal(&mut self, SignalInfo { signo, code, fd }: SignalInfo) {
        if self.notifier.is_some()
            && signo == self.signal.number()
            && code > 0
            && let Some(link) = self.links.key_of(fd)
        {
            self.put_behind(Due::one(link));
        } else {
            self.note_rare_signal(SignalInfo { signo, code, fd });
        }
    }

    /// A signal that announces no parcel.
    #[cold]
    fn note_rare_signal(&mut self, info: SignalInfo) {
        let Some(notifier) = &mut self.notifier else { return };
        if info.signo != self.signal.number() {
            // SIGIO: the signal queue was full, and anything may have arrived. The kernel keeps one
            // only, so this may stand for a signal of our own as well.
            notifier.own_was_dequeued();
            self.listeners.signals_were_lost();
            self.odd.look_again = true;
        } else if info.code <= 0 {
            // What our own signal was queued for is known, or has been taken meanwhile: to look then
            // would make the signals that follow late. Any other is a reason to look.
            let own = notifier.own_was_dequeued() && info.code == libc::SI_QUEUE;
            if !own && self.due.is_empty() {
                self.odd.look_again = true;
            }
        } else if let Some(place) = self.listeners.place_of(info.fd) {
            // One signal, one connection: the next one may come from a sender whose earlier mail,
            // over another link, is announced by a signal in between.
            self.listeners.was_announced(place);
            self.accept(Waiting::OneAt(place));
        }
    }

    /// `false`: for want of memory it is to be found by a look later.
    #[inline]
    fn put_behind(&mut self, due: Due) -> bool {
        let put = self.due.put_last(due);
        if let Err(errno) = put {
            self.postpone(errno);
        }
        put.is_ok()
    }

    /// epoll has found these sockets readable.
    pub(crate) fn note_readable(&mut self, ready: &Ready) {
        if ready.is_full() {
            self.odd.look_again = true;
        }
        let mut connection_waits = false;
        for fd in ready.iter() {
            if self.listeners.place_of(fd).is_some() {
                connection_waits = true;
            } else if let Some(key) = self.links.key_of(fd) {
                self.enqueue(key);
            }
        }
        if connection_waits {
            self.accept(Waiting::All);
        }
    }

    /// Takes the next parcel, if there is any.
    pub(crate) fn take(&mut self, room: &Room) -> Option<std::result::Result<(), Refusal>> {
        if self.odd.any() {
            return self.take_with_care(room);
        }
        match self.take_due(room) {
            Some(Ok(())) => Some(Ok(())),
            taken => self.show(taken),
        }
    }

    /// Whether there is something else to do than to take what is due.
    pub(crate) fn has_something_odd(&self) -> bool {
        self.odd.any()
    }

    /// The next call looks at the sockets.
    pub(crate) fn look_again(&mut self) {
        self.odd.look_again = true;
    }

    #[cold]
    fn take_with_care(&mut self, room: &Room) -> Option<std::result::Result<(), Refusal>> {
        if !self.odd.unwatched.is_empty() {
            self.watch_what_is_unwatched();
        }
        if self.listeners.have_unidentified() {
            self.accept(Waiting::All);
        }
        self.resume_what_fits_now(room);
        if self.due.is_empty() && self.odd.look_again {
            self.odd.look_again = false;
            self.look();
        }
        let taken = self.take_due(room);
        self.show(taken)
    }

    /// What a call gives that has taken this, or nothing.
    #[cold]
    fn show(
        &mut self,
        taken: Option<std::result::Result<(), Refusal>>,
    ) -> Option<std::result::Result<(), Refusal>> {
        let taken = taken.or_else(|| self.tell_accept_error().map(|errno| Err(errno.into())));
        // Whoever polls the epoll set must not sleep on it.
        let something = self.has_something_unwatched();
        self.listeners.reserve.show(something);
        self.odd.review(something);
        taken
    }

    fn take_due(&mut self, room: &Room) -> Option<std::result::Result<(), Refusal>> {
        for _ in 0..LOOKS {
            if let ControlFlow::Break(taken) = self.take_first(room) {
                return taken;
            }
        }
        None
    }

    /// What the place that has come up gives, if there is one; goes on if it gives nothing.
    fn take_first(&mut self, room: &Room) -> ControlFlow<Option<std::result::Result<(), Refusal>>> {
        let Some(place) = self.due.first_mut() else { return ControlFlow::Break(None) };
        let key = place.link;
        let Some(link) = self.links.get_mut(key).filter(|link| link.kept.is_none()) else {
            self.postpone_first();
            return ControlFlow::Continue(());
        };
        if let Err(errno) = self.unpacked.make_room(room) {
            return ControlFlow::Break(Some(Err(errno.into())));
        }
        let from = (link.socket.as_fd(), Some(link.process));
        match take::take(from, self.signal, room, &mut self.unpacked) {
            Ok(Taken::Parcel) => {
                self.unpacked.info.id = link.id_of_taken(&mut self.last_id);
                if !place.goes_on_after(self.unpacked.size()) {
                    self.due.take_first();
                    if mem::take(&mut link.due) {
                        self.close_if_at_its_end(key);
                    }
                }
                if self.odd.any() {
                    // Old news by the next call, which looks again.
                    self.odd.accept_error = None;
                }
                return ControlFlow::Break(Some(Ok(())));
            }
            Ok(Taken::Nothing) => self.end_first(),
            Ok(Taken::Hidden) => {}
            Ok(Taken::End) => self.close_link(key),
            Ok(Taken::OtherVersion) => {
                self.due.take_first();
                self.close_link(key);
                return ControlFlow::Break(Some(Err(Errno(libc::EPROTO).into())));
            }
            Err(refusal) => return ControlFlow::Break(Some(Err(self.keep(key, refusal)))),
        }
        ControlFlow::Continue(())
    }

    /// Nothing is there where the place that has come up is.
    #[cold]
    fn end_first(&mut self) {
        let Some(place) = self.due.take_first() else { return };
        let Some(link) = self.links.get_mut(place.link) else { return };
        link.due = false;
        if place.has_given_one() {
            link.only_one = NOT_AGAIN;
        }
    }

    /// In turn with what is kept, so that neither hides the other for ever.
    fn tell_accept_error(&mut self) -> Option<Errno> {
        let errno = self.odd.accept_error.take_if(|_| self.due.is_empty())?;
        self.odd.accept_error_was_told =
            self.odd.kept.is_empty() || !self.odd.accept_error_was_told;
        self.odd.accept_error_was_told.then_some(errno)
    }

    /// Whether a further attempt to take something makes sense at once.
    pub(crate) fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Makes sure that a signal is pending while mail is left that the kernel does not announce.
    pub(crate) fn notify_if_mail_is_left(&mut self) {
        let left = !self.due.is_empty() || self.odd.any() && self.has_mail_of_no_place();
        if let Some(notifier) = self.notifier.as_mut().filter(|_| left) {
            notifier.notify();
        }
    }

    fn has_mail_of_no_place(&self) -> bool {
        self.odd.look_again || !self.odd.kept.is_empty() || self.has_something_unwatched()
    }

    fn has_something_unwatched(&self) -> bool {
        !self.odd.unwatched.is_empty() || self.listeners.have_unidentified()
    }

    /// To be called before a call returns or waits: what was turned away meanwhile is released.
    pub(crate) fn close_unread(&mut self) {
        self.unread.close();
    }

    fn look(&mut self) {
        let mut ready = Ready::new();
        match epoll::wait(self.epoll.as_fd(), &mut ready, 0) {
            Ok(()) => self.note_readable(&ready),
            Err(errno) => self.postpone(errno),
        }
    }

    #[cold]
    fn postpone(&mut self, errno: Errno) {
        self.odd.accept_error = Some(errno);
        self.odd.look_again = true;
    }

    /// What waits on a link is due, in the place where the link stands in the queue.
    fn enqueue(&mut self, key: Key) {
        let Some(link) = self.links.get(key) else { return };
        let is_followed = self.is_followed(link.process);
        if link.due && !is_followed {
            return;
        }
        let due = if is_followed || self.notifier.is_some() {
            // Where the kernel does not tell, one parcel at a time. An empty link that was reported
            // has come to its end, which the attempt to read it shows.
            Due::bytes(key, socket::waiting_bytes(link.socket.as_fd()).unwrap_or(1).max(1))
        } else if link.only_one > 0 {
            Due::one(key)
        } else {
            Due::some(key)
        };
        let is_due = if link.due { self.replace(due) } else { self.put_behind(due) };
        if let Some(link) = self.links.get_mut(key) {
            link.due = is_due;
            link.only_one = link.only_one.saturating_sub(1);
        }
    }

    /// Whether a link was accepted just now, to an inbox without signals, that the same process has
    /// connected: all that it sent over an earlier one comes first.
    fn is_followed(&self, process: i32) -> bool {
        let is_of_the_same =
            |new: &Key| self.links.get(*new).is_some_and(|new| new.process == process);
        self.notifier.is_none() && self.odd.unwatched.iter().any(is_of_the_same)
    }

    /// `true`: the link stands in the queue, or is kept and comes up again.
    fn replace(&mut self, new: Due) -> bool {
        if let Some(place) = self.due.iter_mut().find(|due| due.link == new.link) {
            *place = new;
        }
        true
    }

    fn enqueue_what_waits_on_links(&mut self) {
        let mut ready = Ready::new();
        let mut most = self.links.len();
        loop {
            if let Err(errno) = epoll::wait(self.epoll.as_fd(), &mut ready, 0) {
                return self.postpone(errno);
            }
            for fd in ready.iter() {
                self.links.key_of(fd).into_iter().for_each(|key| self.enqueue(key));
            }
            // KERNEL: what was reported goes to the end of the line of what is ready.
            most = most.saturating_sub(Ready::MOST - 1);
            if most == 0 || !ready.is_full() {
                return;
            }
        }
    }
}
