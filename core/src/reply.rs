//! Where an answer to a received parcel is awaited.

use crate::error::{self, Call, Result};
use crate::outgoing::{self, Message, Outgoing};
use crate::sys::cancel::Uncancelled;
use crate::sys::message::{self, Waits};
use crate::sys::{self, Errno, socket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};

/// The place where the sender of a parcel awaits an answer: one, from any thread, at any later time.
///
/// Dropping it unanswered tells the asker `ECONNRESET` at once, and so does the end of this process. It is
/// a descriptor like a received one: close-on-exec, and a forked child has a copy of it, which keeps the
/// asker waiting while it is open.
///
/// ```
/// use sendfd_core::{Outbox, Outgoing, QuietInbox, Signal, Task};
///
/// let signal = Signal::new(54)?;
/// let inbox = QuietInbox::open(signal)?;
/// std::thread::scope(|scope| {
///     scope.spawn(|| {
///         let asked = inbox.recv(None)?;
///         asked.reply.expect("a request").send(Outgoing::from_raw(&[0]).data(b"yes"))
///     });
///     let outbox = Outbox::open(Task::this_process(), signal, None)?;
///     let answer = outbox.request(Outgoing::from_raw(&[]).data(b"is it open?").timeout(None))?;
///     assert_eq!(answer.data, b"yes");
///     assert_eq!(answer.fds.len(), 1);
///     Ok::<(), sendfd_core::Error>(())
/// })?;
/// # Ok::<(), sendfd_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Reply(OwnedFd);

impl Reply {
    /// Sends the answer and closes the place. Never waits; the parcel's timeout has no meaning here.
    ///
    /// The descriptors stay the caller's. Success means that the kernel holds the answer for the asker;
    /// not that the asker takes it.
    ///
    /// # Errors
    /// `EPIPE` the asker is gone, or an answer was given already through a copy of the descriptor;
    /// `EINVAL` too many descriptors, or of a kind that cannot be passed; `EBADF` one is not open;
    /// `EMSGSIZE` too many bytes; `EAGAIN` no room, which only a hostile asker brings about;
    /// `ETOOMANYREFS`; `ENOMEM`, `ENOBUFS`. The place is closed then as well: [`Reply::try_send`] keeps it.
    pub fn send(self, answer: Outgoing<'_>) -> Result<()> {
        self.try_send(answer)
    }

    /// The same, with another try after an error.
    ///
    /// # Errors
    /// As [`Reply::send`]; `EPIPE` after an answer was given.
    pub fn try_send(&self, answer: Outgoing<'_>) -> Result<()> {
        put(self.0.as_fd(), answer, put_answer)
    }

    /// The same for a place that is held as a plain descriptor, which stays open: it is to be closed.
    ///
    /// # Errors
    /// As [`Reply::try_send`]; `ENOTSOCK`, `EINVAL`: that is no such place.
    pub fn send_to(reply: impl AsFd, answer: Outgoing<'_>) -> Result<()> {
        put(reply.as_fd(), answer, |reply, message| {
            // What the program says may be anything: a stream would take the bytes. The type alone is
            // left to the kernel where it tells.
            let is_one = if outgoing::kernel_refuses_other_types() {
                socket::has_local_peer(reply)
            } else {
                socket::is_connected_seqpacket(reply)
            };
            let sent = if is_one { put_answer(reply, message) } else { Err(Errno(libc::EINVAL)) };
            sent.map_err(|errno| match errno {
                Errno(libc::EINVAL | libc::EISCONN | libc::EOPNOTSUPP) => {
                    socket::kind(reply).map_or_else(|errno| errno, |_| Errno(libc::EINVAL))
                }
                other => other,
            })
        })
    }

    /// Tells the asker that there will be no answer, as dropping it does; but that is a cancellation point of C's
    /// (`pthread_cancel`), and this is none.
    #[cold]
    pub fn refuse(self) {
        let _uncancelled = Uncancelled::begin();
        drop(self);
    }

    /// Whether an asker can await an answer there: one end of a connected pair, into which nothing was
    /// put that this end would have to release when it is closed. From then on nothing can be.
    pub(crate) fn is_possible(place: BorrowedFd<'_>) -> bool {
        if !socket::is_connected_seqpacket(place) {
            return false;
        }
        socket::stop_reading(place);
        let looked = socket::pass_credentials(place).and_then(|()| message::waits(place));
        // KERNEL: a socket that asks for credentials takes a name when it sends.
        socket::pass_no_credentials(place).is_ok() && looked == Ok(Waits::End)
    }
}

fn put(
    reply: BorrowedFd<'_>,
    answer: Outgoing<'_>,
    put: impl FnOnce(BorrowedFd<'_>, &Message<'_>) -> sys::Result<()>,
) -> Result<()> {
    let _uncancelled = Uncancelled::begin();
    let (nfds, len) = answer.counts();
    let call = Call::Reply { reply: reply.as_raw_fd(), nfds, len };
    answer.message().and_then(|message| put(reply, &message)).map_err(error::of(call))
}

fn put_answer(reply: BorrowedFd<'_>, message: &Message<'_>) -> sys::Result<()> {
    let sent = message.put_on(reply).map_err(|errno| match errno {
        Errno(libc::ECONNRESET | libc::ENOTCONN) => Errno(libc::EPIPE),
        other => other,
    });
    if sent.is_ok() {
        // The one answer: a second one finds the way closed.
        socket::stop_writing(reply);
    }
    sent
}

impl Reply {
    /// One for which [`Reply::is_possible`] was true.
    pub(crate) fn at(place: OwnedFd) -> Reply {
        Reply(place)
    }
}

impl From<Reply> for OwnedFd {
    fn from(reply: Reply) -> OwnedFd {
        reply.0
    }
}

impl AsFd for Reply {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Reply {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl IntoRawFd for Reply {
    fn into_raw_fd(self) -> RawFd {
        self.0.into_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Outbox, QuietInbox, Signal, Task};
    use std::time::Duration;

    /// Where C has plain numbers.
    #[test]
    fn a_place_is_a_descriptor_in_every_way() {
        let signal = Signal::new(63).expect("a real-time signal");
        let inbox = QuietInbox::open(signal).expect("opens");
        let outbox = Outbox::open(Task::this_process(), signal, None).expect("opens");
        for way in 0..4 {
            let answer = outbox.ask(Outgoing::from_raw(&[])).expect("sends");
            let reply =
                inbox.recv(Some(Duration::ZERO)).expect("is there").reply.expect("a request");
            let number = reply.as_raw_fd();
            assert_eq!(reply.as_fd().as_raw_fd(), number);
            let text = [b'0' + way];
            let parcel = Outgoing::from_raw(&[]).data(&text);
            match way {
                0 => reply.send(parcel).expect("answers"),
                1 => {
                    let refused = reply.try_send(Outgoing::from_raw(&[-1]));
                    assert_eq!(refused.map_err(|error| error.errno()), Err(libc::EBADF));
                    reply.try_send(parcel).expect("answers");
                    let refused = reply.try_send(parcel);
                    assert_eq!(refused.map_err(|error| error.errno()), Err(libc::EPIPE));
                }
                2 => {
                    let place = OwnedFd::from(reply);
                    assert_eq!(place.as_raw_fd(), number);
                    Reply::send_to(place, parcel).expect("answers");
                }
                _ => {
                    // It stays open: nobody owns it.
                    assert_eq!(reply.into_raw_fd(), number);
                    let place = crate::sys::fd::named(number).expect("a number");
                    Reply::send_to(place, parcel).expect("answers");
                }
            }
            let parcel = answer.recv(Some(Duration::ZERO)).expect("is there");
            assert_eq!(parcel.data, text);
        }
    }
}
