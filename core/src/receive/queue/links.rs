//! The accepted links of an inbox, found by the numbers that the kernel reports.
//!
//! A number is used again once its link is closed, while signals and notes about the former one may
//! still be on their way. So what is remembered about a link names it by a key that no other has.

use super::places::Due;
use crate::map::Map;
use crate::parcel::Info;
use crate::receive::admission::Admitted;
use crate::receive::take::Room;
use crate::sys::Result;
use crate::sys::fd::PrivateFd;
use std::collections::VecDeque;
use std::os::fd::{AsRawFd, RawFd};

/// Names one link for ever.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Key {
    pub(super) fd: RawFd,
    serial: u64,
}

/// A link that has been accepted.
#[derive(Debug)]
pub(super) struct Link {
    serial: u64,
    pub(super) socket: PrivateFd,
    /// The process that has connected; 0 if it is not visible here.
    pub(super) process: i32,
    /// Its user, if that is a guest.
    pub(super) guest: Option<u32>,
    /// Stands in the queue with all of its bytes already.
    pub(super) due: bool,
    /// So many times one parcel of it is taken, and no more, when it is found readable.
    pub(super) only_one: u8,
    /// The id of its first parcel, once that has been looked at.
    pub(super) first_id: Option<u64>,
    /// Its first parcel, if that could not be taken.
    pub(super) kept: Option<KeptParcel>,
}

impl Link {
    /// The id that its first parcel has, or gets now.
    pub(super) fn id_of_first(&mut self, last_id: &mut u64) -> u64 {
        *self.first_id.get_or_insert_with(|| {
            *last_id += 1;
            *last_id
        })
    }

    /// The same, of a parcel that is gone now.
    pub(super) fn id_of_taken(&mut self, last_id: &mut u64) -> u64 {
        self.first_id.take().unwrap_or_else(|| {
            *last_id += 1;
            *last_id
        })
    }
}

/// The first parcel of a link, as long as it is kept.
#[derive(Debug)]
pub(super) struct KeptParcel {
    /// Where the kernel did not even show it: none.
    pub(super) info: Option<Info>,
    /// The caller's room was too small.
    pub(super) too_large: bool,
    /// The places in the queue that came up meanwhile.
    pub(super) postponed: VecDeque<Due>,
}

impl KeptParcel {
    pub(super) fn is_awaited(&self, room: &Room) -> bool {
        self.too_large && self.info.is_some_and(|info| room.holds(info.nfds, info.len))
    }
}

#[derive(Debug)]
pub(super) struct Links {
    by_number: Map<RawFd, Link>,
    last_serial: u64,
}

impl Links {
    pub(super) const fn new() -> Links {
        Links { by_number: Map::new(), last_serial: 0 }
    }

    /// Makes room for one more.
    pub(super) fn reserve(&mut self) -> Result<()> {
        self.by_number.reserve()
    }

    /// There is room for it.
    pub(super) fn insert(&mut self, socket: PrivateFd, who: Admitted) -> Key {
        let Admitted { process, guest } = who;
        self.last_serial += 1;
        let (fd, serial) = (socket.as_raw_fd(), self.last_serial);
        let (first_id, kept) = (None, None);
        let link = Link { serial, socket, process, guest, due: false, only_one: 0, first_id, kept };
        self.by_number.insert(fd, link);
        Key { fd, serial }
    }

    /// The link that has this number at the moment.
    pub(super) fn key_of(&self, fd: RawFd) -> Option<Key> {
        self.by_number.get(fd).map(|link| Key { fd, serial: link.serial })
    }

    pub(super) fn get(&self, key: Key) -> Option<&Link> {
        self.by_number.get(key.fd).filter(|link| link.serial == key.serial)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Link> {
        self.by_number.get_mut(key.fd).filter(|link| link.serial == key.serial)
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<Link> {
        self.get(key)?;
        self.by_number.remove(key.fd)
    }

    pub(super) fn len(&self) -> usize {
        self.by_number.len()
    }

    pub(super) fn any_key(&self) -> Option<Key> {
        self.by_number.iter().next().map(|(fd, link)| Key { fd, serial: link.serial })
    }

    /// The links of guests, of one user or of all.
    pub(super) fn of_guests(&self, user: Option<u32>) -> impl Iterator<Item = (Key, &Link)> {
        let links = self.by_number.iter();
        let links = links.filter(move |(_, link)| {
            link.guest.is_some_and(|guest| user.is_none_or(|user| user == guest))
        });
        links.map(|(fd, link)| (Key { fd, serial: link.serial }, link))
    }

    pub(super) fn sockets(&self) -> impl Iterator<Item = &PrivateFd> {
        self.by_number.iter().map(|(_, link)| &link.socket)
    }
}
