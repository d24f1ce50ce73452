//! A link that its user holds, and what became of the parcels that were sent through it.

use super::held::HeldLink;
use super::taken::{self, TakenWatch};
use crate::address::Target;
use crate::deadline::Deadline;
use crate::error::{self, Call, Result};
use crate::outgoing::Outgoing;
use crate::signal::Signal;
use crate::sys::cancel::Uncancelled;
use crate::sys::fd::Awaited;
use crate::sys::shared::Shared;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

/// One link to one inbox, held by its user instead of the cache that [`send`](crate::send) uses.
///
/// It leads to that inbox and never to another: once the inbox is closed or its process is dead, sending
/// gives `EPIPE`. Its parcels arrive in the order in which they were sent; between them and those of
/// [`send`](crate::send) there is no order. Any number of threads may use it. A forked child does not have
/// it: its descriptor is closed there, and every call gives `EPERM`.
///
/// Dropping it closes it. What was sent and not taken yet stays in the receiver's queue.
///
/// ```
/// use sendfd_core::{Outbox, Outgoing, QuietInbox, Signal, Task};
/// use std::time::Duration;
///
/// let signal = Signal::new(55)?;
/// let inbox = QuietInbox::open(signal)?;
/// let outbox = Outbox::open(Task::this_process(), signal, Some(Duration::ZERO))?;
/// outbox.send(Outgoing::from_raw(&[0]).data(b"standard input"))?;
/// let not_yet = outbox.wait_taken(Some(Duration::ZERO)).map_err(|e| e.errno());
/// assert_eq!(not_yet, Err(libc::EAGAIN));
/// let parcel = inbox.recv(None)?;
/// outbox.wait_taken(None)?;
/// # drop(parcel);
/// # Ok::<(), sendfd_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Outbox {
    pub(crate) held: Shared<HeldLink>,
}

impl Outbox {
    /// Connects to the inbox of a task for `signal`, and waits so long for the task to open it; `None`
    /// waits for ever, zero not at all.
    ///
    /// # Errors
    /// `ECONNREFUSED` it has no such inbox, and this was not to wait; `ETIMEDOUT` it had none in time, or
    /// too many others waited to be accepted; `EAGAIN` the same without a wait; `ESRCH` there is no such
    /// task, or it ended meanwhile, which nothing tells of where it is known by an address alone; otherwise as [`send`](crate::send).
    pub fn open<'t>(
        target: impl Into<Target<'t>>,
        signal: Signal,
        timeout: Option<Duration>,
    ) -> Result<Outbox> {
        Outbox::open_with(target.into(), signal, timeout, false)
    }

    /// The same; a signal handler ends the wait with `EINTR`.
    ///
    /// # Errors
    /// As [`Outbox::open`]; `EINTR`.
    pub fn open_interruptible<'t>(
        target: impl Into<Target<'t>>,
        signal: Signal,
        timeout: Option<Duration>,
    ) -> Result<Outbox> {
        Outbox::open_with(target.into(), signal, timeout, true)
    }

    fn open_with(
        target: Target<'_>,
        signal: Signal,
        timeout: Option<Duration>,
        interruptible: bool,
    ) -> Result<Outbox> {
        let _uncancelled = Uncancelled::begin();
        let call = Call::OutboxOpen { to: target.into(), signo: signal.number(), timeout };
        HeldLink::open(target, signal, Deadline::after(timeout), interruptible)
            .and_then(|held| Ok(Outbox { held: Shared::new(held)? }))
            .map_err(error::of(call))
    }

    /// Queues a parcel, all of it or nothing, and waits for room as long as its timeout says.
    ///
    /// The descriptors stay the caller's. Success means that the kernel holds the parcel in the
    /// receiver's queue; [`wait_taken`](Outbox::wait_taken) tells when it has been taken.
    ///
    /// # Errors
    /// `EPIPE` the inbox is closed or its process is dead; `EAGAIN` its queue is full; `ETIMEDOUT` it was
    /// still full at the deadline; `EINVAL`, `EBADF`, `EMSGSIZE`, `ETOOMANYREFS`, `ENOMEM`, `ENOBUFS`,
    /// `EINTR` as for [`Outgoing::send`]; `EPERM` opened before a fork, or turned away as a guest.
    pub fn send(&self, parcel: Outgoing<'_>) -> Result<()> {
        let _uncancelled = Uncancelled::begin();
        let deadline = Deadline::after(parcel.timeout);
        self.held
            .check()
            .and_then(|()| parcel.message())
            .and_then(|message| self.held.queue(&message, deadline, parcel.interruptible))
            .map_err(|errno| error::of(self.call_with(&parcel, false))(errno))
    }

    /// Waits until the receiver has taken everything that was sent through this outbox; `None`: for ever.
    ///
    /// "Taken" means: out of the queue and in that process's hands, or discarded by it on purpose. It
    /// does not mean: used. Where nothing was sent, everything has been taken.
    ///
    /// # Errors
    /// `EAGAIN` not yet, with a timeout of zero; `ETIMEDOUT` not before the deadline; `ECONNRESET` the
    /// inbox was closed or its process died with something untaken, which the kernel has released; `EINTR`
    /// a signal handler ran; `EMFILE`, `ENFILE` no descriptor left to wait with; `ENOMEM`,
    /// `ENOBUFS`; `ENOTTY` the kernel does not tell how much is unread; `EPERM` opened before a fork.
    pub fn wait_taken(&self, timeout: Option<Duration>) -> Result<()> {
        let _uncancelled = Uncancelled::begin();
        self.held
            .check()
            .and_then(|()| taken::wait(&self.held, Deadline::after(timeout)))
            .map_err(error::of(taken::call(&self.held, timeout)))
    }

    /// The same for an event loop: what is to be watched, and asked whenever it polls readable.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`, `ENOMEM`, `EPERM` as for [`wait_taken`](Outbox::wait_taken).
    pub fn watch_taken(&self) -> Result<TakenWatch> {
        let _uncancelled = Uncancelled::begin();
        self.held
            .check()
            .and_then(|()| TakenWatch::new(&self.held))
            .map_err(error::of(taken::call(&self.held, None)))
    }

    /// What [`fileno`](Outbox::fileno) is to be polled for after `EAGAIN`: [`Awaited::Readable`] for a guest
    /// that the receiver has not let in yet.
    #[must_use]
    pub fn awaited(&self) -> Awaited {
        self.held.link().awaited()
    }

    /// The descriptor that polls writable while there is room in the receiver's queue, and hangs up with
    /// the receiver.
    ///
    /// # Errors
    /// `EPERM`: opened before a fork. `EBADF`: the program has closed it.
    pub fn fileno(&self) -> Result<RawFd> {
        let number = || self.held.check().and_then(|()| self.held.link().number_if_intact());
        number().map_err(error::of(taken::call(&self.held, None)))
    }

    /// The signal of the inbox that it leads to.
    #[must_use]
    pub fn signal(&self) -> Signal {
        self.held.signal
    }

    pub(crate) fn call_with(&self, parcel: &Outgoing<'_>, request: bool) -> Call {
        let (nfds, len) = parcel.counts();
        let HeldLink { to, signal, .. } = *self.held;
        let (signo, timeout, inherited) =
            (signal.number(), parcel.timeout, self.held.is_inherited());
        Call::Outbox { to, signo, nfds, len, timeout, request, inherited }
    }
}

/// Polls writable while there is room in the receiver's queue, and hangs up with the receiver. It stays
/// the outbox's: nothing else is to be done with it.
impl AsFd for Outbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.held.as_fd()
    }
}

impl AsRawFd for Outbox {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::signal::Interruptions;
    use crate::{QuietInbox, Task};

    /// C waits on, whatever signals come.
    #[test]
    fn a_signal_ends_a_wait_where_it_may() {
        let signal = Signal::new(46).expect("a real-time signal");
        let (us, long) = (Task::this_process(), Some(Duration::from_secs(30)));
        let interruptions = Interruptions::of_this_thread();
        let opened = Outbox::open_interruptible(us, signal, long).map(drop);
        assert_eq!(opened.map_err(|error| error.errno()), Err(libc::EINTR));
        let short = Some(Duration::from_millis(100));
        let opened = Outbox::open(us, signal, short).map(drop);
        assert_eq!(opened.map_err(|error| error.errno()), Err(libc::ETIMEDOUT));
        let inbox = QuietInbox::open(signal).expect("opens");
        let outbox = Outbox::open(us, signal, long).expect("opens");
        let parcel = Outgoing::from_raw(&[]);
        let fill = |send: &dyn Fn() -> Result<()>| {
            (0..100_000).find_map(|_| send().err()).map(|error| error.errno())
        };
        assert_eq!(fill(&|| outbox.send(parcel)), Some(libc::EAGAIN));
        assert_eq!(fill(&|| parcel.send(us, signal)), Some(libc::EAGAIN));
        let sends = |timeout| {
            let parcel = parcel.timeout(timeout);
            let ways = [parcel, parcel.interruptible()];
            ways.map(|parcel| [outbox.send(parcel), parcel.send(us, signal)])
        };
        let errnos = sends(short).map(|ways| ways.map(|sent| sent.map_err(|error| error.errno())));
        assert_eq!(errnos, [[Err(libc::ETIMEDOUT); 2], [Err(libc::EINTR); 2]]);
        drop((interruptions, inbox));
    }

    #[test]
    fn it_tells_where_it_leads_and_what_to_poll() {
        let signal = Signal::new(42).expect("a real-time signal");
        let inbox = QuietInbox::open(signal).expect("opens");
        let address = inbox.address().expect("ours");
        // The address alone says the number.
        let outbox = Outbox::open(address, Signal::DEFAULT, None).expect("opens");
        assert_eq!(outbox.signal(), signal);
        assert_eq!(outbox.awaited(), Awaited::Writable);
        assert_eq!(outbox.fileno(), Ok(outbox.as_raw_fd()));
        assert_eq!(outbox.as_fd().as_raw_fd(), outbox.as_raw_fd());
        let watch = outbox.watch_taken().expect("memory");
        assert_eq!(watch.as_fd().as_raw_fd(), watch.as_raw_fd());
        assert_ne!(watch.as_raw_fd(), outbox.as_raw_fd());
    }
}
