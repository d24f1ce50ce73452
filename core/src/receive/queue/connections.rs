//! The connections to an inbox: how they are accepted, watched and closed.

use super::Queue;
use super::links::{Key, Link};
use crate::sys::epoll::{self, Ready};
use crate::sys::ids::Uids;
use crate::sys::{Errno, Result, fd, socket};
use std::os::fd::AsFd;

/// Which of the connections that wait are accepted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    /// One, at this of the listeners.
    OneAt(usize),
    All,
}

impl Queue {
    /// Accepts links that wait, and what they hold is due.
    pub(super) fn accept(&mut self, waiting: Waiting) {
        let us = self.listeners.own_uids();
        // What a look that was put off would find comes before these connections' mail.
        let one_by_one = self.listeners.have_seen(us) && !self.odd.look_again;
        match waiting {
            Waiting::OneAt(place) if one_by_one => self.admit(place, waiting, us),
            _ => {
                for place in self.listeners.places() {
                    self.admit(place, Waiting::All, us);
                }
                // What a sender sent over an earlier link comes before what it sent over one of these.
                self.enqueue_what_waits_on_links();
            }
        }
        self.watch_what_is_unwatched();
    }

    /// Before a connection is accepted: what waits in it counts as sent.
    fn make_room_for_a_link(&mut self) -> Result<()> {
        self.links.reserve()?;
        self.odd.unwatched.try_reserve(1).map_err(|_| Errno(libc::ENOMEM))
    }

    fn admit(&mut self, place: usize, waiting: Waiting, us: Uids) {
        // Not so many that the caller's deadline is forgotten.
        for _ in 0..Ready::MOST {
            if waiting == Waiting::All && self.is_far_ahead_of_signals(place) {
                break;
            }
            if let Err(errno) = self.make_room_for_a_link() {
                return self.postpone(errno);
            }
            match self.listeners.admit(place, us, &mut self.unread) {
                Ok(admitted) => {
                    let admitted = admitted.and_then(|(socket, who)| self.seat(socket, who));
                    if let Some((socket, who)) = admitted {
                        let key = self.links.insert(socket, who);
                        self.odd.unwatched.push_back(key);
                    }
                    if waiting != Waiting::All {
                        return;
                    }
                }
                Err(Errno(libc::ECONNABORTED | libc::EINTR)) => {}
                Err(Errno(libc::EAGAIN)) => return,
                Err(errno) => return self.postpone(errno),
            }
        }
        self.odd.look_again = true;
    }

    fn is_far_ahead_of_signals(&mut self, place: usize) -> bool {
        let signo = self.signal.number();
        self.notifier.is_some() && self.listeners.is_far_ahead(place, signo)
    }

    pub(super) fn watch_what_is_unwatched(&mut self) {
        while let Some(key) = self.odd.unwatched.front().copied() {
            if let Err(errno) = self.watch(key) {
                self.odd.accept_error = Some(errno);
                return;
            }
            self.odd.unwatched.pop_front();
            // KERNEL: what came before O_ASYNC was set will not signal.
            self.enqueue(key);
        }
    }

    fn watch(&self, key: Key) -> Result<()> {
        let Some(link) = self.links.get(key) else { return Ok(()) };
        if let Some(notifier) = &self.notifier {
            notifier.arm(link.socket.as_fd())?;
        }
        match epoll::add(self.epoll.as_fd(), link.socket.as_fd()) {
            Err(Errno(libc::EEXIST)) => Ok(()),
            result => result,
        }
    }

    /// After a change of uid: signals would be lost silently until the sockets are armed anew.
    pub(crate) fn rearm_after_change_of_uid(&mut self) -> Result<()> {
        let Some(notifier) = &mut self.notifier else { return Ok(()) };
        let sockets = self.links.sockets().chain(self.listeners.sockets());
        if notifier.follow_users(sockets)? {
            self.odd.look_again = true;
        }
        Ok(())
    }

    /// KERNEL: a hang-up does not signal either, if it came before the link was armed or found the
    /// signal queue full. Without signals, epoll tells of it.
    pub(super) fn close_if_at_its_end(&mut self, key: Key) {
        let Some(link) = self.links.get(key).filter(|_| self.notifier.is_some()) else { return };
        if fd::has_hung_up(link.socket.as_fd()) {
            match socket::waiting_bytes(link.socket.as_fd()) {
                Ok(0) => self.close_link(key),
                _ => self.enqueue(key),
            }
        }
    }

    #[cold]
    pub(super) fn close_link(&mut self, key: Key) {
        let Some(Link { socket, guest, .. }) = self.links.remove(key) else { return };
        self.note_departure(guest);
        if epoll::remove(self.epoll.as_fd(), socket.as_fd()) || socket.is_intact() {
            if self.notifier.is_some() {
                socket::disarm(socket.as_fd());
            }
            self.unread.put_intact(socket);
        }
    }

    /// No connection is possible from now on, and whoever waits on the epoll set or for signals wakes
    /// up.
    pub(crate) fn stop_listening(&mut self) {
        self.listeners.stop_listening();
        if let Some(notifier) = &mut self.notifier {
            notifier.notify();
        }
    }

    /// Closes everything, so that senders see it even where a forked child holds the sockets too.
    pub(crate) fn close(&mut self) {
        while let Some(key) = self.links.any_key() {
            self.close_link(key);
        }
        self.listeners.close(&mut self.unread);
        self.unread.close();
    }
}
