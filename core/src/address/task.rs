//! Whom a parcel is for.

use super::text::Address;
use crate::error::{Call, Error, Result};
use crate::signal::Signal;
use crate::sys::{Errno, fd, ids};
use std::os::fd::{AsFd, BorrowedFd, RawFd};

/// The id of a process or of a single thread, as the sender's pid namespace numbers it. Never 0 or
/// negative: what `kill` takes for groups cannot be said.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Task(i32);

impl Task {
    /// The task of that id. Whether there is one is seen at the send.
    ///
    /// # Errors
    /// `EINVAL`: the id is 0 or negative.
    #[inline]
    pub fn new(id: i32) -> Result<Task> {
        if id > 0 { Ok(Task(id)) } else { Err(Error::new(Call::Task { id }, libc::EINVAL)) }
    }

    /// The calling process.
    #[must_use]
    pub fn this_process() -> Task {
        Task(ids::process())
    }

    /// The calling thread.
    #[must_use]
    pub fn this_thread() -> Task {
        Task(ids::thread())
    }

    /// Its id.
    #[must_use]
    pub const fn id(self) -> i32 {
        self.0
    }
}

/// Whom a parcel is for: a task by its id, or by a pidfd, which cannot come to mean another one; or an inbox
/// by its address, which need not be that of a visible task.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// A process or thread by its id.
    Task(Task),
    /// A process or thread by a pidfd.
    Pidfd(BorrowedFd<'a>),
    /// An inbox by its address. It names the signal number by itself: what else is said of that is not
    /// looked at.
    Address(Address),
}

impl Target<'_> {
    /// The signal number of the inbox, where `said` is what the caller says.
    pub(crate) fn signal(self, said: Signal) -> Signal {
        match self {
            Target::Address(address) => address.signal(),
            Target::Task(_) | Target::Pidfd(_) => said,
        }
    }

    /// By the number of a pidfd, which has to stay open while the target is used.
    ///
    /// # Errors
    /// `EBADF`: the number is negative. What else it may be is seen when it is used.
    ///
    /// ```
    /// use sendfd_core::{Outgoing, Signal, Target};
    ///
    /// assert_eq!(Target::pidfd(-1).unwrap_err().errno(), libc::EBADF);
    /// let no_pidfd = Target::pidfd(0)?;
    /// let refused = Outgoing::from_raw(&[0]).send(no_pidfd, Signal::DEFAULT);
    /// assert_eq!(refused.unwrap_err().errno(), libc::EINVAL);
    /// # Ok::<(), sendfd_core::Error>(())
    /// ```
    pub fn pidfd(number: RawFd) -> Result<Target<'static>> {
        fd::named(number)
            .map(Target::Pidfd)
            .map_err(|Errno(errno)| Error::new(Call::Pidfd { number }, errno))
    }
}

impl From<Task> for Target<'_> {
    fn from(task: Task) -> Self {
        Target::Task(task)
    }
}

impl From<Address> for Target<'_> {
    fn from(address: Address) -> Self {
        Target::Address(address)
    }
}

impl<'a, T: AsFd> From<&'a T> for Target<'a> {
    fn from(pidfd: &'a T) -> Self {
        Target::Pidfd(pidfd.as_fd())
    }
}

impl<'a> From<BorrowedFd<'a>> for Target<'a> {
    fn from(pidfd: BorrowedFd<'a>) -> Self {
        Target::Pidfd(pidfd)
    }
}
