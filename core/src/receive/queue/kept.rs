//! Parcels that could not be taken: reported, kept, and in nobody's way.
//!
//! Such a parcel stays the first of its link, and what its sender sent after it stays behind it. The
//! mail of other links goes on. It is tried again when a caller has the room that was missing, and
//! when nothing else is there.

use super::Queue;
use super::links::{KeptParcel, Key};
use crate::receive::take::{Refusal, Room};
use crate::sys::epoll::Ready;
use crate::sys::{Errno, Result, release, socket};
use crate::wire::HEADER;
use std::collections::VecDeque;
use std::mem;
use std::os::fd::AsFd;

impl Queue {
    /// Keeps the first parcel of the link whose place has come up, and goes on with others.
    #[cold]
    pub(super) fn keep(&mut self, key: Key, refusal: Refusal) -> Refusal {
        let Refusal { errno, has_parcel } = refusal;
        if self.odd.kept.try_reserve(1).is_err() {
            return Refusal { errno: Errno(libc::ENOMEM), has_parcel };
        }
        let Some(link) = self.links.get_mut(key) else { return errno.into() };
        if has_parcel {
            self.unpacked.info.id = link.id_of_first(&mut self.last_id);
        }
        let info = has_parcel.then_some(self.unpacked.info);
        let too_large = errno == Errno(libc::EMSGSIZE);
        link.kept = Some(KeptParcel { info, too_large, postponed: VecDeque::new() });
        self.odd.kept.push_back(key);
        self.postpone_first();
        refusal
    }

    /// The place that has come up is of a link that is gone, or whose first parcel is kept.
    #[cold]
    pub(super) fn postpone_first(&mut self) {
        let Some(due) = self.due.take_first() else { return };
        let Some(link) = self.links.get_mut(due.link) else { return };
        let Some(kept) = &mut link.kept else { return };
        // Places beyond one for each parcel come from signals that were made up.
        let (waiting, places) = (socket::waiting_bytes(link.socket.as_fd()), kept.postponed.len());
        if places == 0 || waiting.is_ok_and(|waiting| places < waiting / HEADER) {
            match kept.postponed.try_reserve(1) {
                Ok(()) => kept.postponed.push_back(due),
                // For want of memory it is to be found by a look later.
                Err(_) => self.odd.look_again = true,
            }
        }
    }

    /// Whoever was told the size of a parcel and has made room for it gets that one.
    pub(super) fn resume_what_fits_now(&mut self, room: &Room) {
        let fits = |key: &Key| {
            let kept = self.links.get(*key).and_then(|link| link.kept.as_ref());
            kept.is_some_and(|kept| kept.is_awaited(room))
        };
        if let Some(index) = self.odd.kept.iter().position(fits) {
            self.resume(index);
        }
    }

    /// Nothing else is there as far as it was announced. After a look at the sockets, tries what was
    /// kept longest.
    pub(crate) fn take_kept(&mut self, room: &Room) -> Option<std::result::Result<(), Refusal>> {
        // KERNEL: epoll goes on to report the links of what is kept, each in its turn.
        for _ in 0..=self.odd.kept.len() / (Ready::MOST - 1) {
            if self.odd.kept.is_empty() {
                return None;
            }
            self.odd.look_again = true;
            let taken = self.take(room);
            if taken.is_some() || self.has_due() {
                return taken;
            }
            if !self.odd.look_again {
                break;
            }
        }
        self.resume(0);
        self.take(room)
    }

    /// Releases the parcel with this id unseen, if it is kept. EAGAIN: it is not.
    pub(crate) fn discard(&mut self, id: u64) -> Result<()> {
        let has_id = |key: &Key| self.links.get(*key).is_some_and(|link| link.first_id == Some(id));
        let index = self.odd.kept.iter().position(has_id).ok_or(Errno(libc::EAGAIN))?;
        let key = self.odd.kept[index];
        let link = self.links.get_mut(key).ok_or(Errno(libc::EAGAIN))?;
        release::discard_elsewhere(link.socket.as_fd())?;
        link.first_id = None;
        let info = link.kept.as_ref().and_then(|kept| kept.info);
        let bytes = info.map_or(1, |info| HEADER + info.len as usize);
        self.resume(index);
        let Some(place) = self.due.first_mut() else { return Ok(()) };
        if !place.goes_on_after(bytes) {
            let key = place.link;
            self.due.take_first();
            if self.links.get_mut(key).is_some_and(|link| mem::take(&mut link.due)) {
                self.close_if_at_its_end(key);
            }
        }
        Ok(())
    }

    /// What was postponed for a kept parcel comes up again, before everything else.
    fn resume(&mut self, index: usize) {
        let Some(key) = self.odd.kept.remove(index) else { return };
        let Some(kept) = self.links.get_mut(key).and_then(|link| link.kept.take()) else { return };
        if self.due.put_first(kept.postponed).is_err() {
            self.odd.look_again = true;
        }
    }
}
