//! Guests among the senders of an inbox: how many have a link, and how they are told that they have one.

use super::Queue;
use super::links::Key;
use crate::receive::admission::Admitted;
use crate::receive::guests::welcome;
use crate::sys::fd::PrivateFd;
use crate::sys::{epoll, fd, socket};
use std::os::fd::AsFd;

impl Queue {
    /// Counts a guest and bids it welcome; gives back who may have a link. Whoever comes as one too many is
    /// turned away, unread.
    pub(super) fn seat(
        &mut self,
        socket: PrivateFd,
        who: Admitted,
    ) -> Option<(PrivateFd, Admitted)> {
        let Some(uid) = who.guest else { return Some((socket, who)) };
        // What a guest has sent before it was told does not count as sent.
        if !self.has_room_for_guest(uid) || welcome(socket.as_fd()).is_err() {
            epoll::remove(self.epoll.as_fd(), socket.as_fd());
            self.unread.put(socket);
            return None;
        }
        if let Some(guests) = &mut self.listeners.guests {
            guests.came(uid);
        }
        Some((socket, who))
    }

    fn has_room_for_guest(&mut self, uid: u32) -> bool {
        let has_room = |queue: &mut Queue| {
            let guests = queue.listeners.guests.as_mut();
            guests.is_some_and(|guests| guests.has_room_for(uid) == Ok(true))
        };
        if has_room(self) {
            return true;
        }
        // Links whose other end is closed and empty are closed when their turn comes, or now.
        let guests = self.listeners.guests.as_ref();
        let own = guests.is_none_or(|guests| !guests.has_room_of_its_own(uid));
        self.close_what_guests_have_left(own.then_some(uid));
        has_room(self)
    }

    fn close_what_guests_have_left(&mut self, user: Option<u32>) {
        let links = || self.links.of_guests(user);
        let ended = fd::have_ended(links().map(|(_, link)| link.socket.as_fd()));
        let left = ended.zip(links()).filter(|(ended, (_, link))| {
            *ended && link.kept.is_none() && socket::waiting_bytes(link.socket.as_fd()) == Ok(0)
        });
        let mut keys: Vec<Key> = Vec::new();
        for (_, (key, _)) in left {
            if keys.try_reserve(1).is_err() {
                break;
            }
            keys.push(key);
        }
        for key in keys {
            self.close_link(key);
        }
    }

    pub(super) fn note_departure(&mut self, guest: Option<u32>) {
        if let (Some(uid), Some(guests)) = (guest, &mut self.listeners.guests) {
            guests.left(uid);
        }
    }
}
