//! The network namespace of a task, if that is another one.
//!
//! KERNEL: abstract names end at the network namespace. Whoever has `CAP_SYS_ADMIN` can make a socket in that
//! of the receiver, and then its name reaches; it needs nothing there, and trusts nothing that is there.

use super::proc;
use super::recipient::Recipient;
use crate::sys::fd::PrivateFd;
use crate::sys::network;
use crate::sys::socket::Blocking;
use crate::sys::{Errno, Result};
use std::os::fd::AsFd;

/// Another network namespace than that of the calling thread, or one of which that cannot be known.
pub(crate) struct Elsewhere<'a> {
    /// Where this process can go.
    pub(crate) network: Option<Network<'a>>,
}

/// A network namespace.
pub(crate) enum Network<'a> {
    /// By its file.
    Opened(PrivateFd),
    /// That of a task which is not visible here.
    OfTask(&'a Recipient<'a>),
}

impl Recipient<'_> {
    /// Where its sockets may be; `None`: here.
    pub(crate) fn elsewhere(&self) -> Result<Option<Elsewhere<'_>>> {
        let network = if self.id() == 0 {
            self.pidfd().map(|_| Network::OfTask(self))
        } else {
            let theirs = proc::network(self.id());
            let known = theirs.and_then(|file| Ok(Some((network::is_ours(file.as_fd())?, file))));
            match unless_short(known)? {
                Some((true, _)) => return Ok(None),
                Some((false, file)) => Some(Network::Opened(file)),
                None => None,
            }
        };
        Ok(Some(Elsewhere { network: network.filter(|_| network::may_leave()) }))
    }
}

impl Network<'_> {
    /// An unconnected socket there; `None` where this process is not let in.
    pub(crate) fn socket(&self, blocking: Blocking) -> Result<Option<PrivateFd>> {
        let place = match self {
            Network::Opened(file) => Some(file.as_fd()),
            Network::OfTask(task) => task.pidfd(),
        };
        place.map_or(Ok(None), |place| unless_short(network::socket_in(place, blocking).map(Some)))
    }
}

/// What is refused is not there; what cannot be known for want of memory or descriptors is an error.
pub(super) fn unless_short<T>(found: Result<Option<T>>) -> Result<Option<T>> {
    found.or_else(|errno: Errno| if errno.is_shortage() { Err(errno) } else { Ok(None) })
}
