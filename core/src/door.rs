//! Where senders come in: the listening socket of an inbox, and who is let in.

use crate::bell::Bell;
use crate::names::Named;
use crate::reserve::Reserve;
use crate::sys::fd::PrivateFd;
use crate::sys::ids::{self, Uids};
use crate::sys::socket::{self, Blocking};
use crate::sys::{Errno, Result, epoll};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Door {
    epoll: Arc<PrivateFd>,
    /// None once the inbox is closed.
    listener: Option<Named>,
    pub(crate) reserve: Reserve,
    /// Accepted, but the kernel has not told yet whose it is.
    newcomer: Option<PrivateFd>,
    /// Our users when no connection was left to accept.
    former: Uids,
}

impl Door {
    /// Binds `name` and begins to listen.
    pub(crate) fn open(name: Vec<u8>, epoll: &Arc<PrivateFd>, bell: Option<&Bell>) -> Result<Door> {
        let socket = PrivateFd::new_out_of_the_way(|| socket::create(Blocking::No))?;
        let named = Named::bind(socket, name)?;
        let listener = &named.socket;
        // KERNEL: links inherit it, some kernels at connect time: it has to come before `listen`.
        socket::pass_credentials(listener.as_fd())?;
        if let Some(bell) = bell {
            bell.arm(listener.as_fd())?;
        }
        epoll::add(epoll.as_fd(), listener.as_fd())?;
        let reserve = Reserve::open(Arc::clone(epoll))?;
        socket::listen(listener.as_fd())?;
        let (epoll, former) = (Arc::clone(epoll), ids::uids());
        Ok(Door { epoll, listener: Some(named), reserve, newcomer: None, former })
    }

    pub(crate) fn listener(&self) -> Option<&PrivateFd> {
        self.listener.as_ref().map(|named| &named.socket)
    }

    pub(crate) fn is(&self, fd: RawFd) -> bool {
        self.listener().is_some_and(|listener| listener.as_raw_fd() == fd)
    }

    /// Whether somebody came of whom it is not known yet who it is.
    pub(crate) fn somebody_waits_inside(&self) -> bool {
        self.newcomer.is_some()
    }

    /// Looks who we are: `admit` lets in our users of this moment and of the last.
    pub(crate) fn look_at_ourselves(&self) -> Uids {
        let us = ids::uids();
        if let Some(listener) = self.listener().filter(|_| us != self.former) {
            // KERNEL: a sender is shown the user who listened last. Where it fails, senders see the
            // former one.
            let _ = socket::listen(listener.as_fd());
        }
        us
    }

    /// Whether we were these users already when nobody was left to accept.
    pub(crate) fn has_seen(&self, us: Uids) -> bool {
        us == self.former
    }

    /// The next link, or `None` for one that was turned away. EAGAIN: nobody is there.
    pub(crate) fn admit(&mut self, us: Uids) -> Result<Option<PrivateFd>> {
        let socket = match self.newcomer.take() {
            Some(socket) => socket,
            None => match self.accept() {
                Err(Errno(libc::EAGAIN)) => {
                    self.former = us;
                    return Err(Errno(libc::EAGAIN));
                }
                accepted => accepted?,
            },
        };
        // Looked at before any message is: whoever may not signal us is shut out, and what it sent
        // is released without ever entering our table.
        let them = match socket::peer(socket.as_fd()) {
            Ok(peer) => peer.effective_uid,
            Err(errno) => {
                self.newcomer = Some(socket);
                return Err(errno);
            }
        };
        // What was sent to the user that we were counts as sent, and is not lost by our changing it.
        let admitted = them == 0 || us.admit(them) || self.former.admit(them);
        Ok(admitted.then_some(socket))
    }

    fn accept(&mut self) -> Result<PrivateFd> {
        let Some(Named { socket: listener, .. }) = &self.listener else {
            return Err(Errno(libc::EAGAIN));
        };
        let accept = || PrivateFd::new_out_of_the_way(|| socket::accept(listener.as_fd()));
        let socket = match accept() {
            // KERNEL: the connection stays where it is, without a further signal.
            Err(Errno(libc::EMFILE | libc::ENFILE)) if self.reserve.give_up() => accept()?,
            result => result?,
        };
        self.reserve.renew();
        Ok(socket)
    }

    /// Nobody can connect from now on, and everybody who waits on the epoll set wakes up.
    pub(crate) fn stop_listening(&self) {
        if let Some(listener) = self.listener() {
            socket::shut_down(listener.as_fd());
        }
    }

    /// The connections that nobody has accepted are released.
    pub(crate) fn close(&mut self) {
        self.newcomer = None;
        self.stop_listening();
        if let Some(named) = self.listener.take() {
            let listener = &named.socket;
            socket::disarm(listener.as_fd());
            epoll::remove(self.epoll.as_fd(), listener.as_fd());
            while socket::accept(listener.as_fd()).is_ok() {}
        }
    }
}
