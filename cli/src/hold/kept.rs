//! What a holder keeps: descriptors under labels, until they expire or their other end goes.

use super::words::{Listed, Refusal};
use crate::describe::{self, Description};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Timespec;
use rustix::io::ioctl_fionread;
use rustix::net::getpeername;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Numbers below this are the holder's own in the epoll set.
pub const FIRST_KEY: u64 = 16;

/// So many descriptors are left for connections, requests on their way, and the holder itself.
const RESERVE: usize = 64;

#[derive(Debug)]
pub struct Kept {
    entries: BTreeMap<String, Entry>,
    epoll: Rc<OwnedFd>,
    labels: HashMap<u64, String>,
    expiries: BTreeSet<(Instant, u64)>,
    next_key: u64,
    count: usize,
    most: usize,
}

#[derive(Debug)]
pub struct Entry {
    pub fds: Vec<OwnedFd>,
    key: u64,
    expires: Option<Instant>,
    pub pid: i32,
    pub uid: u32,
    pub what: String,
    /// Descriptors that tell when their other end goes: their places in `fds`.
    watched: Vec<usize>,
}

impl Entry {
    pub fn new(fds: Vec<OwnedFd>, expire: Option<Duration>, pid: i32, uid: u32) -> Entry {
        let described = describe::all(&fds);
        let watched = described.iter().zip(&fds).enumerate();
        let watched =
            watched.filter(|(_, (kind, fd))| has_other_end(kind, fd)).map(|(at, _)| at).collect();
        let expires = expire.and_then(|time| Instant::now().checked_add(time));
        Entry { fds, key: 0, expires, pid, uid, what: describe::text_of(&described), watched }
    }

    pub fn listed(&self, label: &str) -> Listed {
        Listed {
            label: label.to_owned(),
            count: self.fds.len(),
            expires: self.expires.map(|at| at.saturating_duration_since(Instant::now())),
            pid: self.pid,
            uid: self.uid,
            what: self.what.clone(),
        }
    }

    /// Whether nothing can come through any of them any more.
    fn is_gone(&self) -> bool {
        self.watched.len() == self.fds.len()
            && self.watched.iter().all(|at| is_gone(&self.fds[*at], self.what.starts_with("pipe")))
    }
}

/// A socket that was never connected hangs up as well, and has lost nothing.
fn has_other_end(description: &Description, fd: &OwnedFd) -> bool {
    match description.kind {
        "pipe" => true,
        "tcp" | "unix" => matches!(getpeername(fd), Ok(Some(_))),
        _ => false,
    }
}

fn is_gone(fd: &OwnedFd, is_pipe: bool) -> bool {
    let mut looked = [PollFd::new(fd, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    if poll(&mut looked, Some(&now)).is_err() {
        return false;
    }
    let seen = looked[0].revents();
    let hung_up = seen.contains(PollFlags::HUP) || (is_pipe && seen.contains(PollFlags::ERR));
    // What is left in it is still to be read by somebody.
    hung_up && ioctl_fionread(fd).unwrap_or(0) == 0
}

impl Kept {
    pub fn new(epoll: Rc<OwnedFd>, limit: usize) -> Kept {
        Kept {
            entries: BTreeMap::new(),
            epoll,
            labels: HashMap::new(),
            expiries: BTreeSet::new(),
            next_key: FIRST_KEY,
            count: 0,
            most: limit.saturating_sub(RESERVE),
        }
    }

    /// Keeps it, and gives what was there before.
    ///
    /// The descriptors are given back with a refusal.
    pub fn put(
        &mut self,
        label: String,
        mut entry: Entry,
        replace: bool,
    ) -> Result<Option<Entry>, (Refusal, Vec<OwnedFd>)> {
        if !replace && self.entries.contains_key(&label) {
            return Err((Refusal::LabelInUse, entry.fds));
        }
        // Requests on their way are counted twice, for a moment.
        if self.count + entry.fds.len() > self.most {
            return Err((Refusal::NoRoom, entry.fds));
        }
        entry.key = self.next_key;
        self.next_key += 1;
        for at in &entry.watched {
            let (data, edge) = (EventData::new_u64(entry.key), EventFlags::ET);
            if let Err(error) = epoll::add(&*self.epoll, &entry.fds[*at], data, edge) {
                unwatch(&self.epoll, &entry);
                let no_room = matches!(error, rustix::io::Errno::NOSPC | rustix::io::Errno::NOMEM);
                let refusal = Refusal::BadRequest(format!("epoll_ctl: {error}"));
                return Err((if no_room { Refusal::NoRoom } else { refusal }, entry.fds));
            }
        }
        let before = self.remove(&label);
        self.count += entry.fds.len();
        self.labels.insert(entry.key, label.clone());
        self.expiries.extend(entry.expires.map(|at| (at, entry.key)));
        self.entries.insert(label, entry);
        Ok(before)
    }

    pub fn get(&self, label: &str) -> Option<&Entry> {
        self.entries.get(label)
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn remove(&mut self, label: &str) -> Option<Entry> {
        let entry = self.entries.remove(label)?;
        self.count -= entry.fds.len();
        self.labels.remove(&entry.key);
        if let Some(at) = entry.expires {
            self.expiries.remove(&(at, entry.key));
        }
        unwatch(&self.epoll, &entry);
        Some(entry)
    }

    pub fn after(&self, label: Option<&str>) -> impl Iterator<Item = (&String, &Entry)> {
        let from = label.map_or(Bound::Unbounded, Bound::Excluded);
        self.entries.range::<str, _>((from, Bound::Unbounded))
    }

    /// Takes out what has gone, of that which the epoll set has told of.
    pub fn take_gone(&mut self, key: u64) -> Option<(String, Entry)> {
        let label = self.labels.get(&key)?.clone();
        if !self.entries.get(&label)?.is_gone() {
            return None;
        }
        self.remove(&label).map(|entry| (label, entry))
    }

    pub fn take_expired(&mut self, now: Instant) -> Option<(String, Entry)> {
        let (at, key) = *self.expiries.first()?;
        if at > now {
            return None;
        }
        let label = self.labels.get(&key)?.clone();
        self.remove(&label).map(|entry| (label, entry))
    }

    pub fn next_expiry(&self) -> Option<Instant> {
        self.expiries.first().map(|(at, _)| *at)
    }
}

/// KERNEL: a set watches the open file, which others may have open, and not this descriptor of it.
fn unwatch(epoll: &OwnedFd, entry: &Entry) {
    for at in &entry.watched {
        let _ = epoll::delete(epoll.as_fd(), &entry.fds[*at]);
    }
}
