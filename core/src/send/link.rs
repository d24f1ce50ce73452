//! A sender's connection to one inbox.

use super::welcome::{Standing, Welcome};
use crate::address::{self, Elsewhere, Name, Network, Recipient, Whom, directory, proc};
use crate::deadline::Deadline;
use crate::outgoing::Message;
use crate::signal::Signal;
use crate::sys::fd::{self, Awaited, PrivateFd, poll};
use crate::sys::socket::{self, Blocking};
use crate::sys::unread::Connection;
use crate::sys::{Errno, Result, clock, pidfd};
use std::ffi::CStr;
use std::mem::offset_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// So long after a look the next send looks again first whether the receiver still lives.
///
/// KERNEL: a child of the receiver that came from a raw `clone` holds its sockets open until it
/// calls the library or ends; messages to a dead receiver would go nowhere without an error.
const TRUSTED_MS: u64 = 100;

/// So long a sender waits for one of whose end it is not told, before it looks whether that still lives.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// KERNEL: nothing tells when a socket that gave EAGAIN to one that does not wait has room again.
const TRY_AGAIN: Duration = Duration::from_millis(20);

/// A connected socket whose other end has been proven to be the inbox of the task that was meant.
///
/// What a send on a link that is known looks at comes first.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Link {
    socket: Connection,
    last_use: AtomicU64,
    /// When the receiver was last seen to live.
    last_look: AtomicU64,
    welcome: Welcome,
    /// Of the task's pidfd, where it has one of its own.
    inode: Option<u64>,
    /// Of the process behind it, where the kernel gives no pidfd: id and start time.
    process: Option<(i32, u64)>,
}

impl Link {
    /// So many bytes of it are touched by a send that need not look whether the receiver lives.
    pub(super) const HOT: usize = offset_of!(Link, welcome);

    /// Connects to the inbox of `to` for `signal`, as a guest only where nothing else would let us in.
    ///
    /// Where its abstract name says nothing, because it is in another network namespace: first over there, for
    /// which nothing has to be set up, and which trusts nothing of what is there; then by its socket file.
    ///
    /// ECONNREFUSED: it has none. ESRCH: it is gone. EPERM: it would not let us in, and invites nobody.
    /// EAGAIN or ETIMEDOUT: too many others wait to be accepted.
    pub(crate) fn open(
        to: &Recipient<'_>,
        signal: Signal,
        deadline: Deadline,
        interruptible: bool,
    ) -> Result<Link> {
        let open_as = |whom| Link::find((to, whom), signal, deadline, interruptible);
        let forbidden = Err(Errno(libc::EPERM));
        match if to.is_forbidden() { forbidden } else { open_as(Whom::Own) } {
            Err(Errno(libc::EPERM)) => match open_as(Whom::Guests) {
                Err(Errno(libc::ECONNREFUSED)) => Err(Errno(libc::EPERM)),
                invited => invited,
            },
            opened => opened,
        }
    }

    /// Looks for the inbox in all places where it can be, anew while it waits for room in one of them: that need not
    /// be its own.
    fn find(
        (to, whom): (&Recipient<'_>, Whom),
        signal: Signal,
        deadline: Deadline,
        interruptible: bool,
    ) -> Result<Link> {
        let refused = Errno(libc::ECONNREFUSED);
        let open_in = |network: Option<&Network<'_>>| {
            Link::open_in(network, (to, whom), signal, deadline, interruptible)
        };
        loop {
            let mut result = open_in(None);
            if matches!(result, Err(errno) if errno == refused)
                && let Some(Elsewhere { network }) = to.elsewhere()?
            {
                if network.is_some() {
                    result = open_in(network.as_ref());
                }
                if matches!(result, Err(errno) if errno == refused) {
                    result = match Link::open_by_file((to, whom), signal) {
                        Err(Errno(libc::EAGAIN)) if !deadline.has_passed() => {
                            match to.wait_for_its_end(deadline.at_most(TRY_AGAIN).left_ms()) {
                                Err(Errno(libc::EINTR)) if !interruptible => continue,
                                Ok(false) => continue,
                                waited => waited.and(Err(Errno(libc::ESRCH))),
                            }
                        }
                        Err(Errno(libc::EAGAIN)) => Err(Errno(deadline.errno())),
                        opened => opened,
                    };
                }
            }
            return match result {
                Err(errno) if errno == refused && !to.is_alive() => Err(Errno(libc::ESRCH)),
                result => result,
            };
        }
    }

    /// Connects to one of its names, in our network namespace or in another one.
    fn open_in(
        network: Option<&Network<'_>>,
        (to, whom): (&Recipient<'_>, Whom),
        signal: Signal,
        deadline: Deadline,
        interruptible: bool,
    ) -> Result<Link> {
        let newest = to.identity()?;
        let attempt = |identity| {
            let name = address::name(identity, signal, whom);
            Link::connect(network, (to, whom), &name, deadline, interruptible)
        };
        let refused = Errno(libc::ECONNREFUSED);
        let mut result = attempt(newest);
        if matches!(result, Err(errno) if errno == refused) {
            match to.old_identity() {
                Ok(oldest) if oldest != newest => result = attempt(oldest),
                Err(errno) if errno.is_shortage() => return Err(errno),
                Ok(_) | Err(_) => {}
            }
        }
        result
    }

    fn connect(
        network: Option<&Network<'_>>,
        (to, whom): (&Recipient<'_>, Whom),
        name: &Name,
        deadline: Deadline,
        interruptible: bool,
    ) -> Result<Link> {
        let blocking = match deadline {
            Deadline::Now => Blocking::No,
            Deadline::At(_) | Deadline::Never => Blocking::Yes,
        };
        let socket = match network {
            None => PrivateFd::new_out_of_the_way(|| socket::create(blocking))?,
            Some(network) => network.socket(blocking)?.ok_or(Errno(libc::ECONNREFUSED))?,
        };
        let socket = Connection::new(socket);
        loop {
            if blocking == Blocking::Yes {
                let part = deadline.at_most(LOOK_AGAIN);
                socket::set_send_timeout(socket.as_fd(), part.left())?;
            }
            match socket::connect(socket.as_fd(), name.as_bytes()) {
                Ok(()) => break,
                Err(Errno(libc::EINTR)) if !interruptible => {}
                Err(Errno(libc::EAGAIN)) if deadline.has_passed() => {
                    return Err(Errno(deadline.errno()));
                }
                // Whoever listens there need not be the one that is meant, and may stay when that is gone.
                Err(Errno(libc::EAGAIN)) if !to.is_alive() => return Err(Errno(libc::ESRCH)),
                // The kernel's clock is a tick coarser than ours.
                Err(Errno(libc::EAGAIN)) => {}
                Err(errno) => return Err(errno),
            }
        }
        Link::prove((to, whom), socket)
    }

    /// Connects by a socket file. EAGAIN: too many others wait at one to be accepted, and there is no other.
    fn open_by_file((to, whom): (&Recipient<'_>, Whom), signal: Signal) -> Result<Link> {
        let mut none = Errno(libc::ECONNREFUSED);
        let found = directory::search((to, whom), signal, |file| {
            match Link::connect_by_file((to, whom), file) {
                Err(Errno(libc::ECONNREFUSED)) => Ok(None),
                Err(errno @ Errno(libc::EAGAIN)) => {
                    none = errno;
                    Ok(None)
                }
                link => link.map(Some),
            }
        })?;
        found.ok_or(none)
    }

    /// EAGAIN: too many others wait there to be accepted.
    fn connect_by_file((to, whom): (&Recipient<'_>, Whom), file: &PrivateFd) -> Result<Link> {
        let socket =
            Connection::new(PrivateFd::new_out_of_the_way(|| socket::create(Blocking::No))?);
        let connect = |path: &CStr| socket::connect_path(socket.as_fd(), path);
        match proc::with_descriptor(file.as_raw_fd(), connect) {
            Ok(()) => Link::prove((to, whom), socket),
            Err(errno) if errno.is_shortage() || errno == Errno(libc::EAGAIN) => Err(errno),
            // Nobody listens there any more, or it does not let us in.
            Err(_) => Err(Errno(libc::ECONNREFUSED)),
        }
    }

    /// A link, if whoever is at the other end of `socket` is `to`, and lets us in.
    fn prove((to, whom): (&Recipient<'_>, Whom), socket: Connection) -> Result<Link> {
        // Not before it is connected: it would take a name.
        socket::pass_credentials(socket.as_fd())?;
        let proven = to.prove(socket.as_fd())?;
        match whom {
            Whom::Own => {
                to.will_admit_us(socket.as_fd(), &proven)?;
                socket::stop_reading(socket.as_fd());
            }
            // The receiver decides, and tells, with nothing else in that message.
            Whom::Guests => socket::pass_no_credentials(socket.as_fd())?,
        }
        let welcome = Welcome::of(whom);
        let process = if proven.has_pidfd { None } else { process_of(proven.peer.pid)? };
        OPENED.fetch_add(1, Ordering::Relaxed);
        let now = clock::coarse_ms();
        // Who is not let in yet is looked at before each send.
        let seen = if welcome.is_awaited() { 0 } else { now };
        let (last_use, last_look) = (AtomicU64::new(use_at(now)), AtomicU64::new(seen));
        Ok(Link { socket, welcome, last_use, last_look, inode: to.inode(), process })
    }

    /// Whether the receiver has let us in.
    pub(crate) fn standing(&self) -> Result<Standing> {
        self.welcome.standing(self.as_fd(), || self.receiver_lives())
    }

    /// Whether it leads to those who are let in as guests.
    pub(crate) fn is_of_a_guest(&self) -> bool {
        self.welcome.is_for_guests()
    }

    /// Queues one parcel, without waiting. The receiver has let us in.
    #[inline]
    pub(crate) fn send(&self, message: &Message<'_>) -> Result<()> {
        message.put_on(self.socket.as_fd())
    }

    /// Whether the socket is the one that was connected. The program may have closed its number, and
    /// opened something else under it.
    pub(crate) fn is_intact(&self) -> bool {
        self.socket.is_intact()
    }

    pub(super) fn number_if_intact(&self) -> Result<RawFd> {
        self.socket.number_if_intact()
    }

    /// Whether there is no reason to doubt that the receiver lives.
    pub(crate) fn is_trusted(&self) -> bool {
        let now = clock::coarse_ms();
        if self.is_trusted_at(now) {
            return true;
        }
        if self.welcome.is_awaited() {
            return self.is_intact();
        }
        let alive = self.reaches_the_living();
        if alive {
            self.last_look.store(now, Ordering::Relaxed);
        }
        alive
    }

    /// The same without a look: whether the last one was not long ago. Who is not let in is not trusted.
    pub(crate) fn is_trusted_at(&self, now: u64) -> bool {
        self.note_use(now);
        now.saturating_sub(self.last_look.load(Ordering::Relaxed)) <= TRUSTED_MS
    }

    /// Whether it is what it was, its other end open, and the process there alive.
    pub(crate) fn reaches_the_living(&self) -> bool {
        self.is_intact() && !self.has_hung_up() && self.receiver_lives()
    }

    pub(crate) fn receiver_lives(&self) -> bool {
        match socket::peer_pidfd(self.as_fd()) {
            Ok(fd) => pidfd::is_alive(fd.as_fd()),
            Err(Errno(libc::ESRCH)) => false,
            Err(_) => self.process.is_none_or(|(id, at)| match proc::start_time(id) {
                Ok(now) => now == Some(at),
                // Where it cannot be known, a send will show.
                Err(errno) => !matches!(errno, Errno(libc::ENOENT | libc::ESRCH)),
            }),
        }
    }

    pub(crate) fn has_hung_up(&self) -> bool {
        fd::has_hung_up(self.as_fd())
    }

    pub(crate) fn is_of_no_use(&self) -> bool {
        // Whoever waits to be let in is to learn that it was turned away.
        !self.is_intact() || (!self.welcome.is_awaited() && self.has_hung_up())
    }

    /// Waits until a full inbox has room or lets us in, its end has come, or the deadline has; or for a
    /// moment, after which the caller makes sure that the receiver lives.
    pub(crate) fn wait_for_room(&self, deadline: Deadline) -> Result<()> {
        let left = deadline.left_ms();
        let awaited = (self.as_fd(), self.awaited());
        match socket::peer_pidfd(self.as_fd()) {
            Ok(peer) => poll([awaited, (peer.as_fd(), Awaited::Readable)], left).map(drop),
            // There is nothing that would tell of its end.
            Err(_) => poll([awaited], deadline.at_most(LOOK_AGAIN).left_ms()).map(drop),
        }
    }

    /// What its socket is polled for by whoever cannot send yet.
    pub(crate) fn awaited(&self) -> Awaited {
        if self.welcome.is_awaited() { Awaited::Readable } else { Awaited::Writable }
    }

    /// A pidfd of the receiver's process, where the kernel gives one.
    pub(crate) fn receiver_pidfd(&self) -> Option<PrivateFd> {
        let by_id = |(id, _)| pidfd::open(id).ok().filter(|_| self.reaches_the_living());
        socket::peer_pidfd(self.as_fd()).ok().or_else(|| self.process.and_then(by_id))
    }

    /// Whether it leads to the task with this inode.
    pub(crate) fn leads_to(&self, inode: Option<u64>) -> bool {
        inode.is_some() && self.inode == inode
    }

    /// Greater than that of any link that was used before it, and not since another one was opened.
    pub(crate) fn last_use(&self) -> u64 {
        self.last_use.load(Ordering::Relaxed)
    }

    fn note_use(&self, now: u64) {
        let now = use_at(now);
        // A store at every send would move the line between the cores that send at once.
        if self.last_use() != now {
            self.last_use.store(now, Ordering::Relaxed);
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if self.welcome.is_awaited() {
            // Where this fails, the number is not that of the socket any more.
            let _ = socket::pass_credentials(self.as_fd());
        }
    }
}

/// How many links this process has opened.
static OPENED: AtomicU64 = AtomicU64::new(0);

/// Bits that tell apart what happens within one tick of the coarse clock.
const PLACE: u32 = 20;
const PLACES: u64 = (1 << PLACE) - 1;

fn use_at(ms: u64) -> u64 {
    ms << PLACE | OPENED.load(Ordering::Relaxed) & PLACES
}

/// Which of `links` need not be kept.
pub(crate) fn of_no_use<'a>(
    links: impl Iterator<Item = &'a Link> + Clone,
) -> impl Iterator<Item = bool> {
    let ended = fd::have_ended(links.clone().map(AsFd::as_fd));
    ended.zip(links).map(|(ended, link)| ended && link.is_of_no_use())
}

#[cfg(test)]
impl Link {
    /// One that is of no use.
    pub(crate) fn to_nobody(last_use: u64) -> Link {
        let socket = PrivateFd::new(|| socket::create(Blocking::No)).expect("a socket");
        let (last_use, last_look) = (AtomicU64::new(last_use), AtomicU64::new(0));
        let (socket, welcome) = (Connection::new(socket), Welcome::of(Whom::Own));
        Link { socket, welcome, last_use, last_look, inode: None, process: None }
    }

    pub(crate) fn leading_to(mut self, inode: u64) -> Link {
        self.inode = Some(inode);
        self
    }

    pub(crate) fn set_last_use(&self, last_use: u64) {
        self.last_use.store(last_use, Ordering::Relaxed);
    }
}

fn process_of(id: i32) -> Result<Option<(i32, u64)>> {
    match proc::start_time(id) {
        Ok(at) => Ok(at.map(|at| (id, at))),
        Err(errno) if errno.is_shortage() => Err(errno),
        Err(_) => Ok(None),
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{Identity, Task};
    use crate::sys::signal::Interruptions;
    use std::time::{Duration, Instant};

    /// As long as it takes where nothing ends the wait: no test waits for it.
    const LONG: Duration = Duration::from_secs(30);

    /// What a connection to this process gives while no more can wait to be accepted.
    fn connect_in_vain(signo: i32, timeout: Duration, interruptible: bool) -> (Errno, Duration) {
        let signal = Signal::new(signo).expect("real-time");
        let listener = PrivateFd::new(|| socket::create(Blocking::No)).expect("a socket");
        let name = address::name(Identity::own(false).expect("known"), signal, Whom::Own);
        socket::bind(listener.as_fd(), name.as_bytes()).expect("a free name");
        socket::listen(listener.as_fd(), 0).expect("bound");
        let us = Recipient::find(Task::this_process().into()).expect("this process");
        let open = |timeout, interruptible| {
            Link::open(&us, signal, Deadline::after(Some(timeout)), interruptible)
        };
        let mut waiting = Vec::new();
        while let Ok(link) = open(Duration::ZERO, false) {
            waiting.push(link);
        }
        let (interruptions, begun) = (Interruptions::of_this_thread(), Instant::now());
        let errno = open(timeout, interruptible).expect_err("nobody accepts");
        drop(interruptions);
        (errno, begun.elapsed())
    }

    #[test]
    fn signals_do_not_put_off_the_deadline_of_a_connection() {
        let timeout = Duration::from_millis(300);
        let (errno, waited) = connect_in_vain(57, timeout, false);
        assert_eq!(errno, Errno(libc::ETIMEDOUT));
        assert!(waited >= timeout && waited < LONG / 3, "{waited:?}");
    }

    #[test]
    fn a_signal_ends_the_wait_for_a_connection_where_it_may() {
        let (errno, waited) = connect_in_vain(58, LONG, true);
        assert_eq!(errno, Errno(libc::EINTR));
        assert!(waited < LONG / 3, "{waited:?}");
    }
}
