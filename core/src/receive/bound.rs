//! Sockets bound to a name, and the names that this process holds.

use super::directory::SocketFile;
use crate::address::{Name, Whom};
use crate::sys::fd::{self, PrivateFd};
use crate::sys::fork::PerProcess;
use crate::sys::release::close_elsewhere;
use crate::sys::socket::{self, Blocking};
use crate::sys::{Errno, Result};
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a forked child may take to let go of the name of an inbox that its parent has closed.
const FREE_WITHIN: Duration = Duration::from_secs(1);

static OURS: PerProcess<Mutex<Vec<Name>>> = PerProcess::new();

/// A thread that panics leaves nothing half done in the list.
fn ours() -> Result<MutexGuard<'static, Vec<Name>>> {
    Ok(OURS.get(Mutex::default)?.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A socket that is bound to a name.
#[derive(Debug)]
pub(crate) struct Bound {
    /// In front of the socket: the file cannot become another one while that is open.
    file: Option<SocketFile>,
    pub(crate) socket: PrivateFd,
    /// Who is to connect to it.
    pub(crate) whom: Whom,
    /// Behind the socket: it is ours until that is closed.
    _held: Option<Held>,
}

/// A name in the list of those that this process holds.
#[derive(Debug)]
struct Held(Name);

impl Bound {
    /// A new socket with the name, which may be held for a moment longer by what we were before.
    ///
    /// KERNEL: a child that was forked a moment ago holds the sockets of an inbox that we have closed
    /// since, or of the image before `exec`, until it runs for the first time and closes them. There
    /// is nothing that could be waited for.
    pub(crate) fn bind(name: Name, whom: Whom) -> Result<Bound> {
        let socket = PrivateFd::new_out_of_the_way(|| socket::create(Blocking::No))?;
        let end = Instant::now() + FREE_WITHIN;
        while let Err(errno) = socket::bind(socket.as_fd(), name.as_bytes()) {
            let held = errno == Errno(libc::EADDRINUSE) && !ours()?.contains(&name);
            if !held || Instant::now() >= end {
                return Err(errno);
            }
            // A pause; one that is cut short does no harm.
            let _ = fd::poll([], 1);
        }
        let mut ours = ours()?;
        ours.try_reserve(1).map_err(|_| Errno(libc::ENOMEM))?;
        ours.push(name);
        Ok(Bound { file: None, socket, whom, _held: Some(Held(name)) })
    }

    /// One that is bound to a file.
    pub(super) fn by_file(socket: PrivateFd, whom: Whom, file: SocketFile) -> Bound {
        Bound { file: Some(file), socket, whom, _held: None }
    }

    /// Lets it be found, now that it listens; `false`: it cannot, and is to be closed.
    pub(super) fn publish(&mut self) -> Result<bool> {
        self.file.as_mut().map_or(Ok(true), SocketFile::publish)
    }

    /// Closes it with what waits in it, for which nobody waits.
    pub(crate) fn close_elsewhere(self) {
        drop(self.file);
        close_elsewhere([self.socket]);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // There is a list, since the name is in it; in a child there may be none.
        let Ok(mut ours) = ours() else { return };
        if let Some(at) = ours.iter().position(|name| *name == self.0) {
            ours.swap_remove(at);
        }
    }
}
