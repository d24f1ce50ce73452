//! Errors that print like strace: the call, its arguments, the errno, and what it means here.

use crate::address::Address;
use crate::parcel::Info;
use crate::sys::Errno;
use std::fmt;
use std::os::fd::RawFd;
use std::time::Duration;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A call that failed. Whatever it was given is still the caller's; nothing is lost.
///
/// ```
/// let error = sendfd_core::Task::new(-1).unwrap_err();
/// assert_eq!(error.errno(), libc::EINVAL);
/// assert_eq!(error.name(), "EINVAL");
/// assert_eq!(error.to_string(), "task(-1) = -EINVAL (an id is greater than 0)");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Error {
    call: Call,
    errno: i32,
    parcel: Option<Info>,
}

/// A call and its arguments, as far as they are worth telling.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Call {
    Signal {
        number: i32,
    },
    Task {
        id: i32,
    },
    Address,
    AddressOf {
        signo: i32,
    },
    Pidfd {
        number: RawFd,
    },
    Send {
        to: To,
        signo: i32,
        fd: RawFd,
    },
    SendMany {
        to: To,
        signo: i32,
        nfds: usize,
        len: usize,
        timeout: Option<Duration>,
    },
    Room {
        to: To,
        signo: i32,
    },
    Open {
        signo: i32,
        thread: bool,
        signals: bool,
    },
    Receive {
        signo: i32,
        timeout: Option<Duration>,
    },
    Claim {
        signo: i32,
        si_signo: i32,
        si_fd: RawFd,
    },
    Discard {
        signo: i32,
        id: u64,
    },
    Shutdown {
        signo: i32,
    },
    Reply {
        reply: RawFd,
        nfds: usize,
        len: usize,
    },
    OutboxOpen {
        to: To,
        signo: i32,
        timeout: Option<Duration>,
    },
    Outbox {
        to: To,
        signo: i32,
        nfds: usize,
        len: usize,
        timeout: Option<Duration>,
        request: bool,
        /// It was opened before a fork.
        inherited: bool,
    },
    WaitTaken {
        to: To,
        signo: i32,
        timeout: Option<Duration>,
    },
    Answer {
        signo: i32,
        timeout: Option<Duration>,
    },
}

/// A target, as it was named.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum To {
    Task(i32),
    Pidfd(RawFd),
    Address(Address),
}

impl Error {
    pub(crate) fn new(call: Call, errno: i32) -> Error {
        Error { call, errno, parcel: None }
    }

    pub(crate) fn of_parcel(call: Call, errno: i32, parcel: Option<Info>) -> Error {
        Error { call, errno, parcel }
    }

    /// The error number, positive.
    #[must_use]
    pub fn errno(&self) -> i32 {
        self.errno
    }

    /// The symbol of the error number, such as `"ECONNREFUSED"`; `"E?"` for one that no call of
    /// this crate is known to give.
    #[must_use]
    pub fn name(&self) -> &'static str {
        SYMBOLS.iter().find(|(errno, _)| *errno == self.errno).map_or("E?", |(_, name)| name)
    }

    /// The name of the call that failed, as C spells it.
    #[must_use]
    pub fn call(&self) -> &'static str {
        match self.call {
            Call::Signal { .. } => "signal",
            Call::Task { .. } => "task",
            Call::Address => "address",
            Call::AddressOf { .. } => "sendfd_inbox_address",
            Call::Pidfd { .. } => "pidfd",
            Call::Send { to: To::Task(_) | To::Address(_), .. } => "sendfd",
            Call::Send { to: To::Pidfd(_), .. } => "sendfd_pidfd",
            Call::SendMany { .. } => "sendfds",
            Call::Room { .. } => "sendfd_room",
            Call::Open { .. } => "sendfd_inbox_open",
            Call::Receive { .. } => "sendfd_recv",
            Call::Claim { .. } => "sendfd_claim",
            Call::Discard { .. } => "sendfd_discard",
            Call::Shutdown { .. } => "sendfd_inbox_shutdown",
            Call::Reply { .. } => "sendfd_reply",
            Call::OutboxOpen { to: To::Address(_), .. } => "sendfd_outbox_open_address",
            Call::OutboxOpen { .. } => "sendfd_outbox_open",
            Call::Outbox { request: false, .. } => "sendfd_outbox_send",
            Call::Outbox { request: true, .. } => "sendfd_outbox_request",
            Call::WaitTaken { .. } => "sendfd_outbox_wait_taken",
            Call::Answer { .. } => "sendfd_answer",
        }
    }

    /// What is known of the parcel that could not be taken and is kept, for
    /// [`discard`](crate::Mailbox::discard): after `EMSGSIZE` and `EACCES`, and after `EMFILE` and
    /// `ENFILE` unless there was no room for a sender's connection.
    #[must_use]
    pub fn parcel(&self) -> Option<Info> {
        self.parcel
    }

    fn meaning(&self) -> Option<&'static str> {
        let sending = matches!(
            self.call,
            Call::Send { .. }
                | Call::SendMany { .. }
                | Call::Room { .. }
                | Call::Reply { .. }
                | Call::OutboxOpen { .. }
                | Call::Outbox { .. }
        );
        Some(match (self.errno, self.call) {
            (libc::EINVAL, Call::Signal { .. }) => "not a real-time signal number",
            (libc::EINVAL, Call::Task { .. }) => "an id is greater than 0",
            (libc::EINVAL, Call::Address) => "no address of an inbox",
            (libc::EINVAL | libc::ENOTSOCK, Call::Reply { .. }) => {
                "at most 252 descriptors, of a kind that the kernel passes, to where an answer is awaited"
            }
            (libc::EINVAL, _) if sending => {
                "at most 252 descriptors, of a kind that the kernel passes"
            }
            (libc::EINVAL, Call::Claim { .. }) => "neither the inbox's signal nor SIGIO",
            (libc::EBADF, Call::Pidfd { .. }) => "no descriptor has a negative number",
            (libc::EBADF, _) if sending => "a descriptor is not open",
            (libc::EBADF, _) => "the inbox is closed",
            (libc::EMSGSIZE, Call::Outbox { request: true, .. }) => {
                "more than 65536 bytes, or the answer does not fit"
            }
            (libc::EMSGSIZE, _) if sending => "more than 65536 bytes",
            (libc::EMSGSIZE, _) => "the parcel does not fit and is kept",
            (libc::ESRCH, _) => "no such process or thread",
            (libc::ECONNREFUSED, _) => {
                "it has no inbox for this signal number that can be reached from here"
            }
            (libc::EPIPE, Call::Outbox { .. }) => "its inbox is closed, or its process is dead",
            (libc::ECONNRESET, Call::WaitTaken { .. }) => "it went with something untaken",
            (libc::ECONNRESET, Call::Outbox { .. } | Call::Answer { .. }) => {
                "there will be no answer"
            }
            (libc::EAGAIN, Call::WaitTaken { .. }) => "not yet",
            (libc::ETIMEDOUT, Call::WaitTaken { .. }) => "not in time",
            (libc::EAGAIN | libc::ETIMEDOUT, Call::Outbox { request: true, .. }) => {
                "no room for the request, or no answer in time"
            }
            (libc::ETIMEDOUT, Call::OutboxOpen { .. }) => "it had no inbox in time",
            (
                libc::EPERM,
                Call::Outbox { inherited: true, .. }
                | Call::WaitTaken { .. }
                | Call::Answer { .. }
                | Call::AddressOf { .. }
                | Call::Shutdown { .. },
            ) => "opened before a fork",
            (libc::EPIPE, Call::Reply { .. }) => "the asker is gone, or has its answer",
            (libc::EAGAIN, Call::Reply { .. }) => "no room for the answer",
            (libc::EPERM, _) if sending => "not allowed to signal it, and no guest of it",
            (libc::EPERM, Call::Open { .. }) => "refused by the kernel",
            (libc::EPERM, _) => "opened by another thread, or before a fork",
            (libc::EAGAIN, _) if sending => {
                "its queue is full, or it has not let in this guest yet"
            }
            (libc::EAGAIN, Call::Discard { .. }) => "it has been taken or discarded meanwhile",
            (libc::EAGAIN, _) => "nothing there",
            (libc::ETIMEDOUT, _) if sending => "its queue stayed full",
            (libc::ETIMEDOUT, _) => "nothing came in time",
            (libc::ETOOMANYREFS, _) => "too many descriptors of this user are in flight",
            (libc::EMFILE | libc::ENFILE, Call::Receive { .. } | Call::Claim { .. }) => {
                "no room for the parcel's descriptors; it is kept"
            }
            (libc::EACCES, Call::Receive { .. } | Call::Claim { .. }) => {
                "not allowed to receive one of the parcel's descriptors; it is kept"
            }
            (libc::EMFILE | libc::ENFILE, _) => "no descriptor left",
            (
                libc::EOPNOTSUPP,
                Call::OutboxOpen { to: To::Address(_), .. }
                | Call::Send { to: To::Address(_), .. }
                | Call::SendMany { to: To::Address(_), .. },
            ) => {
                "who listens there cannot be proven, or the thread has a descriptor table of its own"
            }
            (libc::EOPNOTSUPP, _) => "the calling thread has a descriptor table of its own",
            (libc::EADDRINUSE, _) => {
                "there is an inbox for this signal number already, or its name is taken"
            }
            (libc::EINTR, _) => "a signal handler ran",
            (libc::EPROTO, _) => "a peer speaks another protocol version",
            _ => return None,
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.call())?;
        match self.call {
            Call::Signal { number } | Call::Pidfd { number } => write!(f, "{number}")?,
            Call::Task { id } => write!(f, "{id}")?,
            Call::Address => {}
            Call::Send { to, signo, fd } => write!(f, "{to}, {signo}, {fd}")?,
            Call::SendMany { to, signo, nfds, len, timeout }
            | Call::Outbox { to, signo, nfds, len, timeout, .. } => {
                write!(f, "{to}, {signo}, [{nfds} fds], [{len} bytes], {}", Shown(timeout))?;
            }
            Call::Room { to, signo } => write!(f, "{to}, {signo}")?,
            Call::Open { signo, thread, signals } => {
                let flags = match (thread, signals) {
                    (false, true) => "0",
                    (true, true) => "SENDFD_INBOX_THREAD",
                    (false, false) => "SENDFD_INBOX_NOSIGNAL",
                    (true, false) => "SENDFD_INBOX_THREAD|SENDFD_INBOX_NOSIGNAL",
                };
                write!(f, "{signo}, {flags}")?;
            }
            Call::Receive { signo, timeout } | Call::Answer { signo, timeout } => {
                write!(f, "{signo}, {}", Shown(timeout))?;
            }
            Call::Claim { signo, si_signo, si_fd } => {
                write!(f, "{signo}, {{si_signo={si_signo}, si_fd={si_fd}}}")?;
            }
            Call::Discard { signo, id } => write!(f, "{signo}, {{id={id}}}")?,
            Call::Shutdown { signo } | Call::AddressOf { signo } => write!(f, "{signo}")?,
            Call::OutboxOpen { to, signo, timeout } | Call::WaitTaken { to, signo, timeout } => {
                write!(f, "{to}, {signo}, {}", Shown(timeout))?;
            }
            Call::Reply { reply, nfds, len } => {
                write!(f, "{reply}, [{nfds} fds], [{len} bytes]")?;
            }
        }
        match self.name() {
            "E?" => write!(f, ") = -{}", self.errno)?,
            name => write!(f, ") = -{name}")?,
        }
        self.meaning().map_or(Ok(()), |meaning| write!(f, " ({meaning})"))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for To {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            To::Task(id) => write!(f, "{id}"),
            To::Pidfd(fd) => write!(f, "pidfd {fd}"),
            To::Address(address) => write!(f, "{address}"),
        }
    }
}

struct Shown(Option<Duration>);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(timeout) => write!(f, "{timeout:?}"),
            None => f.write_str("no timeout"),
        }
    }
}

impl std::error::Error for Error {}

/// Keeps the kind; the text of this error becomes its source.
impl From<Error> for std::io::Error {
    fn from(error: Error) -> std::io::Error {
        let kind = std::io::Error::from_raw_os_error(error.errno).kind();
        std::io::Error::new(kind, error)
    }
}

/// Turns the errno of a system call into the error of a call of this crate.
pub(crate) fn of(call: Call) -> impl Fn(Errno) -> Error {
    move |errno| Error::new(call, errno.0)
}

macro_rules! symbols {
    ($($name:ident)*) => { &[$((libc::$name, stringify!($name))),*] };
}

const SYMBOLS: &[(i32, &str)] = symbols! {
    EINVAL EBADF EMSGSIZE ESRCH ECONNREFUSED EPERM EAGAIN ETIMEDOUT ETOOMANYREFS EMFILE ENFILE
    EADDRINUSE EINTR EPROTO EACCES ENOMEM ENOBUFS ENOSPC ENOSYS ENOENT EIO EFAULT EPIPE ECONNRESET
    ENOTCONN ENAMETOOLONG EAFNOSUPPORT EPROTONOSUPPORT ENOPROTOOPT EOPNOTSUPP EADDRNOTAVAIL ENODATA
};

#[cfg(test)]
mod tests {
    use super::*;

    /// The same number for two reasons.
    #[test]
    fn a_guest_is_not_told_of_a_fork() {
        let outbox = |inherited| Call::Outbox {
            to: To::Task(7),
            signo: 50,
            nfds: 0,
            len: 0,
            timeout: None,
            request: false,
            inherited,
        };
        let text = |inherited| Error::new(outbox(inherited), libc::EPERM).to_string();
        assert!(text(true).ends_with("= -EPERM (opened before a fork)"), "{}", text(true));
        assert!(text(false).ends_with("(not allowed to signal it, and no guest of it)"));
    }
}
