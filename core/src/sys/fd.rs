//! Descriptors that the library keeps for itself.

use super::{Errno, Result, check, fork};
use std::mem::{ManuallyDrop, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// A descriptor of the library's own: close-on-exec, and closed in every forked child.
#[derive(Debug)]
pub(crate) struct PrivateFd(ManuallyDrop<OwnedFd>);

impl PrivateFd {
    /// Owns what `make` opens, under the lowest free number.
    pub(crate) fn new(make: impl FnOnce() -> Result<OwnedFd>) -> Result<PrivateFd> {
        fork::enlist(make).map(|fd| PrivateFd(ManuallyDrop::new(fd)))
    }

    /// Owns both that `make` opens.
    pub(crate) fn pair(
        make: impl FnOnce() -> Result<(OwnedFd, OwnedFd)>,
    ) -> Result<(PrivateFd, PrivateFd)> {
        let own = |fd| PrivateFd(ManuallyDrop::new(fd));
        fork::enlist_pair(make).map(|(one, other)| (own(one), own(other)))
    }

    /// The same under a high number, so that the low ones stay the program's: a received descriptor
    /// gets the number that the program expects, and `select` keeps working.
    pub(crate) fn new_out_of_the_way(make: impl FnOnce() -> Result<OwnedFd>) -> Result<PrivateFd> {
        PrivateFd::new(|| make().map(lift))
    }
}

impl PrivateFd {
    /// Whether it is known to be what it was: the program may have closed it.
    pub(crate) fn is_intact(&self) -> bool {
        fork::is_ours(self.as_raw_fd())
    }

    /// The program has closed this number behind our back: it is the program's now.
    pub(crate) fn disown(&self) {
        fork::disown(self.as_raw_fd());
    }
}

impl AsFd for PrivateFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for PrivateFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Drop for PrivateFd {
    fn drop(&mut self) {
        // SAFETY: taken once, here; nothing uses the field afterwards.
        fork::discharge(unsafe { ManuallyDrop::take(&mut self.0) });
    }
}

/// Moves a descriptor to a number from 1024 up, or from half of the limit up where that is lower;
/// leaves it where it is when there is no room.
fn lift(fd: OwnedFd) -> OwnedFd {
    let base = lifted_base();
    if fd.as_raw_fd() >= base {
        return fd;
    }
    // SAFETY: a borrowed descriptor and a plain number.
    let lifted = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, base) };
    if lifted < 0 {
        return fd;
    }
    // SAFETY: a new descriptor that nobody else owns.
    unsafe { OwnedFd::from_raw_fd(lifted) }
}

fn lifted_base() -> RawFd {
    let mut limit = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: the pointer is to a struct that the call fills.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, limit.as_mut_ptr()) } != 0 {
        return 0;
    }
    // SAFETY: filled by the successful call above.
    let limit = unsafe { limit.assume_init() }.rlim_cur;
    RawFd::try_from((limit / 2).min(1024)).unwrap_or(0)
}

/// `fcntl(F_DUPFD_CLOEXEC)`, for a caller outside the library.
pub(crate) fn duplicate(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    // SAFETY: a borrowed descriptor and a plain number.
    let copy = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 0) })?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// A descriptor that is known by its number alone, for system calls, which look at what is there.
pub(crate) fn named(number: RawFd) -> Result<BorrowedFd<'static>> {
    if number < 0 {
        return Err(Errno(libc::EBADF));
    }
    // SAFETY: not -1. That it stays open is asked of the caller; where it does not, a system call finds
    // another descriptor or none, as with every number.
    Ok(unsafe { BorrowedFd::borrow_raw(number) })
}

/// Whether one more descriptor could be opened.
pub(crate) fn table_has_room(any: BorrowedFd<'_>) -> bool {
    fork::undisturbed(|| duplicate(any).is_ok())
}

/// The numbers of borrowed descriptors.
pub(crate) fn numbers<'a>(fds: &'a [BorrowedFd<'_>]) -> &'a [RawFd] {
    // SAFETY: BorrowedFd is a transparent wrapper of RawFd, and its numbers stay open for 'a.
    unsafe { std::slice::from_raw_parts(fds.as_ptr().cast::<RawFd>(), fds.len()) }
}

/// What `poll` is asked about one descriptor.
#[derive(Clone, Copy)]
pub(crate) enum Awaited {
    Writable,
    Readable,
}

/// Waits until one of `fds` is as awaited or hung up, or `timeout_ms` (-1: for ever) has passed.
pub(crate) fn poll<const N: usize>(
    fds: [(BorrowedFd<'_>, Awaited); N],
    timeout_ms: i32,
) -> Result<[i16; N]> {
    let mut polled = fds.map(|(fd, awaited)| libc::pollfd {
        fd: fd.as_raw_fd(),
        events: match awaited {
            Awaited::Writable => libc::POLLOUT,
            Awaited::Readable => libc::POLLIN,
        },
        revents: 0,
    });
    let count = libc::nfds_t::try_from(N).map_err(|_| Errno(libc::EINVAL))?;
    // SAFETY: the array has N entries.
    check(unsafe { libc::poll(polled.as_mut_ptr(), count, timeout_ms) })?;
    Ok(polled.map(|entry| entry.revents))
}

/// Whether the other end of a socket is closed.
pub(crate) fn has_hung_up(socket: BorrowedFd<'_>) -> bool {
    matches!(poll([(socket, Awaited::Readable)], 0),
        Ok([seen]) if seen & (libc::POLLHUP | libc::POLLERR) != 0)
}

/// Whether the number is open at all.
pub(crate) fn is_open(fd: BorrowedFd<'_>) -> bool {
    !matches!(poll([(fd, Awaited::Readable)], 0), Ok([seen]) if seen & libc::POLLNVAL != 0)
}
