//! A link as the cache sees it: a descriptor in the table, its last use, and whether it is dead.

use crate::Result;
use crate::kernel::{self, OwnedFd};
use crate::table::{self, Look};
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Debug)]
pub(crate) struct Link {
    /// None while it is dropped.
    socket: Option<(OwnedFd, u32)>,
    last_use: u64,
    /// Of the world outside, hence std's.
    dead: AtomicBool,
}

impl Link {
    pub(crate) fn open(last_use: u64) -> Result<Link> {
        let socket = Some(table::enlist(kernel::open)?);
        Ok(Link { socket, last_use, dead: AtomicBool::new(false) })
    }

    pub(crate) fn die(&self) {
        self.dead.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// No task is known by two keys here.
    pub(crate) fn leads_to(&self, _: Option<u64>) -> bool {
        false
    }

    pub(crate) fn last_use(&self) -> u64 {
        self.last_use
    }
}

pub(crate) fn of_no_use<'a>(links: impl Iterator<Item = &'a Link>) -> Vec<bool> {
    links.map(Link::is_dead).collect()
}

impl Drop for Link {
    fn drop(&mut self) {
        let close = |(fd, serial)| table::discharge(fd, serial, Look::First);
        self.socket.take().into_iter().for_each(close);
    }
}
