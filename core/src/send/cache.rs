//! The links that a process keeps: bounded, shared by its threads, forgotten by its children.
//!
//! A link stands in one of a few sets, chosen by whom it leads to, so threads that send to different
//! tasks rarely meet at a lock, and none is held while anything waits. A recipient has one link for
//! each signal number, also where it is addressed now by its id and now by a pidfd: parcels that one
//! thread sends stay in order.

use super::link::Link;
use crate::sys::fork::PerProcess;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const SETS: usize = 64;
const WAYS: usize = 4;

/// Whom a link leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Key {
    pub(crate) who: Who,
    pub(crate) signo: i32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Who {
    /// A task, by its id. The id may come to mean another task; but then the link is at its end,
    /// unless it leads to a quiet inbox that its thread has left open.
    Id(i32),
    /// A task, by the inode of its pidfd.
    Inode(u64),
}

/// A bounded set of links.
#[derive(Debug)]
pub(crate) struct Cache {
    sets: [Mutex<Set>; SETS],
}

type Set = [Option<(Key, Arc<Link>)>; WAYS];

static OF_THIS_PROCESS: PerProcess<Cache> = PerProcess::new();

impl Cache {
    pub(crate) fn of_this_process() -> &'static Cache {
        OF_THIS_PROCESS.get(Cache::new)
    }

    fn new() -> Cache {
        Cache { sets: [const { Mutex::new([const { None }; WAYS]) }; SETS] }
    }

    fn set(&self, key: Key) -> MutexGuard<'_, Set> {
        let who = match key.who {
            #[allow(clippy::cast_sign_loss, reason = "only spread, never read back")]
            Who::Id(id) => id as u64,
            Who::Inode(inode) => inode,
        };
        #[allow(clippy::cast_sign_loss, reason = "only spread, never read back")]
        let mixed = (who << 6 | key.signo as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        lock(&self.sets[(mixed >> 58) as usize])
    }

    pub(crate) fn get(&self, key: Key) -> Option<Arc<Link>> {
        let set = self.set(key);
        set.iter().flatten().find(|(kept, _)| *kept == key).map(|(_, link)| Arc::clone(link))
    }

    /// The link to the same task under another key: by its id instead of a pidfd, or the reverse.
    pub(crate) fn find(&self, inode: Option<u64>, signo: i32) -> Option<Arc<Link>> {
        self.sets.iter().find_map(|set| {
            let set = lock(set);
            let mut kept = set.iter().flatten();
            kept.find(|(key, link)| key.signo == signo && link.leads_to(inode))
                .map(|(_, link)| Arc::clone(link))
        })
    }

    /// Keeps `link`, unless another thread was faster: the one that is kept comes back. A full set
    /// gives up the link that was idle longest.
    pub(crate) fn insert(&self, key: Key, link: Arc<Link>) -> Arc<Link> {
        let mut set = self.set(key);
        if let Some((_, first)) = set.iter().flatten().find(|(kept, _)| *kept == key) {
            return Arc::clone(first);
        }
        let place = set
            .iter_mut()
            .min_by_key(|place| place.as_ref().map_or(0, |(_, link)| link.last_use() + 1));
        if let Some(place) = place {
            *place = Some((key, Arc::clone(&link)));
        }
        link
    }

    /// Drops `link`, unless another has taken its place already.
    pub(crate) fn remove(&self, key: Key, link: &Arc<Link>) {
        for place in self.set(key).iter_mut() {
            if place.as_ref().is_some_and(|(_, kept)| Arc::ptr_eq(kept, link)) {
                *place = None;
            }
        }
    }

    /// Drops all links whose other end is closed.
    pub(crate) fn drop_the_dead(&self) {
        for set in &self.sets {
            for place in lock(set).iter_mut() {
                if place.as_ref().is_some_and(|(_, link)| link.is_of_no_use()) {
                    *place = None;
                }
            }
        }
    }
}

/// A thread that panics leaves nothing half done in a set.
fn lock(set: &Mutex<Set>) -> MutexGuard<'_, Set> {
    set.lock().unwrap_or_else(PoisonError::into_inner)
}
