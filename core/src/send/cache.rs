//! The links that a process keeps: bounded, shared by its threads, forgotten by its children.
//!
//! A link stands in one of some sets, chosen by whom it leads to, so threads that send to different
//! tasks rarely meet at a lock, and none is held while anything waits or is closed. A recipient has one
//! link for each signal number, also where it is addressed now by its id and now by a pidfd: parcels that
//! one thread sends stay in order.
//!
//! The bound is of all sets together, and the link that was idle longest gives way. To find it, and those
//! that are dead, a sender without a link looks at some: so many more that neither falls behind.

use super::link::{self, Link};
use crate::map::{Map, Place};
use crate::sys::Result;
use crate::sys::fork::PerProcess;
use crate::sys::shared::Shared;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

const SETS: usize = 64;

/// How many links a sender without one looks at, if the dead are among them.
const LOOKS: usize = 64;

/// How many of those that were idle longest are found at once.
const IDLE: usize = 32;

/// Whom a link leads to, as few integers that are quickly compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Key {
    /// The id, or the inode.
    number: u64,
    signo: i32,
    is_inode: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Who {
    /// A task, by its id. The id may come to mean another task; but then the link is at its end,
    /// unless it leads to a quiet inbox that its thread has left open.
    Id(i32),
    /// A task, by the inode of its pidfd.
    Inode(u64),
}

/// A bounded number of links.
#[derive(Debug)]
pub(crate) struct Cache {
    sets: [Apart<Mutex<Set>>; SETS],
    /// In all sets.
    count: AtomicUsize,
    /// The set at which the next look for the dead begins.
    next: AtomicUsize,
    /// Those that were idle longest when they were looked for, the last one longest.
    idle: Mutex<Vec<Idle>>,
}

/// In a line of memory of its own: threads that use others do not take it from each other.
#[derive(Debug)]
#[repr(align(64))]
struct Apart<T>(T);

type Set = Map<Key, Shared<Link>>;

/// A link that has not been used since.
#[derive(Debug)]
struct Idle {
    key: Key,
    since: u64,
}

static OF_THIS_PROCESS: PerProcess<Cache> = PerProcess::new();

impl Cache {
    pub(crate) fn of_this_process() -> Result<&'static Cache> {
        OF_THIS_PROCESS.get(Cache::new)
    }

    fn new() -> Cache {
        Cache {
            sets: [const { Apart(Mutex::new(Set::new())) }; SETS],
            count: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
            idle: Mutex::new(Vec::new()),
        }
    }

    fn set(&self, key: Key) -> MutexGuard<'_, Set> {
        lock(&self.sets[(key.mixed() >> 58) as usize].0)
    }

    #[inline(always)]
    #[allow(clippy::inline_always, reason = "every send goes through it, and it is short")]
    pub(crate) fn get(&self, key: Key) -> Option<Shared<Link>> {
        self.set(key).get(key).cloned()
    }

    /// The link to the task of `key` under its other key: by its id instead of a pidfd, or the reverse.
    /// `id` is 0 where it is not known.
    pub(crate) fn find(&self, key: Key, id: i32, inode: Option<u64>) -> Option<Shared<Link>> {
        let kept = match (key.is_inode, inode) {
            (_, None) => None,
            (false, Some(inode)) => self.get(Key::new(Who::Inode(inode), key.signo)),
            (true, _) if id > 0 => self.get(Key::new(Who::Id(id), key.signo)),
            (true, _) => self.sets.iter().find_map(|Apart(set)| {
                let set = lock(set);
                let mut kept = set.iter().filter(|(kept, _)| kept.signo == key.signo);
                kept.find(|(_, link)| link.leads_to(inode)).map(|(_, link)| link.clone())
            }),
        };
        kept.filter(|link| link.leads_to(inode))
    }

    /// Keeps `link`, unless another thread was faster: the one that is kept comes back. Where there are
    /// more than `most`, those that were idle longest are given up.
    pub(crate) fn insert(&self, key: Key, link: Shared<Link>, most: usize) -> Shared<Link> {
        let mut set = self.set(key);
        if let Some(first) = set.get(key) {
            return first.clone();
        }
        // Without memory it is not kept.
        if set.reserve().is_err() {
            return link;
        }
        set.insert(key, link.clone());
        let mut count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        drop(set);
        while count > most.max(1) && self.give_up_the_idlest(key) {
            count -= 1;
        }
        link
    }

    /// Drops `link`, unless another has taken its place already.
    pub(crate) fn remove(&self, key: Key, link: &Shared<Link>) {
        self.take_if(key, |kept| Shared::ptr_eq(kept, link));
    }

    /// Drops links whose other end is closed: all of some sets.
    pub(crate) fn drop_the_dead(&self) {
        let mut seen: Vec<(Key, Shared<Link>)> = Vec::new();
        for _ in 0..SETS {
            let next = self.next.fetch_add(1, Ordering::Relaxed) % SETS;
            let set = lock(&self.sets[next].0);
            if seen.try_reserve(set.len()).is_err() {
                break;
            }
            seen.extend(set.iter().map(|(key, link)| (key, link.clone())));
            if seen.len() >= LOOKS {
                break;
            }
        }
        let dead = link::of_no_use(seen.iter().map(|(_, link)| &**link));
        for ((key, link), _) in seen.iter().zip(dead).filter(|(_, dead)| *dead) {
            self.remove(*key, link);
        }
    }

    /// `false`: there is none but that of `spared`.
    fn give_up_the_idlest(&self, spared: Key) -> bool {
        let mut idle = lock(&self.idle);
        loop {
            while let Some(Idle { key, since }) = idle.pop() {
                if self.take_if(key, |link| link.last_use() == since) {
                    return true;
                }
            }
            self.find_the_idlest(&mut idle, spared);
            if idle.is_empty() {
                return false;
            }
        }
    }

    fn find_the_idlest(&self, idle: &mut Vec<Idle>, spared: Key) {
        if idle.try_reserve(IDLE).is_err() {
            return;
        }
        for Apart(set) in &self.sets {
            for (key, link) in lock(set).iter().filter(|(key, _)| *key != spared) {
                let since = link.last_use();
                if idle.len() == IDLE {
                    if since >= idle[0].since {
                        continue;
                    }
                    idle.remove(0);
                }
                let at = idle.partition_point(|other| other.since > since);
                idle.insert(at, Idle { key, since });
            }
        }
    }

    fn take_if(&self, key: Key, wanted: impl FnOnce(&Shared<Link>) -> bool) -> bool {
        let mut set = self.set(key);
        let taken = if set.get(key).is_some_and(wanted) { set.remove(key) } else { None };
        if taken.is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
        // This may be the last to hold it, and closes it then.
        drop(set);
        taken.is_some()
    }
}

/// A thread that panics leaves nothing half done under a lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Key {
    pub(crate) const fn new(who: Who, signo: i32) -> Key {
        let (number, is_inode) = match who {
            Who::Id(id) => (id.cast_unsigned() as u64, false),
            Who::Inode(inode) => (inode, true),
        };
        Key { number, signo, is_inode }
    }

    /// Its upper bits choose the set, and the lower ones the place in it.
    fn mixed(self) -> u64 {
        let mixed = (self.number << 6 | u64::from(self.signo.cast_unsigned()))
            .wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed ^ mixed >> 32
    }
}

impl Place for Key {
    #[allow(clippy::cast_possible_truncation, reason = "only the lower bits count")]
    fn place(self) -> usize {
        self.mixed() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(link: Link) -> Shared<Link> {
        Shared::new(link).expect("memory")
    }

    fn key(id: i32) -> Key {
        Key::new(Who::Id(id), 50)
    }

    fn kept(cache: &Cache, ids: impl Iterator<Item = i32>) -> Vec<i32> {
        ids.filter(|id| cache.get(key(*id)).is_some()).collect()
    }

    #[test]
    fn as_many_are_kept_as_are_allowed() {
        let cache = Cache::new();
        for id in 1..=256 {
            cache.insert(key(id), shared(Link::to_nobody(1)), 256);
        }
        assert_eq!(kept(&cache, 1..257).len(), 256);
        cache.insert(key(257), shared(Link::to_nobody(1)), 256);
        assert_eq!(kept(&cache, 1..258).len(), 256);
        assert!(cache.get(key(257)).is_some(), "the one that is about to be used");
        cache.insert(key(258), shared(Link::to_nobody(0)), 10);
        assert_eq!(kept(&cache, 1..259).len(), 10);
        assert!(cache.get(key(258)).is_some(), "the same");
    }

    #[test]
    fn the_one_that_was_idle_longest_gives_way() {
        const MOST: i32 = 100;
        let cache = Cache::new();
        let mut last_use = 0;
        let mut insert = |id| {
            last_use += 1;
            cache.insert(key(id), shared(Link::to_nobody(last_use)), MOST as usize);
        };
        (0..MOST).for_each(&mut insert);
        for id in MOST..3 * MOST {
            insert(id);
            assert!(kept(&cache, 0..=id).into_iter().eq(id + 1 - MOST..=id));
        }
    }

    #[test]
    fn one_that_was_used_meanwhile_stays() {
        let cache = Cache::new();
        for id in 0..10 {
            cache.insert(key(id), shared(Link::to_nobody(id.unsigned_abs().into())), 10);
        }
        cache.insert(key(10), shared(Link::to_nobody(10)), 10);
        assert!(kept(&cache, 0..11).into_iter().eq(1..11), "those that are idle are known now");
        cache.get(key(1)).expect("kept").set_last_use(11);
        cache.insert(key(12), shared(Link::to_nobody(12)), 10);
        assert_eq!(kept(&cache, 0..13), [1, 3, 4, 5, 6, 7, 8, 9, 10, 12]);
    }

    #[test]
    fn the_first_of_two_stays() {
        let cache = Cache::new();
        let [first, second] = [1, 2].map(|last_use| shared(Link::to_nobody(last_use)));
        assert!(Shared::ptr_eq(&cache.insert(key(1), first.clone(), 10), &first));
        assert!(Shared::ptr_eq(&cache.insert(key(1), second.clone(), 10), &first));
        assert!(Shared::ptr_eq(&cache.get(key(1)).expect("kept"), &first));
        assert_eq!(cache.count.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn what_has_taken_its_place_is_not_removed() {
        let cache = Cache::new();
        let [first, second] = [1, 2].map(|last_use| shared(Link::to_nobody(last_use)));
        cache.insert(key(1), first.clone(), 10);
        cache.remove(key(1), &second);
        assert!(Shared::ptr_eq(&cache.get(key(1)).expect("kept"), &first));
        cache.remove(key(1), &first);
        assert!(cache.get(key(1)).is_none());
        cache.insert(key(1), second.clone(), 10);
        cache.remove(key(1), &first);
        assert!(Shared::ptr_eq(&cache.get(key(1)).expect("kept"), &second));
        assert_eq!(cache.count.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn all_of_the_dead_are_found_in_turn() {
        let cache = Cache::new();
        for id in 0..1000 {
            cache.insert(key(id), shared(Link::to_nobody(1)), 1000);
        }
        let mut looks = 0;
        while cache.count.load(Ordering::Relaxed) > 0 {
            cache.drop_the_dead();
            looks += 1;
            assert!(looks <= 1000 / LOOKS + 1);
        }
        assert!(kept(&cache, 0..1000).is_empty());
    }

    #[test]
    fn a_task_is_found_under_its_other_key() {
        let by = |who| Key::new(who, 50);
        let [id, inode] = [by(Who::Id(7)), by(Who::Inode(77))];
        for (kept, looked_for, known) in [(id, inode, 7), (inode, id, 7), (id, inode, 0)] {
            let cache = Cache::new();
            let link = shared(Link::to_nobody(1).leading_to(77));
            cache.insert(kept, link.clone(), 10);
            let found = cache.find(looked_for, known, Some(77));
            assert!(Shared::ptr_eq(&found.expect("the same task"), &link));
            assert!(cache.find(looked_for, known, Some(78)).is_none(), "another with that id");
            assert!(cache.find(looked_for, known, None).is_none());
            let other = Key { signo: 51, ..looked_for };
            assert!(cache.find(other, known, Some(77)).is_none(), "another number");
        }
    }

    /// As random numbers would be, nearly: a third of as many are the same as others.
    #[test]
    fn ids_and_inodes_are_spread_over_sets_and_places() {
        const KEYS: usize = 1024;
        let distinct = |numbers: &mut dyn Iterator<Item = u64>| {
            numbers.collect::<std::collections::HashSet<_>>().len()
        };
        for step in [1, 2, 64] {
            for inode in [false, true] {
                let keys = (1..=KEYS as u64).map(|n| {
                    let number = 4000 + step * n;
                    let id = i32::try_from(number).expect("small");
                    Key::new(if inode { Who::Inode(number) } else { Who::Id(id) }, 50)
                });
                let mut in_sets = [0_usize; SETS];
                keys.clone().for_each(|key| in_sets[(key.mixed() >> 58) as usize] += 1);
                assert!(
                    in_sets.iter().all(|count| *count < 4 * KEYS / SETS),
                    "{step}: {in_sets:?}"
                );
                let places = distinct(&mut keys.map(|key| (key.place() % KEYS) as u64));
                assert!(places > KEYS / 2, "{step}: {places}");
            }
        }
    }
}
