//! A request and its answer.
//!
//! A request is a parcel that carries one end of a socket pair. The answer comes at the other end, which
//! takes part in nothing else.

use crate::MAX_FDS;
use crate::deadline::Deadline;
use crate::error::{self, Call, Error, Result};
use crate::outgoing::{Appended, Outgoing};
use crate::parcel::{Info, Parcel};
use crate::receive::take::{self, Kept, Room, Taken, Unpacked};
use crate::send::Outbox;
use crate::signal::Signal;
use crate::sys::cancel::Uncancelled;
use crate::sys::fd::{Awaited, PrivateFd, poll};
use crate::sys::unread::Connection;
use crate::sys::{Errno, fork, socket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

impl Outbox {
    /// Sends a request and waits for the answer, for both together as long as the timeout of `parcel`
    /// says.
    ///
    /// The answer's credentials are the answerer's, as the kernel recorded them. The place may have been
    /// handed on: the answerer need not be the process that the request went to. And what root, or a user
    /// in a pid namespace of its own, says of its pid need not be true: only the way to an inbox is proven.
    ///
    /// # Errors
    /// As [`Outbox::send`]; `ECONNRESET` there will be no answer: the place for it was closed unanswered,
    /// or whoever held it has died; `EAGAIN`, `ETIMEDOUT` it did not come in time; `EMFILE`, `ENFILE` no
    /// descriptor left for the request (two are needed), or for the answer, which is released then:
    /// [`Outbox::ask`] keeps it.
    pub fn request(&self, parcel: Outgoing<'_>) -> Result<Parcel> {
        let deadline = Deadline::after(parcel.timeout);
        let call = self.call_with(&parcel, true);
        self.ask_by(&parcel, deadline)?.receive(
            call,
            &Room::ANY,
            deadline,
            parcel.interruptible,
            unpack,
        )
    }

    /// The same into the caller's buffers; the numbers in the first `nfds` places of `fds` are the
    /// caller's to close. On failure both buffers are untouched.
    ///
    /// # Errors
    /// As [`Outbox::request`]; `EMSGSIZE` the answer does not fit, and is released.
    pub fn request_into(
        &self,
        parcel: Outgoing<'_>,
        fds: &mut [RawFd],
        data: &mut [u8],
    ) -> Result<Info> {
        let deadline = Deadline::after(parcel.timeout);
        let call = self.call_with(&parcel, true);
        let room = Room::of(fds.len(), data.len());
        let answer = self.ask_by(&parcel, deadline)?;
        answer.receive(call, &room, deadline, parcel.interruptible, |mut unpacked| {
            let bytes = unpacked.data();
            data[..bytes.len()].copy_from_slice(bytes);
            unpacked.rights.take_numbers(fds);
            unpacked.info
        })
    }

    /// Sends a request, and gives what the answer is to be awaited with.
    ///
    /// # Errors
    /// As [`Outbox::send`]; `EMFILE`, `ENFILE` no descriptor left for the request (two are needed).
    pub fn ask(&self, parcel: Outgoing<'_>) -> Result<Answer> {
        self.ask_by(&parcel, Deadline::after(parcel.timeout))
    }

    fn ask_by(&self, parcel: &Outgoing<'_>, deadline: Deadline) -> Result<Answer> {
        let _uncancelled = Uncancelled::begin();
        let put = || {
            self.held.check()?;
            let message = parcel.message()?;
            let (place, theirs) = PrivateFd::pair(socket::pair)?;
            // For the answer, and so before the request goes out.
            socket::pass_credentials(place.as_fd())?;
            let mut room: Appended = [0; MAX_FDS + 1];
            let message = message.with_reply(theirs.as_fd(), &mut room);
            self.held.queue(&message, deadline, parcel.interruptible)?;
            let signal = self.held.signal;
            Ok(Answer { place: Connection::new(place), signal, generation: fork::generation() })
        };
        put().map_err(error::of(self.call_with(parcel, true)))
    }
}

/// An answer that is awaited. Its descriptor polls readable when the answer is there, or will never be.
///
/// Dropping it withdraws the wish: whoever answers then gets `EPIPE`. The request is not taken back. A
/// forked child does not have it.
#[derive(Debug)]
pub struct Answer {
    place: Connection,
    signal: Signal,
    generation: u32,
}

impl Answer {
    /// Waits for the answer; `None` for ever, zero not at all.
    ///
    /// # Errors
    /// `EAGAIN`, `ETIMEDOUT` it has not come (in time); `ECONNRESET` there will be none, or it has been
    /// received already; `EMFILE`, `ENFILE` no room for its descriptors: it is kept for another try; `EACCES`
    /// the kernel refuses one of them to this process; `EINTR` a signal handler ran; `EPROTO` what came is
    /// no answer, or in another version; `EPERM` asked before a fork; `ENOMEM`, `ENOBUFS`.
    pub fn recv(&self, timeout: Option<Duration>) -> Result<Parcel> {
        let call = Call::Answer { signo: self.signal.number(), timeout };
        self.receive(call, &Room::ANY, Deadline::after(timeout), true, unpack)
    }

    fn receive<T>(
        &self,
        call: Call,
        room: &Room,
        deadline: Deadline,
        interruptible: bool,
        unpack: impl FnOnce(Unpacked) -> T,
    ) -> Result<T> {
        let _uncancelled = Uncancelled::begin();
        match self.take(room, deadline, interruptible) {
            Ok(unpacked) => Ok(unpack(unpacked)),
            Err(kept) => Err(Error::of_parcel(call, kept.errno.0, kept.info)),
        }
    }

    fn take(
        &self,
        room: &Room,
        deadline: Deadline,
        interruptible: bool,
    ) -> std::result::Result<Unpacked, Kept> {
        if self.generation != fork::generation() {
            return Err(Errno(libc::EPERM).into());
        }
        let place = self.place.as_fd();
        loop {
            let left = deadline.left_ms();
            match poll([(place, Awaited::Readable)], left) {
                Err(Errno(libc::EINTR)) if !interruptible => {}
                Ok([0]) if deadline.has_passed() => return Err(Errno(deadline.errno()).into()),
                Ok([0]) => {}
                Ok(_) => break,
                Err(errno) => return Err(errno.into()),
            }
        }
        // Readable: it is there whole, or will never be.
        let mut unpacked = Unpacked::new(match room.bytes() {
            small @ ..=SMALL => small,
            large => socket::waiting_bytes(place)?.min(large),
        })?;
        loop {
            return match take::take((place, None), self.signal, room, &mut unpacked) {
                Ok(Taken::Parcel) if unpacked.reply.is_none() => Ok(unpacked),
                Ok(Taken::Parcel | Taken::OtherVersion) => Err(Errno(libc::EPROTO).into()),
                Ok(Taken::Hidden) => continue,
                Ok(Taken::End | Taken::Nothing) => Err(Errno(libc::ECONNRESET).into()),
                Err(refusal) => Err(unpacked.kept(refusal)),
            };
        }
    }
}

/// So many bytes of memory are not worth a look at how many are needed.
const SMALL: usize = 4096;

fn unpack(mut unpacked: Unpacked) -> Parcel {
    unpacked.parcel()
}

impl AsFd for Answer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.place.as_fd()
    }
}

impl AsRawFd for Answer {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::signal::Interruptions;
    use crate::{QuietInbox, Signal, Task};

    fn errno<T>(result: Result<T>) -> Option<i32> {
        result.err().map(|error| error.errno())
    }

    /// C waits on, whatever signals come, and asks and awaits in one call.
    #[test]
    fn a_signal_ends_the_wait_for_an_answer_where_it_may() {
        let signal = Signal::new(36).expect("a real-time signal");
        let inbox = QuietInbox::open(signal).expect("opens");
        let outbox = Outbox::open(Task::this_process(), signal, None).expect("opens");
        let interruptions = Interruptions::of_this_thread();
        let parcel = Outgoing::from_raw(&[]).timeout(Some(Duration::from_millis(100)));
        let (mut fds, mut data) = ([-1; 1], [0; 1]);
        assert_eq!(errno(outbox.request(parcel)), Some(libc::ETIMEDOUT));
        assert_eq!(errno(outbox.request_into(parcel, &mut fds, &mut data)), Some(libc::ETIMEDOUT));
        let parcel = parcel.interruptible().timeout(Some(Duration::from_secs(30)));
        assert_eq!(errno(outbox.request(parcel)), Some(libc::EINTR));
        assert_eq!(errno(outbox.request_into(parcel, &mut fds, &mut data)), Some(libc::EINTR));
        let answer = outbox.ask(parcel).expect("sends");
        assert_eq!(errno(answer.recv(None)), Some(libc::EINTR));
        drop((interruptions, inbox));
    }

    #[test]
    fn an_answer_polls_readable_when_it_is_there() {
        let signal = Signal::new(35).expect("a real-time signal");
        let inbox = QuietInbox::open(signal).expect("opens");
        let outbox = Outbox::open(Task::this_process(), signal, None).expect("opens");
        let answer = outbox.ask(Outgoing::from_raw(&[])).expect("sends");
        assert_eq!(answer.as_fd().as_raw_fd(), answer.as_raw_fd());
        let polls = || poll([(answer.as_fd(), Awaited::Readable)], 0).expect("polls") != [0];
        assert!(!polls());
        assert_eq!(errno(answer.recv(Some(Duration::ZERO))), Some(libc::EAGAIN));
        let place = inbox.recv(Some(Duration::ZERO)).expect("is there").reply.expect("a request");
        place.send(Outgoing::from_raw(&[0]).data(b"yes")).expect("answers");
        assert!(polls());
        let parcel = answer.recv(None).expect("is there");
        assert_eq!((parcel.fds.len(), &parcel.data[..]), (1, &b"yes"[..]));
        assert_eq!(errno(answer.recv(None)), Some(libc::ECONNRESET));
    }
}
