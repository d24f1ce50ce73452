//! The two kinds of inbox, with their thread rule in the type.

use super::mailbox::Mailbox;
use super::options::Options;
use crate::error::Result;
use crate::signal::Signal;
use std::marker::PhantomData;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

/// An inbox that queues real-time signals to the thread that opened it, and stays with that thread.
///
/// ```
/// use sendfd_core::{Inbox, Signal, Task, send};
/// use std::time::Duration;
///
/// let signal = Signal::new(52)?;
/// let inbox = Inbox::open(signal)?;
/// send(Task::this_process(), signal, std::io::stdout())?;
/// let (fd, info, _) = inbox.recv_one(Some(Duration::from_secs(1)))?;
/// assert_eq!(info.signo, 52);
/// # drop(fd);
/// # Ok::<(), sendfd_core::Error>(())
/// ```
///
/// ```compile_fail
/// fn moved_elsewhere<T: Send>(_: T) {}
/// moved_elsewhere(sendfd_core::Inbox::open(sendfd_core::Signal::DEFAULT));
/// ```
#[derive(Debug)]
pub struct Inbox {
    mailbox: Mailbox,
    not_send: PhantomData<*const ()>,
}

impl Inbox {
    /// Addressed by the id of this process.
    ///
    /// # Errors
    /// As [`Mailbox::open`].
    pub fn open(signal: Signal) -> Result<Inbox> {
        Inbox::with(signal, false)
    }

    /// Addressed by the id of the calling thread.
    ///
    /// # Errors
    /// As [`Mailbox::open`].
    pub fn open_thread(signal: Signal) -> Result<Inbox> {
        Inbox::with(signal, true)
    }

    fn with(signal: Signal, thread: bool) -> Result<Inbox> {
        let options = Options { thread, signals: true, ..Options::default() };
        let mailbox = Mailbox::open(signal, options)?;
        Ok(Inbox { mailbox, not_send: PhantomData })
    }
}

impl Deref for Inbox {
    type Target = Mailbox;
    fn deref(&self) -> &Mailbox {
        &self.mailbox
    }
}

/// The descriptor that polls readable while there is mail.
impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.mailbox.as_fd()
    }
}

/// The descriptor that polls readable while there is mail.
impl AsRawFd for Inbox {
    fn as_raw_fd(&self) -> RawFd {
        self.mailbox.as_raw_fd()
    }
}

/// An inbox without signals: it touches no mask, and any number of threads may use it at once.
///
/// Its descriptor can be a member of any event loop, such as tokio's by `AsyncFd<QuietInbox>`; see
/// `examples/rust/worker_tokio.rs`.
///
/// ```
/// use sendfd_core::{QuietInbox, Signal};
///
/// let inbox = QuietInbox::open(Signal::new(53)?)?;
/// std::thread::scope(|scope| {
///     scope.spawn(|| assert_eq!(inbox.recv(None).map_err(|e| e.errno()).err(), Some(libc::EBADF)));
///     inbox.shutdown()
/// })?;
/// # Ok::<(), sendfd_core::Error>(())
/// ```
#[derive(Debug)]
pub struct QuietInbox {
    mailbox: Mailbox,
}

impl QuietInbox {
    /// Addressed by the id of this process.
    ///
    /// # Errors
    /// As [`Mailbox::open`].
    pub fn open(signal: Signal) -> Result<QuietInbox> {
        QuietInbox::with(signal, false)
    }

    /// Addressed by the id of the calling thread.
    ///
    /// # Errors
    /// As [`Mailbox::open`].
    pub fn open_thread(signal: Signal) -> Result<QuietInbox> {
        QuietInbox::with(signal, true)
    }

    fn with(signal: Signal, thread: bool) -> Result<QuietInbox> {
        let options = Options { thread, ..Options::default() };
        Ok(QuietInbox { mailbox: Mailbox::open(signal, options)? })
    }
}

impl Deref for QuietInbox {
    type Target = Mailbox;
    fn deref(&self) -> &Mailbox {
        &self.mailbox
    }
}

/// The descriptor that polls readable while there is mail.
impl AsFd for QuietInbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.mailbox.as_fd()
    }
}

/// The descriptor that polls readable while there is mail.
impl AsRawFd for QuietInbox {
    fn as_raw_fd(&self) -> RawFd {
        self.mailbox.as_raw_fd()
    }
}
