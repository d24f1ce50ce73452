//! The listening socket of an inbox, and who is admitted.

use super::admission;
use super::bound::Bound;
use super::notify::Notifier;
use super::reserve::Reserve;
use crate::address::Name;
use crate::sys::fd::PrivateFd;
use crate::sys::ids::{self, Uids};
use crate::sys::shared::Shared;
use crate::sys::socket::{self, Blocking};
use crate::sys::unread::Unread;
use crate::sys::{Errno, Result, epoll, signal};
use std::os::fd::{AsFd, AsRawFd, RawFd};

/// How often an inbox that is closed tries again to accept what waits.
const MOST_FRUITLESS: u32 = 1000;

#[derive(Debug)]
pub(crate) struct Listener {
    epoll: Shared<PrivateFd>,
    /// None once the inbox is closed.
    bound: Option<Bound>,
    /// How many connections may wait to be accepted, but for one.
    backlog: i32,
    /// So many more connections were accepted than signals of connections dequeued.
    ahead: i32,
    pub(crate) reserve: Reserve,
    /// Accepted, but the kernel has not told yet whose it is.
    unidentified: Option<PrivateFd>,
    /// Our users when no connection was left to accept.
    former: Uids,
}

/// Connections that may wait to be accepted where they queue no signals.
const MOST: i32 = 4096;
/// And where they do, also with the lowest limit of signals.
const LEAST: i32 = 16;
/// They take no more than this part of the signals that may be queued to the user's processes.
const SHARE: u64 = 64;

/// KERNEL: every connection queues a signal that counts against the receiver's user, whoever makes it,
/// also one that is closed at once. Nobody is to use up the user's signal queue with that, without which
/// its processes get no timers.
fn backlog(signals: bool) -> i32 {
    if !signals {
        return MOST;
    }
    i32::try_from(signal::queue_limit() / SHARE).map_or(MOST, |share| share.clamp(LEAST, MOST))
}

impl Listener {
    /// Binds `name` and begins to listen.
    pub(crate) fn open(
        name: Name,
        epoll: &Shared<PrivateFd>,
        notifier: Option<&Notifier>,
    ) -> Result<Listener> {
        let socket = PrivateFd::new_out_of_the_way(|| socket::create(Blocking::No))?;
        let bound = Bound::bind(socket, name)?;
        let listener = &bound.socket;
        // KERNEL: links inherit it, some kernels at connect time: it has to come before `listen`.
        socket::pass_credentials(listener.as_fd())?;
        if let Some(notifier) = notifier {
            notifier.arm(listener.as_fd())?;
        }
        epoll::add(epoll.as_fd(), listener.as_fd())?;
        let reserve = Reserve::open(epoll.clone())?;
        let backlog = backlog(notifier.is_some());
        socket::listen(listener.as_fd(), backlog)?;
        epoll.is_set_of(listener);
        let (epoll, former) = (epoll.clone(), ids::uids());
        let bound = Some(bound);
        Ok(Listener { epoll, bound, backlog, ahead: 0, reserve, unidentified: None, former })
    }

    pub(crate) fn socket(&self) -> Option<&PrivateFd> {
        self.bound.as_ref().map(|bound| &bound.socket)
    }

    pub(crate) fn is(&self, fd: RawFd) -> bool {
        self.socket().is_some_and(|listener| listener.as_raw_fd() == fd)
    }

    /// Whether a connection was accepted of which the kernel has not told yet whose it is.
    pub(crate) fn has_unidentified(&self) -> bool {
        self.unidentified.is_some()
    }

    /// A signal that announces a connection was dequeued.
    pub(crate) fn was_announced(&mut self) {
        self.ahead = (self.ahead - 1).max(0);
    }

    /// The signal queue was full: connections need not have been announced.
    pub(crate) fn signals_were_lost(&mut self) {
        self.ahead = 0;
    }

    /// Whether as many connections were accepted ahead of their signals, of number `signo`, as may wait.
    /// For each of them another can have come since, whose signal is pending as well.
    pub(crate) fn is_far_ahead(&mut self, signo: i32) -> bool {
        if self.ahead > self.backlog && !signal::is_pending(signo) {
            // The program has dropped them.
            self.ahead = 0;
        }
        self.ahead > self.backlog
    }

    /// Our users: `admit` admits those of this moment and of the last.
    pub(crate) fn own_uids(&self) -> Uids {
        let us = ids::uids();
        if let Some(listener) = self.socket().filter(|_| us != self.former) {
            // KERNEL: a sender is shown the user who listened last. Where it fails, senders see the
            // former one.
            let _ = socket::listen(listener.as_fd(), self.backlog);
        }
        us
    }

    /// Whether we were these users already when nobody was left to accept.
    pub(crate) fn has_seen(&self, us: Uids) -> bool {
        us == self.former
    }

    /// The next link and the process at its other end, or `None` for one that was turned away, unread.
    /// EAGAIN: nobody is there.
    pub(crate) fn admit(
        &mut self,
        us: Uids,
        unread: &mut Unread,
    ) -> Result<Option<(PrivateFd, i32)>> {
        let (socket, watched) = match self.unidentified.take() {
            Some(socket) => (socket, true),
            None => match self.accept(unread) {
                Err(Errno(libc::EAGAIN)) => {
                    self.former = us;
                    return Err(Errno(libc::EAGAIN));
                }
                accepted => (accepted?, false),
            },
        };
        // Looked at before any message is: whoever may not signal us is turned away, and what it sent
        // is released without ever entering our table.
        // What was sent to the user that we were counts as sent, and is not lost by our changing it.
        match admission::admitted(&[us, self.former], socket.as_fd()) {
            Ok(Some(process)) => Ok(Some((socket, process))),
            Ok(None) => {
                if watched {
                    epoll::remove(self.epoll.as_fd(), socket.as_fd());
                }
                unread.put(socket);
                Ok(None)
            }
            Err(errno) => {
                // Whoever polls the epoll set must not sleep on it, and the reserve may be given up.
                if !watched {
                    let _ = epoll::add(self.epoll.as_fd(), socket.as_fd());
                }
                self.unidentified = Some(socket);
                Err(errno)
            }
        }
    }

    fn accept(&mut self, unread: &mut Unread) -> Result<PrivateFd> {
        let Some(Bound { socket: listener, .. }) = &self.bound else {
            return Err(Errno(libc::EAGAIN));
        };
        let accept = || PrivateFd::new_out_of_the_way(|| socket::accept(listener.as_fd()));
        let is_full = |errno| matches!(errno, Errno(libc::EMFILE | libc::ENFILE));
        let socket = match accept() {
            // KERNEL: the connection stays where it is, without a further signal.
            Err(errno) if is_full(errno) && (unread.close() || self.reserve.give_up()) => accept()?,
            result => result?,
        };
        self.reserve.renew();
        self.ahead = self.ahead.saturating_add(1);
        Ok(socket)
    }

    /// No connection is possible from now on, and whoever waits on the epoll set wakes up.
    pub(crate) fn stop_listening(&self) {
        if let Some(listener) = self.socket().filter(|listener| listener.is_intact()) {
            socket::shut_down(listener.as_fd());
        }
    }

    /// The connections that nobody has accepted are closed, unread.
    pub(crate) fn close(&mut self, unread: &mut Unread) {
        self.unidentified.take().into_iter().for_each(|socket| unread.put(socket));
        self.reserve.settle();
        self.epoll.settle();
        self.stop_listening();
        if let Some(bound) = self.bound.take().filter(|bound| bound.socket.is_intact()) {
            let listener = &bound.socket;
            socket::disarm(listener.as_fd());
            epoll::remove(self.epoll.as_fd(), listener.as_fd());
            self.reserve.give_up();
            let accept = || PrivateFd::new_out_of_the_way(|| socket::accept(listener.as_fd()));
            let mut fruitless = 0;
            loop {
                match accept() {
                    Ok(socket) => unread.put(socket),
                    Err(Errno(libc::ECONNABORTED | libc::EINTR)) if fruitless < MOST_FRUITLESS => {
                        fruitless += 1;
                    }
                    // KERNEL: EINVAL, since it was shut down.
                    Err(Errno(libc::EINVAL | libc::EAGAIN)) => return,
                    Err(_) if unread.close() => {}
                    // They are closed with the listener.
                    Err(_) => return bound.close_elsewhere(),
                }
            }
        }
    }
}
