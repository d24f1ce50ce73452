//! The listening sockets of one inbox: that for its own users first, those for others behind it.

use super::admission::Admitted;
use super::bound::Bound;
use super::guests::Guests;
use super::listener::Listener;
use super::notify::Notifier;
use super::reserve::Reserve;
use crate::sys::fd::PrivateFd;
use crate::sys::ids::{self, Uids};
use crate::sys::shared::Shared;
use crate::sys::unread::Unread;
use crate::sys::{Errno, Result, signal};
use std::ops::Range;
use std::os::fd::{AsFd, RawFd};

#[derive(Debug)]
pub(super) struct Listeners {
    epoll: Shared<PrivateFd>,
    /// In the order in which they are asked.
    all: Vec<Listener>,
    pub(super) reserve: Reserve,
    pub(super) guests: Option<Guests>,
}

/// Connections that may wait to be accepted where they queue no signals.
const MOST: i32 = 4096;
/// And where they do, also with the lowest limit of signals.
const LEAST: i32 = 16;
/// They take no more than this part of the signals that may be queued to the user's processes.
const SHARE: u64 = 64;

/// KERNEL: every connection queues a signal that counts against the receiver's user, whoever makes it,
/// also one that is closed at once. Nobody is to use up the user's signal queue with that, without which
/// its processes get no timers. So several sockets share what one would have.
fn backlog(signals: bool, sockets: usize) -> i32 {
    if !signals {
        return MOST;
    }
    let all = i32::try_from(signal::queue_limit() / SHARE).map_or(MOST, |n| n.clamp(LEAST, MOST));
    (all / i32::try_from(sockets).unwrap_or(LEAST)).max(1)
}

impl Listeners {
    /// Begins to listen on all sockets, which are bound.
    pub(super) fn open(
        (bound, guests): (Vec<Bound>, Option<Guests>),
        epoll: &Shared<PrivateFd>,
        notifier: Option<&Notifier>,
    ) -> Result<Listeners> {
        let (us, backlog) = (ids::uids(), backlog(notifier.is_some(), bound.len()));
        let mut all = Vec::new();
        all.try_reserve_exact(bound.len()).map_err(|_| Errno(libc::ENOMEM))?;
        let reserve = Reserve::open(epoll.clone())?;
        for bound in bound {
            all.push(Listener::new(bound, epoll.as_fd(), notifier, backlog, us)?);
        }
        // Whoever finds one finds all.
        all.iter_mut().rev().try_for_each(Listener::listen)?;
        if let Some(first) = all.first().and_then(Listener::socket) {
            epoll.is_set_of(first);
        }
        Ok(Listeners { epoll: epoll.clone(), all, reserve, guests })
    }

    pub(super) fn sockets(&self) -> impl Iterator<Item = &PrivateFd> {
        self.all.iter().filter_map(Listener::socket)
    }

    /// In the order in which they are to be asked.
    pub(super) fn places(&self) -> Range<usize> {
        0..self.all.len()
    }

    /// Which of them has this number.
    pub(super) fn place_of(&self, fd: RawFd) -> Option<usize> {
        self.all.iter().position(|listener| listener.is(fd))
    }

    /// Whether a connection was accepted of which the kernel has not told yet whose it is.
    pub(super) fn have_unidentified(&self) -> bool {
        self.all.iter().any(Listener::has_unidentified)
    }

    /// A signal that announces a connection to one of them was dequeued.
    pub(super) fn was_announced(&mut self, place: usize) {
        self.all[place].was_announced();
    }

    /// The signal queue was full: connections need not have been announced.
    pub(super) fn signals_were_lost(&mut self) {
        self.all.iter_mut().for_each(Listener::signals_were_lost);
    }

    /// Whether no more may be accepted from one of them before signals of number `signo` are dequeued.
    pub(super) fn is_far_ahead(&mut self, place: usize, signo: i32) -> bool {
        let listener = &mut self.all[place];
        !listener.has_unidentified() && listener.is_far_ahead(signo)
    }

    /// Our users, as whom senders see us from now on.
    pub(super) fn own_uids(&self) -> Uids {
        let us = ids::uids();
        self.all.iter().for_each(|listener| listener.show(us));
        us
    }

    /// Whether we were these users already when nobody was left to accept.
    pub(super) fn have_seen(&self, us: Uids) -> bool {
        self.all.iter().all(|listener| listener.has_seen(us))
    }

    /// The next link from one of them and who is at its other end, or `None` for one that was turned
    /// away, unread. EAGAIN: nobody is there.
    pub(super) fn admit(
        &mut self,
        place: usize,
        us: Uids,
        unread: &mut Unread,
    ) -> Result<Option<(PrivateFd, Admitted)>> {
        let guests = self.guests.as_ref();
        self.all[place].admit(us, guests, (self.epoll.as_fd(), &mut self.reserve), unread)
    }

    /// No connection is possible from now on, and whoever waits on the epoll set wakes up.
    pub(super) fn stop_listening(&self) {
        self.all.iter().for_each(Listener::stop_listening);
    }

    /// The connections that nobody has accepted are closed, unread.
    pub(super) fn close(&mut self, unread: &mut Unread) {
        self.reserve.settle();
        self.epoll.settle();
        self.stop_listening();
        for listener in &mut self.all {
            listener.close((self.epoll.as_fd(), &mut self.reserve), unread);
        }
    }
}
