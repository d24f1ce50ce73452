//! Sockets in which messages of others may wait when they are closed.
//!
//! Guarantees: nobody here waits for what such a message holds, and it is closed unread: whoever sent it
//! learns that it was lost.

use super::cancel::Uncancelled;
use super::fd::PrivateFd;
use super::message::{self, Waits};
use super::release::close_elsewhere;
use super::socket;
use std::mem::{ManuallyDrop, take};
use std::ops::Deref;
use std::os::fd::AsFd;

/// A socket that we connect, or have connected, and that asks for credentials from then on. Its peer has nothing
/// to say to us; a hostile one says it.
#[derive(Debug)]
pub(crate) struct Connection(ManuallyDrop<PrivateFd>);

impl Connection {
    pub(crate) fn new(socket: PrivateFd) -> Connection {
        Connection(ManuallyDrop::new(socket))
    }
}

impl Deref for Connection {
    type Target = PrivateFd;
    fn deref(&self) -> &PrivateFd {
        &self.0
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: taken once, here; nothing uses the field afterwards.
        let socket = unsafe { ManuallyDrop::take(&mut self.0) };
        // To close it is a call at which the thread could be cancelled.
        let _uncancelled = Uncancelled::begin();
        if socket.is_intact() {
            let mut waits = message::waits(socket.as_fd());
            if waits == Ok(Waits::Nothing) {
                socket::stop_reading(socket.as_fd());
                waits = message::waits(socket.as_fd());
            }
            if waits == Ok(Waits::Message) {
                close_elsewhere([socket]);
            } else {
                socket.close_intact();
            }
        }
    }
}

/// Accepted sockets that are to be closed: many together, for each time takes a thread.
#[derive(Debug, Default)]
pub(crate) struct Unread(Vec<PrivateFd>);

impl Unread {
    const MOST: usize = 64;

    /// Its peer sees the end at once, whoever else holds it. It is closed now if nothing waits in it,
    /// and soon if something does.
    pub(crate) fn put(&mut self, socket: PrivateFd) {
        if socket.is_intact() {
            self.put_intact(socket);
        }
    }

    /// The same after a look has shown that it is intact.
    pub(crate) fn put_intact(&mut self, socket: PrivateFd) {
        // Nothing is added to it after that.
        socket::shut_down(socket.as_fd());
        if message::waits(socket.as_fd()) != Ok(Waits::Message) {
            return socket.close_intact();
        }
        if self.0.try_reserve(1).is_err() {
            return close_elsewhere([socket]);
        }
        self.0.push(socket);
        if self.0.len() == Unread::MOST {
            self.close();
        }
    }

    /// Closes what is left. `false`: there was nothing.
    pub(crate) fn close(&mut self) -> bool {
        let any = !self.0.is_empty();
        if any {
            self.close_all();
        }
        any
    }

    #[cold]
    fn close_all(&mut self) {
        close_elsewhere(take(&mut self.0));
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::release::tests::lingering;
    use std::io::IoSlice;
    use std::os::fd::AsRawFd;
    use std::time::{Duration, Instant};

    #[test]
    fn nobody_waits_for_what_is_left() {
        let (linger, other) = lingering();
        let (here, there) = socket::pair().expect("two sockets");
        socket::pass_credentials(here.as_fd()).expect("a socket");
        let mut bytes = [IoSlice::new(b"x")];
        let only = message::Only::Any;
        message::send(there.as_fd(), &mut bytes, &[linger.as_raw_fd()], only).expect("room");
        drop(linger);
        let mut unread = Unread::default();
        unread.put(PrivateFd::new(|| Ok(here)).expect("room"));
        let start = Instant::now();
        drop(unread);
        assert!(start.elapsed() < Duration::from_secs(5));
        drop(other);
    }
}
