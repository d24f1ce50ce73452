//! A socket that listens for connections to an inbox.

use super::admission::{self, Admitted, Rule};
use super::bound::Bound;
use super::guests::Guests;
use super::notify::Notifier;
use super::reserve::Reserve;
use crate::address::Whom;
use crate::sys::fd::PrivateFd;
use crate::sys::ids::Uids;
use crate::sys::socket;
use crate::sys::unread::Unread;
use crate::sys::{Errno, Result, epoll, signal};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

#[derive(Debug)]
pub(super) struct Listener {
    whom: Whom,
    /// None once the inbox is closed.
    bound: Option<Bound>,
    /// How many connections may wait to be accepted, but for one.
    backlog: i32,
    /// So many more connections were accepted than signals of connections dequeued.
    ahead: i32,
    /// Accepted, but the kernel has not told yet whose it is.
    unidentified: Option<PrivateFd>,
    /// Our users when no connection was left to accept.
    former: Uids,
}

impl Listener {
    /// Makes a socket that is bound ready to listen.
    pub(super) fn new(
        bound: Bound,
        epoll: BorrowedFd<'_>,
        notifier: Option<&Notifier>,
        backlog: i32,
        us: Uids,
    ) -> Result<Listener> {
        let listener = &bound.socket;
        // KERNEL: links inherit it, some kernels at connect time: it has to come before `listen`.
        socket::pass_credentials(listener.as_fd())?;
        if let Some(notifier) = notifier {
            notifier.arm(listener.as_fd())?;
        }
        epoll::add(epoll, listener.as_fd())?;
        let (whom, bound) = (bound.whom, Some(bound));
        Ok(Listener { whom, bound, backlog, ahead: 0, unidentified: None, former: us })
    }

    /// From now on connections are possible, unless it is one that the inbox can do without.
    pub(super) fn listen(&mut self) -> Result<()> {
        let Some(bound) = &mut self.bound else { return Ok(()) };
        socket::listen(bound.socket.as_fd(), self.backlog)?;
        if !bound.publish()? {
            self.bound.take().into_iter().for_each(Bound::close_elsewhere);
        }
        Ok(())
    }

    pub(super) fn socket(&self) -> Option<&PrivateFd> {
        self.bound.as_ref().map(|bound| &bound.socket)
    }

    pub(super) fn is(&self, fd: RawFd) -> bool {
        self.socket().is_some_and(|listener| listener.as_raw_fd() == fd)
    }

    /// Whether a connection was accepted of which the kernel has not told yet whose it is.
    pub(super) fn has_unidentified(&self) -> bool {
        self.unidentified.is_some()
    }

    /// A signal that announces a connection was dequeued.
    pub(super) fn was_announced(&mut self) {
        self.ahead = (self.ahead - 1).max(0);
    }

    /// The signal queue was full: connections need not have been announced.
    pub(super) fn signals_were_lost(&mut self) {
        self.ahead = 0;
    }

    /// Whether as many connections were accepted ahead of their signals, of number `signo`, as may wait.
    /// For each of them another can have come since, whose signal is pending as well.
    pub(super) fn is_far_ahead(&mut self, signo: i32) -> bool {
        if self.ahead <= self.backlog {
            return false;
        }
        if signal::is_pending(signo) {
            return true;
        }
        // The program has dropped them.
        self.ahead = 0;
        false
    }

    /// `us` are our users now: `admit` admits those of this moment and of the last.
    pub(super) fn show(&self, us: Uids) {
        if let Some(listener) = self.socket().filter(|_| us != self.former) {
            // KERNEL: a sender is shown the user who listened last. Where it fails, senders see the
            // former one.
            let _ = socket::listen(listener.as_fd(), self.backlog);
        }
    }

    /// Whether we were these users already when nobody was left to accept.
    pub(super) fn has_seen(&self, us: Uids) -> bool {
        us == self.former
    }

    /// The next link and who is at its other end, or `None` for one that was turned away, unread.
    /// EAGAIN: nobody is there.
    pub(super) fn admit(
        &mut self,
        us: Uids,
        guests: Option<&Guests>,
        (epoll, reserve): (BorrowedFd<'_>, &mut Reserve),
        unread: &mut Unread,
    ) -> Result<Option<(PrivateFd, Admitted)>> {
        let (socket, watched) = match self.unidentified.take() {
            Some(socket) => (socket, true),
            None => match self.accept(reserve, unread) {
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
        let users = [us, self.former];
        let rule = match (self.whom, guests) {
            (Whom::Guests, Some(guests)) => Rule::Guests(guests),
            _ => Rule::Own(&users),
        };
        match admission::admitted(rule, socket.as_fd()) {
            Ok(Some(admitted)) => Ok(Some((socket, admitted))),
            Ok(None) => {
                if watched {
                    epoll::remove(epoll, socket.as_fd());
                }
                unread.put(socket);
                Ok(None)
            }
            Err(errno) => {
                // Whoever polls the epoll set must not sleep on it, and the reserve may be given up.
                let _ = epoll::add(epoll, socket.as_fd());
                self.unidentified = Some(socket);
                Err(errno)
            }
        }
    }

    fn accept(&mut self, reserve: &mut Reserve, unread: &mut Unread) -> Result<PrivateFd> {
        let Some(Bound { socket: listener, .. }) = &self.bound else {
            return Err(Errno(libc::EAGAIN));
        };
        let accept = || PrivateFd::new_out_of_the_way(|| socket::accept(listener.as_fd()));
        let is_full = |errno| matches!(errno, Errno(libc::EMFILE | libc::ENFILE));
        let socket = match accept() {
            // KERNEL: the connection stays where it is, without a further signal.
            Err(errno) if is_full(errno) && (unread.close() || reserve.give_up()) => accept()?,
            result => result?,
        };
        reserve.renew();
        self.ahead = self.ahead.saturating_add(1);
        Ok(socket)
    }

    /// No connection is possible from now on, and whoever waits on the epoll set wakes up.
    pub(super) fn stop_listening(&self) {
        if let Some(listener) = self.socket().filter(|listener| listener.is_intact()) {
            socket::shut_down(listener.as_fd());
        }
    }

    /// The connections that nobody has accepted are closed, unread. It listens no more already.
    pub(super) fn close(
        &mut self,
        (epoll, reserve): (BorrowedFd<'_>, &mut Reserve),
        unread: &mut Unread,
    ) {
        self.unidentified.take().into_iter().for_each(|socket| unread.put(socket));
        if let Some(bound) = self.bound.take().filter(|bound| bound.socket.is_intact()) {
            let listener = &bound.socket;
            socket::disarm(listener.as_fd());
            epoll::remove(epoll, listener.as_fd());
            reserve.give_up();
            let accept = || PrivateFd::new_out_of_the_way(|| socket::accept(listener.as_fd()));
            loop {
                match accept() {
                    Ok(socket) => unread.put(socket),
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
