//! The places in the queue of an inbox, of which there is mostly one, or none.

use super::links::Key;
use crate::sys::{Errno, Result};
use std::collections::VecDeque;

/// So many parcels of one link are taken in a row by an inbox without signals, which keep the order of
/// arrival where there are any.
const IN_A_ROW: u32 = 32;

/// Mail that is due on one link: a place in the queue, which ends when nothing is left on the link, too.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    pub(super) link: Key,
    /// Bytes on the wire that are to be taken before the next place is looked at.
    bytes: usize,
    /// Parcels, likewise.
    parcels: u32,
}

impl Due {
    /// One parcel.
    pub(super) const fn one(link: Key) -> Due {
        Due::bytes(link, 1)
    }

    pub(super) const fn bytes(link: Key, bytes: usize) -> Due {
        Due { link, bytes, parcels: u32::MAX }
    }

    /// What is there, also of what comes meanwhile; but no sender is to wait behind more of another.
    pub(super) const fn some(link: Key) -> Due {
        Due { link, bytes: usize::MAX, parcels: IN_A_ROW }
    }

    /// A parcel of so many bytes is gone from it; whether it goes on.
    pub(super) fn goes_on_after(&mut self, bytes: usize) -> bool {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.parcels -= 1;
        self.bytes > 0 && self.parcels > 0
    }

    /// Whether one parcel is gone from it, of some.
    pub(super) fn has_given_one(&self) -> bool {
        self.parcels == IN_A_ROW - 1
    }
}

#[derive(Debug, Default)]
pub(super) struct Places {
    first: Option<Due>,
    /// None while there is no first one.
    others: VecDeque<Due>,
}

impl Places {
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(super) fn first_mut(&mut self) -> Option<&mut Due> {
        self.first.as_mut()
    }

    pub(super) fn take_first(&mut self) -> Option<Due> {
        let next = if self.others.is_empty() { None } else { self.others.pop_front() };
        std::mem::replace(&mut self.first, next)
    }

    /// ENOMEM: there is no memory.
    pub(super) fn put_last(&mut self, due: Due) -> Result<()> {
        if self.first.is_none() {
            self.first = Some(due);
            return Ok(());
        }
        self.others.try_reserve(1).map_err(|_| Errno(libc::ENOMEM))?;
        self.others.push_back(due);
        Ok(())
    }

    /// In front of all, in this order. ENOMEM: there is no memory, and nothing has changed.
    pub(super) fn put_first(&mut self, places: VecDeque<Due>) -> Result<()> {
        self.others.try_reserve(places.len()).map_err(|_| Errno(libc::ENOMEM))?;
        for due in places.into_iter().rev() {
            if let Some(second) = self.first.replace(due) {
                self.others.push_front(second);
            }
        }
        Ok(())
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Due> {
        self.first.iter_mut().chain(&mut self.others)
    }
}
