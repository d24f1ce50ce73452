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
        Inbox::open_with(signal, Options::default())
    }

    /// Addressed by the id of the calling thread.
    ///
    /// # Errors
    /// As [`Mailbox::open`].
    pub fn open_thread(signal: Signal) -> Result<Inbox> {
        Inbox::open_with(signal, Options { thread: true, ..Options::default() })
    }

    /// With guests, a directory, or addressed by the id of the calling thread. It queues signals whatever
    /// [`Options::signals`] says.
    ///
    /// ```
    /// use sendfd_core::{Inbox, Options, Signal};
    ///
    /// let of_group = Options { gids: &[27], ..Options::default() };
    /// let inbox = Inbox::open_with(Signal::new(52)?, of_group)?;
    /// # Ok::<(), sendfd_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Mailbox::open`].
    pub fn open_with(signal: Signal, options: Options<'_>) -> Result<Inbox> {
        let mailbox = Mailbox::open(signal, Options { signals: true, ..options })?;
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
        QuietInbox::open_with(signal, Options::default())
    }

    /// Addressed by the id of the calling thread.
    ///
    /// # Errors
    /// As [`Mailbox::open`].
    pub fn open_thread(signal: Signal) -> Result<QuietInbox> {
        QuietInbox::open_with(signal, Options { thread: true, ..Options::default() })
    }

    /// With guests, a directory, or addressed by the id of the calling thread. It queues no signals whatever
    /// [`Options::signals`] says.
    ///
    /// ```
    /// use sendfd_core::{Options, QuietInbox, Signal};
    ///
    /// let nowhere_else = Options { directory: Some("".as_ref()), anyone: true, ..Options::default() };
    /// let inbox = QuietInbox::open_with(Signal::new(53)?, nowhere_else)?;
    /// # Ok::<(), sendfd_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Mailbox::open`].
    pub fn open_with(signal: Signal, options: Options<'_>) -> Result<QuietInbox> {
        Ok(QuietInbox { mailbox: Mailbox::open(signal, Options { signals: false, ..options })? })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fd::{Awaited, poll};
    use crate::{Outgoing, Task, send};
    use std::os::unix::fs::FileTypeExt;
    use std::time::Duration;
    use std::{env, fs};

    #[test]
    fn options_are_for_both_kinds() {
        let place = env::temp_dir().join(format!("sendfd-options-{}", std::process::id()));
        fs::create_dir(&place).expect("a new directory");
        // What is said of signals is not heeded.
        let options = |signals| Options {
            thread: true,
            signals,
            anyone: true,
            directory: Some(&place),
            ..Options::default()
        };
        let signal = Signal::new(58).expect("a real-time signal");
        let thread = Task::new(crate::sys::ids::thread()).expect("this one");
        let sockets = || {
            let entries =
                fs::read_dir(&place).expect("it is there").map(|entry| entry.expect("one"));
            entries.filter(|entry| entry.file_type().expect("known").is_socket()).count()
        };
        let inbox = Inbox::open_with(signal, options(false)).expect("opens");
        // One for guests, too.
        assert_eq!(sockets(), 2);
        send(thread, signal, std::io::stderr()).expect("sends");
        assert!(is_pending(signal));
        assert_eq!(inbox.recv(None).expect("is there").fds.len(), 1);
        drop(inbox);
        assert_eq!(sockets(), 0);

        let inbox = QuietInbox::open_with(signal, options(true)).expect("opens");
        assert_eq!(sockets(), 2);
        send(thread, signal, std::io::stderr()).expect("sends");
        assert!(!is_pending(signal));
        assert_eq!(inbox.recv(None).expect("is there").fds.len(), 1);
        drop(inbox);
        fs::remove_dir(&place).expect("nothing is left in it");
    }

    fn is_pending(signal: Signal) -> bool {
        let status = fs::read_to_string("/proc/thread-self/status").expect("it is there");
        let line = status.lines().find_map(|line| line.strip_prefix("SigPnd:")).expect("a line");
        let pending = u64::from_str_radix(line.trim(), 16).expect("hexadecimal");
        pending >> (signal.number() - 1) & 1 != 0
    }

    const NOW: Option<Duration> = Some(Duration::ZERO);

    fn is_reached(inbox: &Mailbox, task: Task) -> bool {
        let sent = Outgoing::from_raw(&[]).send(task, inbox.signal());
        let received = inbox.recv(NOW);
        assert_eq!(sent.is_ok(), received.is_ok(), "{sent:?}, {received:?}");
        sent.is_ok()
    }

    /// C says by flags what these types say.
    #[test]
    fn each_is_of_the_task_that_its_type_says() {
        let signal = |number| Signal::new(number).expect("a real-time signal");
        let in_a_thread = move || {
            let (process, thread) = (Task::this_process(), Task::this_thread());
            assert_ne!(process, thread);
            let inbox = Inbox::open(signal(39)).expect("opens");
            assert!(is_reached(&inbox, process) && !is_reached(&inbox, thread));
            let inbox = Inbox::open_thread(signal(40)).expect("opens");
            assert!(is_reached(&inbox, thread) && !is_reached(&inbox, process));
            let inbox = QuietInbox::open(signal(41)).expect("opens");
            assert!(is_reached(&inbox, process) && !is_reached(&inbox, thread));
            let inbox = QuietInbox::open_thread(signal(62)).expect("opens");
            assert!(is_reached(&inbox, thread) && !is_reached(&inbox, process));
        };
        std::thread::spawn(in_a_thread).join().expect("a thread");
    }

    /// Whether what an event loop polls is readable, by both of its traits.
    fn polls(inbox: &(impl AsFd + AsRawFd)) -> bool {
        assert_eq!(inbox.as_fd().as_raw_fd(), inbox.as_raw_fd());
        poll([(inbox.as_fd(), Awaited::Readable)], 0).expect("polls") != [0]
    }

    #[test]
    fn its_descriptor_polls_readable_while_there_is_mail() {
        let signal = Signal::new(38).expect("a real-time signal");
        let sends = || Outgoing::from_raw(&[]).send(Task::this_process(), signal).expect("sends");
        let inbox = Inbox::open(signal).expect("opens");
        assert!(!polls(&inbox) && !polls(&*inbox));
        assert_eq!(inbox.fileno(), Ok(inbox.as_raw_fd()));
        sends();
        assert!(polls(&inbox) && polls(&*inbox));
        inbox.recv(NOW).expect("it is there");
        drop(inbox);
        let inbox = QuietInbox::open(signal).expect("opens");
        assert!(!polls(&inbox));
        sends();
        assert!(polls(&inbox));
    }
}
