//! epoll: the level-triggered truth about which sockets have something for us.

use super::{Errno, Result, check, fd};
use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Room for the answers of one wait.
pub(crate) struct Ready {
    /// The first `len` are filled.
    events: [MaybeUninit<libc::epoll_event>; Ready::MOST],
    len: usize,
}

impl Ready {
    /// How many descriptors one wait reports at most.
    pub(crate) const MOST: usize = 64;

    pub(crate) fn new() -> Ready {
        Ready { events: [const { MaybeUninit::uninit() }; Ready::MOST], len: 0 }
    }

    /// The numbers of the descriptors that are readable or hung up.
    pub(crate) fn iter(&self) -> impl Iterator<Item = RawFd> + '_ {
        #[allow(clippy::cast_possible_truncation, reason = "it is the number that was registered")]
        self.events[..self.len].iter().map(|event| {
            // SAFETY: among the first `len`, which the kernel has filled.
            unsafe { event.assume_init_ref() }.u64 as RawFd
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether there may be more than these.
    pub(crate) fn is_full(&self) -> bool {
        self.len == Ready::MOST
    }
}

/// `epoll_create1(EPOLL_CLOEXEC)`.
pub(crate) fn create() -> Result<OwnedFd> {
    // SAFETY: takes no pointers.
    let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Watches `fd` for reading and hang-up; it will be reported by its number.
pub(crate) fn add(epoll: BorrowedFd<'_>, fd: BorrowedFd<'_>) -> Result<()> {
    add_for(epoll, fd, libc::EPOLLIN | libc::EPOLLRDHUP)
}

fn add_for(epoll: BorrowedFd<'_>, fd: BorrowedFd<'_>, events: c_int) -> Result<()> {
    let mut event = event(fd.as_raw_fd(), events);
    // SAFETY: the event is valid for the call; both descriptors are borrowed.
    let added = unsafe {
        libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd.as_raw_fd(), &raw mut event)
    };
    check(added).map(drop)
}

/// Watches `fd` for every further moment at which it has become writable, and for hang-up.
///
/// KERNEL: on a connected `AF_UNIX` socket, each message that the peer consumes is such a moment, unless
/// too many others are still queued; the last one always is.
pub(crate) fn add_each_writable(epoll: BorrowedFd<'_>, fd: BorrowedFd<'_>) -> Result<()> {
    add_for(epoll, fd, libc::EPOLLOUT | libc::EPOLLET)
}

/// Whether the number `set` is an epoll set that has what the number `member` stands for, under that
/// number.
///
/// KERNEL: a member is a number and an open file; it is out of the set once the file is closed.
pub(super) fn has(set: RawFd, member: RawFd) -> bool {
    let mut event = event(member, libc::EPOLLIN | libc::EPOLLRDHUP);
    // SAFETY: the event is valid for the call, which changes nothing: it is what `add` has said.
    let found = unsafe { libc::epoll_ctl(set, libc::EPOLL_CTL_MOD, member, &raw mut event) };
    match check(found) {
        Ok(_) => true,
        // A filter in front of the kernel does not let us ask. KERNEL: EPERM is said of a file that cannot
        // be polled, too.
        Err(Errno(libc::EPERM | libc::ENOSYS)) => may_have(set, member),
        Err(_) => false,
    }
}

fn may_have(set: RawFd, member: RawFd) -> bool {
    fd::file_type(set) == Some(0) && matches!(fd::file_type(member), Some(0 | libc::S_IFSOCK))
}

#[allow(clippy::cast_sign_loss, reason = "flags, and a valid descriptor is not negative")]
fn event(fd: RawFd, events: c_int) -> libc::epoll_event {
    libc::epoll_event { events: events as u32, u64: fd as u64 }
}

/// Stops watching `fd`. `false`: it was not watched, or its number means something else by now.
///
/// KERNEL: closing is not enough where a forked child still holds the same socket.
pub(crate) fn remove(epoll: BorrowedFd<'_>, fd: BorrowedFd<'_>) -> bool {
    let (set, member) = (epoll.as_raw_fd(), fd.as_raw_fd());
    // SAFETY: DEL takes no event; both descriptors are borrowed.
    unsafe { libc::epoll_ctl(set, libc::EPOLL_CTL_DEL, member, std::ptr::null_mut()) == 0 }
}

/// Waits at most `timeout_ms` (-1: for ever, 0: not at all) and reports what is ready.
pub(crate) fn wait(epoll: BorrowedFd<'_>, ready: &mut Ready, timeout_ms: c_int) -> Result<()> {
    ready.len = 0;
    #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "64 fits")]
    // SAFETY: the array has room for MOST events.
    let found = check(unsafe {
        libc::epoll_wait(
            epoll.as_raw_fd(),
            ready.events.as_mut_ptr().cast(),
            Ready::MOST as c_int,
            timeout_ms,
        )
    })?;
    #[allow(clippy::cast_sign_loss, reason = "check() has sorted out the negative ones")]
    let found = found as usize;
    ready.len = found;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{eventfd, file, socket};

    #[test]
    fn a_set_may_have_what_can_be_polled() {
        let (set, own) = (create().expect("one"), eventfd::create().expect("one"));
        let (socket, _other) = socket::pair().expect("two");
        let file = file::open(c"/proc/self/exe").expect("it is there");
        let may =
            |set: &dyn AsRawFd, member: &dyn AsRawFd| may_have(set.as_raw_fd(), member.as_raw_fd());
        assert!(may(&set, &own) && may(&set, &socket));
        assert!(!may(&set, &file) && !may_have(set.as_raw_fd(), -1));
        assert!(!may(&socket, &own) && !may(&file, &socket) && !may_have(-1, own.as_raw_fd()));
    }
}
