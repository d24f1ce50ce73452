//! What goes out, and how it is put on a socket as one message.

use crate::sys::message::{self, Only};
use crate::sys::{self, Errno, fd, socket};
use crate::wire::{Header, LARGEST, MAX_DATA, MAX_FDS};
use std::io::IoSlice;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A parcel on its way out: up to [`MAX_FDS`] descriptors and [`MAX_DATA`] bytes that stay together.
///
/// The descriptors stay the caller's, on success and on failure. There may be none.
#[derive(Clone, Copy, Debug)]
#[must_use = "nothing is sent before `send` is called"]
pub struct Outgoing<'a> {
    fds: &'a [RawFd],
    data: &'a [u8],
    pub(crate) timeout: Option<Duration>,
    pub(crate) interruptible: bool,
}

impl<'a> Outgoing<'a> {
    /// A parcel of these descriptors, without bytes, that does not wait for room.
    pub fn new(fds: &'a [BorrowedFd<'a>]) -> Outgoing<'a> {
        Outgoing::from_raw(fd::numbers(fds))
    }

    /// The same by plain numbers, which the kernel checks at the send.
    pub fn from_raw(fds: &'a [RawFd]) -> Outgoing<'a> {
        Outgoing { fds, data: &[], timeout: Some(Duration::ZERO), interruptible: false }
    }

    /// Bytes that travel with the descriptors.
    pub fn data(self, data: &'a [u8]) -> Outgoing<'a> {
        Outgoing { data, ..self }
    }

    /// How long to wait for room in a full queue, and for the answer to a request; `None`: for ever.
    pub fn timeout(self, timeout: Option<Duration>) -> Outgoing<'a> {
        Outgoing { timeout, ..self }
    }

    /// Lets a signal handler end the wait for room with `EINTR`; otherwise the wait goes on.
    pub fn interruptible(self) -> Outgoing<'a> {
        Outgoing { interruptible: true, ..self }
    }

    /// How many descriptors and bytes there are.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.fds.len(), self.data.len())
    }

    /// The message that this becomes, if it is within the limits.
    pub(crate) fn message(&self) -> sys::Result<Message<'a>> {
        if self.fds.len() > MAX_FDS {
            return Err(Errno(libc::EINVAL));
        }
        if self.data.len() > MAX_DATA {
            return Err(Errno(libc::EMSGSIZE));
        }
        if self.fds.iter().any(|fd| *fd < 0) {
            return Err(Errno(libc::EBADF));
        }
        #[allow(clippy::cast_possible_truncation, reason = "both bounded above")]
        let (nfds, len) = (self.fds.len() as u32, self.data.len() as u32);
        let header = Header { nfds, len, reply: false };
        Ok(Message { header, data: self.data, fds: self.fds })
    }
}

/// Whether this kernel cannot be told to queue a message on sequenced-packet sockets only.
static NOT_TOLD: AtomicBool = AtomicBool::new(false);

/// Whether a message that is put on another type of socket than is meant does not go out.
pub(crate) fn kernel_refuses_other_types() -> bool {
    !NOT_TOLD.load(Ordering::Relaxed)
}

/// A parcel as it stands on the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    header: Header,
    data: &'a [u8],
    fds: &'a [RawFd],
}

/// Room for the descriptors of a request.
pub(crate) type Appended = [RawFd; MAX_FDS + 1];

impl<'a> Message<'a> {
    /// The same with the place where an answer to it is awaited.
    pub(crate) fn with_reply<'b>(self, reply: BorrowedFd<'b>, room: &'b mut Appended) -> Message<'b>
    where
        'a: 'b,
    {
        let count = self.fds.len();
        room[..count].copy_from_slice(self.fds);
        room[count] = reply.as_raw_fd();
        Message {
            header: Header { reply: true, ..self.header },
            data: self.data,
            fds: &room[..=count],
        }
    }

    /// Queues it on a socket, without waiting; on nothing else, if the number has come to mean
    /// something else.
    #[inline]
    pub(crate) fn put_on(&self, socket: BorrowedFd<'_>) -> sys::Result<()> {
        let only = if kernel_refuses_other_types() { Only::SeqPacket } else { Only::Any };
        match self.attempt(socket, only) {
            Err(Errno(libc::EINTR | libc::EMSGSIZE | libc::EINVAL)) => {
                self.put_on_with_care(socket, only)
            }
            sent => sent,
        }
    }

    #[inline]
    fn attempt(&self, socket: BorrowedFd<'_>, only: Only) -> sys::Result<()> {
        let header = self.header.encode();
        let mut parts = [IoSlice::new(&header), IoSlice::new(self.data)];
        let parts = if self.data.is_empty() { &mut parts[..1] } else { &mut parts[..] };
        message::send(socket, parts, self.fds, only).map(drop)
    }

    #[cold]
    #[inline(never)]
    fn put_on_with_care(&self, socket: BorrowedFd<'_>, mut only: Only) -> sys::Result<()> {
        let mut grown = false;
        loop {
            match self.attempt(socket, only) {
                Err(Errno(libc::EINTR)) => {}
                // It is within our limits, so it is the socket's that is too low: it was made with
                // `net.core.wmem_default`.
                Err(Errno(libc::EMSGSIZE)) if !grown => {
                    socket::make_room_to_send(socket, LARGEST)?;
                    grown = true;
                }
                Err(Errno(libc::EINVAL))
                    if only == Only::SeqPacket && socket::is_seqpacket(socket) =>
                {
                    only = Only::Any;
                }
                sent => {
                    if sent.is_ok() && only == Only::Any {
                        NOT_TOLD.store(true, Ordering::Relaxed);
                    }
                    return sent;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Signal, Task};

    #[test]
    fn an_error_tells_what_was_in_the_parcel() {
        let parcel = Outgoing::from_raw(&[-1; 3]).data(b"four");
        let error = parcel.send(Task::this_process(), Signal::DEFAULT).expect_err("not open");
        assert_eq!(error.errno(), libc::EBADF);
        let text = error.to_string();
        assert!(text.contains("3 fd") && text.contains("4 byte"), "{text}");
    }
}
