//! The accepted links of an inbox, and the order in which mail is taken from them.
//!
//! Sockets are the truth; signals and epoll only say where to look. What they say is kept as a queue
//! of places that are due. Mail of which the kernel gives no notice is due as well:
//!
//! KERNEL: what a sender queued before its link was accepted and armed never signals; what did not
//! fit into the signal queue shows as a single SIGIO. The bytes that wait on a link at such a moment
//! tell how much of its mail is unannounced.

use super::listener::Listener;
use super::notify::Notifier;
use super::take::{self, Kept, Room, Taken, Unpacked};
use crate::MAX_DATA;
use crate::parcel::Info;
use crate::signal::Signal;
use crate::sys::epoll::{self, Ready};
use crate::sys::fd::{self, PrivateFd};
use crate::sys::ids::Uids;
use crate::sys::signal::SignalInfo;
use crate::sys::unread::Unread;
use crate::sys::{Errno, Result, socket};
use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Arc;

/// Mail that is due on one link.
#[derive(Clone, Copy, Debug)]
struct Due {
    link: RawFd,
    /// Bytes on the wire that are to be taken before the next place is looked at.
    bytes: usize,
}

/// A link that has been accepted.
#[derive(Debug)]
struct Link {
    socket: PrivateFd,
    /// The process that has connected; 0 if it is not visible here.
    process: i32,
    /// Stands in the queue with all of its bytes already.
    due: bool,
    /// The id of its first parcel, if that was looked at and kept.
    kept: Option<u64>,
}

/// Which of the connections that wait are accepted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    One,
    All,
}

#[derive(Debug)]
pub(crate) struct Queue {
    signal: Signal,
    epoll: Arc<PrivateFd>,
    listener: Listener,
    links: HashMap<RawFd, Link, Direct>,
    /// Admitted, but not yet watched: the kernel refused for the moment.
    unwatched: VecDeque<RawFd>,
    due: VecDeque<Due>,
    /// There may be more than the last look has shown.
    look_again: bool,
    /// Why connections could not be accepted.
    accept_error: Option<Errno>,
    /// Notification by signals, if the inbox has any.
    notifier: Option<Notifier>,
    /// The id of the parcel that came last.
    last_id: u64,
    /// What is closed, but not yet released.
    unread: Unread,
    pub(crate) unpacked: Unpacked,
}

impl Queue {
    /// Begins to listen under `name`.
    pub(crate) fn open(
        signal: Signal,
        name: Vec<u8>,
        epoll: Arc<PrivateFd>,
        notifier: Option<Notifier>,
    ) -> Result<Queue> {
        Ok(Queue {
            signal,
            listener: Listener::open(name, &epoll, notifier.as_ref())?,
            epoll,
            links: HashMap::default(),
            unwatched: VecDeque::new(),
            due: VecDeque::new(),
            look_again: false,
            accept_error: None,
            notifier,
            last_id: 0,
            unread: Unread::default(),
            unpacked: Unpacked::new(MAX_DATA),
        })
    }

    /// A signal was dequeued: what it announces is due.
    pub(crate) fn note_signal(&mut self, info: SignalInfo) {
        let Some(notifier) = &mut self.notifier else { return };
        if info.signo != self.signal.number() {
            // SIGIO: the signal queue was full, and anything may have arrived. The kernel keeps one
            // only, so this may stand for a signal of our own as well.
            notifier.own_was_dequeued();
            self.look_again = true;
        } else if info.code <= 0 {
            // Our own signal, or a forged one. There is something due already, or we look.
            notifier.own_was_dequeued();
            self.look_again |= self.due.is_empty();
        } else if self.listener.is(info.fd) {
            // One signal, one connection: the next one may come from a sender whose earlier mail,
            // over another link, is announced by a signal in between.
            self.accept(Waiting::One);
        } else if self.links.contains_key(&info.fd) {
            self.due.push_back(Due { link: info.fd, bytes: 1 });
        }
    }

    /// epoll has found these sockets readable.
    pub(crate) fn note_readable(&mut self, ready: &Ready) {
        self.look_again |= ready.is_full();
        let mut connection_waits = false;
        for fd in ready.iter() {
            if self.listener.is(fd) {
                connection_waits = true;
            } else {
                self.enqueue(fd);
            }
        }
        if connection_waits {
            self.accept(Waiting::All);
        }
    }

    /// Takes the next parcel, if there is any.
    pub(crate) fn take(&mut self, room: &Room) -> Option<std::result::Result<Info, Kept>> {
        let taken = self.take_next(room);
        // Whoever polls the epoll set must not sleep on it.
        let something = self.has_something_unwatched();
        self.listener.reserve.show(something);
        taken
    }

    fn take_next(&mut self, room: &Room) -> Option<std::result::Result<Info, Kept>> {
        if !self.unwatched.is_empty() {
            self.watch_what_is_unwatched();
        }
        if self.listener.has_unidentified() {
            self.accept(Waiting::All);
        }
        if self.due.is_empty() && self.look_again {
            self.look_again = false;
            self.look();
        }
        while let Some(due) = self.due.front_mut() {
            let Some(link) = self.links.get_mut(&due.link) else {
                self.due.pop_front();
                continue;
            };
            let fd = due.link;
            let from = (link.socket.as_fd(), Some(link.process));
            match take::take(from, self.signal, room, &mut self.unpacked) {
                Ok(Taken::Parcel(mut info, bytes)) => {
                    info.id = link.kept.take().unwrap_or_else(|| next(&mut self.last_id));
                    due.bytes = due.bytes.saturating_sub(bytes);
                    if due.bytes == 0 {
                        let unannounced = std::mem::take(&mut link.due);
                        self.due.pop_front();
                        if unannounced {
                            self.close_if_at_its_end(fd);
                        }
                    }
                    // Old news by the next call, which looks again.
                    self.accept_error = None;
                    return Some(Ok(info));
                }
                Ok(Taken::Nothing) => {
                    link.due = false;
                    self.due.pop_front();
                }
                Ok(Taken::End) => self.close_link(fd),
                Ok(Taken::OtherVersion) => {
                    self.due.pop_front();
                    self.close_link(fd);
                    return Some(Err(Errno(libc::EPROTO).into()));
                }
                Err(mut kept) => {
                    if let Some(info) = &mut kept.info {
                        info.id = *link.kept.get_or_insert_with(|| next(&mut self.last_id));
                    }
                    return Some(Err(kept));
                }
            }
        }
        self.accept_error.take().map(|errno| Err(errno.into()))
    }

    /// Makes sure that a signal is pending while mail is left that the kernel does not announce.
    pub(crate) fn notify_if_mail_is_left(&mut self) {
        let left = self.look_again || !self.due.is_empty() || self.has_something_unwatched();
        if let Some(notifier) = self.notifier.as_mut().filter(|_| left) {
            notifier.notify();
        }
    }

    fn has_something_unwatched(&self) -> bool {
        !self.unwatched.is_empty() || self.listener.has_unidentified()
    }

    /// After a change of uid: signals would be lost silently until the sockets are armed anew.
    pub(crate) fn rearm_after_change_of_uid(&mut self) -> Result<()> {
        let Some(notifier) = &mut self.notifier else { return Ok(()) };
        if !notifier.uid_has_changed() {
            return Ok(());
        }
        let links = self.links.values().map(|link| &link.socket);
        for socket in links.chain(self.listener.socket()) {
            socket::set_owner(socket.as_fd(), notifier.thread())?;
        }
        notifier.note_uid();
        self.look_again = true;
        Ok(())
    }

    /// Closes everything, so that senders see it even where a forked child holds the sockets too.
    pub(crate) fn close(&mut self) {
        self.due.clear();
        let links: Vec<RawFd> = self.links.keys().copied().collect();
        for link in links {
            self.close_link(link);
        }
        self.listener.close(&mut self.unread);
        self.unread.close();
    }

    /// To be called before a call returns or waits: what was turned away meanwhile is released.
    pub(crate) fn close_unread(&mut self) {
        self.unread.close();
    }

    /// No connection is possible from now on, and whoever waits on the epoll set wakes up.
    pub(crate) fn stop_listening(&self) {
        self.listener.stop_listening();
    }

    fn look(&mut self) {
        let mut ready = Ready::new();
        match epoll::wait(self.epoll.as_fd(), &mut ready, 0) {
            Ok(()) => self.note_readable(&ready),
            Err(errno) => self.postpone(errno),
        }
    }

    fn postpone(&mut self, errno: Errno) {
        self.accept_error = Some(errno);
        self.look_again = true;
    }

    /// All that waits on a link is due, in the place where the link stands in the queue.
    fn enqueue(&mut self, fd: RawFd) {
        let Some(link) = self.links.get_mut(&fd) else { return };
        if !link.due {
            link.due = true;
            // Where the kernel does not tell, one parcel at a time. An empty link that was reported
            // has come to its end, which the attempt to read it shows.
            let bytes = socket::waiting_bytes(link.socket.as_fd()).unwrap_or(1).max(1);
            self.due.push_back(Due { link: fd, bytes });
        }
    }

    /// KERNEL: a hang-up does not signal either, if it came before the link was armed or found the
    /// signal queue full. Without signals, epoll tells of it.
    fn close_if_at_its_end(&mut self, fd: RawFd) {
        let Some(link) = self.links.get(&fd).filter(|_| self.notifier.is_some()) else { return };
        if fd::has_hung_up(link.socket.as_fd()) {
            match socket::waiting_bytes(link.socket.as_fd()) {
                Ok(0) => self.close_link(fd),
                _ => self.enqueue(fd),
            }
        }
    }

    /// Accepts links that wait, and what they hold is due.
    fn accept(&mut self, waiting: Waiting) {
        let us = self.listener.own_uids();
        let waiting = if self.listener.has_seen(us) { waiting } else { Waiting::All };
        self.admit(waiting, us);
        if waiting == Waiting::All {
            // What a sender sent over an earlier link comes before what it sent over one of these.
            self.enqueue_what_waits_on_links();
        }
        self.watch_what_is_unwatched();
    }

    fn admit(&mut self, waiting: Waiting, us: Uids) {
        // Not so many that the caller's deadline is forgotten.
        for _ in 0..Ready::MOST {
            match self.listener.admit(us, &mut self.unread) {
                Ok(admitted) => {
                    if let Some((socket, process)) = admitted {
                        let fd = socket.as_raw_fd();
                        self.links.insert(fd, Link { socket, process, due: false, kept: None });
                        self.unwatched.push_back(fd);
                    }
                    if waiting == Waiting::One {
                        return;
                    }
                }
                Err(Errno(libc::ECONNABORTED | libc::EINTR)) => {}
                Err(Errno(libc::EAGAIN)) => return,
                Err(errno) => return self.postpone(errno),
            }
        }
        self.look_again = true;
    }

    fn enqueue_what_waits_on_links(&mut self) {
        let mut ready = Ready::new();
        let mut most = self.links.len();
        loop {
            if let Err(errno) = epoll::wait(self.epoll.as_fd(), &mut ready, 0) {
                return self.postpone(errno);
            }
            ready.iter().for_each(|fd| self.enqueue(fd));
            // KERNEL: what was reported goes to the end of the line of what is ready.
            most = most.saturating_sub(Ready::MOST - 1);
            if most == 0 || !ready.is_full() {
                return;
            }
        }
    }

    fn watch_what_is_unwatched(&mut self) {
        while let Some(fd) = self.unwatched.front().copied() {
            if let Err(errno) = self.watch(fd) {
                self.accept_error = Some(errno);
                return;
            }
            self.unwatched.pop_front();
            // KERNEL: what came before O_ASYNC was set will not signal.
            self.enqueue(fd);
        }
    }

    fn watch(&self, fd: RawFd) -> Result<()> {
        let Some(link) = self.links.get(&fd) else { return Ok(()) };
        if let Some(notifier) = &self.notifier {
            notifier.arm(link.socket.as_fd())?;
        }
        match epoll::add(self.epoll.as_fd(), link.socket.as_fd()) {
            Err(Errno(libc::EEXIST)) => Ok(()),
            result => result,
        }
    }

    fn close_link(&mut self, fd: RawFd) {
        if let Some(Link { socket, .. }) = self.links.remove(&fd) {
            if self.notifier.is_some() {
                socket::disarm(socket.as_fd());
            }
            epoll::remove(self.epoll.as_fd(), socket.as_fd());
            self.unread.put(socket);
        }
    }
}

fn next(last_id: &mut u64) -> u64 {
    *last_id += 1;
    *last_id
}

/// A descriptor number is its own hash.
#[derive(Clone, Copy, Default, Debug)]
struct Direct(u64);

impl std::hash::BuildHasher for Direct {
    type Hasher = Direct;
    fn build_hasher(&self) -> Direct {
        Direct(0)
    }
}

impl std::hash::Hasher for Direct {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << 8 | u64::from(*byte);
        }
    }
    #[allow(clippy::cast_sign_loss, reason = "only spread, never read back")]
    fn write_i32(&mut self, number: i32) {
        self.0 = (number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}
