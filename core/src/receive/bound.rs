//! Sockets bound to a name, and the names that this process holds.

use crate::sys::fd::{self, PrivateFd};
use crate::sys::fork::PerProcess;
use crate::sys::release::close_elsewhere;
use crate::sys::{Errno, Result, socket};
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a forked child may take to let go of the name of an inbox that its parent has closed.
const FREE_WITHIN: Duration = Duration::from_secs(1);

static OURS: PerProcess<Mutex<Vec<Vec<u8>>>> = PerProcess::new();

/// A thread that panics leaves nothing half done in the list.
fn ours() -> MutexGuard<'static, Vec<Vec<u8>>> {
    OURS.get(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// A socket that is bound to a name.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) socket: PrivateFd,
    /// Behind the socket: it is ours until that is closed.
    _name: Name,
}

#[derive(Debug)]
struct Name(Vec<u8>);

impl Bound {
    /// Gives `socket` the name, which may be held for a moment longer by what we were before.
    ///
    /// KERNEL: a child that was forked a moment ago holds the sockets of an inbox that we have closed
    /// since, or of the image before `exec`, until it runs for the first time and closes them. There
    /// is nothing that could be waited for.
    pub(crate) fn bind(socket: PrivateFd, name: Vec<u8>) -> Result<Bound> {
        let end = Instant::now() + FREE_WITHIN;
        while let Err(errno) = socket::bind(socket.as_fd(), &name) {
            let held = errno == Errno(libc::EADDRINUSE) && !ours().contains(&name);
            if !held || Instant::now() >= end {
                return Err(errno);
            }
            // A pause; one that is cut short does no harm.
            let _ = fd::poll([], 1);
        }
        ours().push(name.clone());
        Ok(Bound { socket, _name: Name(name) })
    }

    /// Closes it with what waits in it, for which nobody waits.
    pub(crate) fn close_elsewhere(self) {
        close_elsewhere([self.socket]);
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let mut ours = ours();
        if let Some(at) = ours.iter().position(|name| *name == self.0) {
            ours.swap_remove(at);
        }
    }
}
