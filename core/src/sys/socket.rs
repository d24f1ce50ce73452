//! `AF_UNIX` sequenced-packet sockets: naming, connecting, accepting, asking who is there.

use super::fd::PrivateFd;
use super::{Errno, Result, check};
use std::ffi::{CStr, c_int, c_void};
use std::mem::{MaybeUninit, offset_of};
#[cfg(test)]
use std::os::fd::AsFd;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// KERNEL(6.5): a pidfd of the process that connected or listens. The libc crate has it not for
/// every architecture.
const SO_PEERPIDFD: c_int = 77;

/// Whether a call on the socket may wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Blocking {
    Yes,
    No,
}

/// `socket(AF_UNIX, SOCK_SEQPACKET)`.
pub(crate) fn create(blocking: Blocking) -> Result<OwnedFd> {
    let flags = match blocking {
        Blocking::Yes => libc::SOCK_CLOEXEC,
        Blocking::No => libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
    };
    // SAFETY: takes no pointers.
    let fd = check(unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_SEQPACKET | flags, 0) })?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The address of an abstract name, and its length.
fn abstract_address(name: &[u8]) -> Result<(libc::sockaddr_un, libc::socklen_t)> {
    address(1, name)
}

/// The address of a path, and its length.
fn path_address(path: &CStr) -> Result<(libc::sockaddr_un, libc::socklen_t)> {
    address(0, path.to_bytes_with_nul())
}

fn address(first: usize, text: &[u8]) -> Result<(libc::sockaddr_un, libc::socklen_t)> {
    let mut address = libc::sockaddr_un { sun_family: 0, sun_path: [0; 108] };
    #[allow(clippy::cast_possible_truncation, reason = "AF_UNIX is 1")]
    let family = libc::AF_UNIX as libc::sa_family_t;
    address.sun_family = family;
    let end = first + text.len();
    let room = address.sun_path.get_mut(first..end).ok_or(Errno(libc::ENAMETOOLONG))?;
    for (place, byte) in room.iter_mut().zip(text) {
        *place = byte.cast_signed() as libc::c_char;
    }
    let len = offset_of!(libc::sockaddr_un, sun_path) + end;
    Ok((address, libc::socklen_t::try_from(len).map_err(|_| Errno(libc::ENAMETOOLONG))?))
}

/// `bind` to an abstract name.
pub(crate) fn bind(socket: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    let (address, len) = abstract_address(name)?;
    // SAFETY: a valid address of that length.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) }).map(drop)
}

/// `connect` to an abstract name.
pub(crate) fn connect(socket: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    let (address, len) = abstract_address(name)?;
    // SAFETY: a valid address of that length.
    check(unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), len) }).map(drop)
}

/// `bind` to a path.
pub(crate) fn bind_path(socket: BorrowedFd<'_>, path: &CStr) -> Result<()> {
    let (address, len) = path_address(path)?;
    // SAFETY: a valid address of that length.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) }).map(drop)
}

/// `connect` to a path.
pub(crate) fn connect_path(socket: BorrowedFd<'_>, path: &CStr) -> Result<()> {
    let (address, len) = path_address(path)?;
    // SAFETY: a valid address of that length.
    check(unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), len) }).map(drop)
}

/// `listen`. KERNEL: one connection more than `backlog` may wait to be accepted, and no more than
/// `net.core.somaxconn` says.
pub(crate) fn listen(socket: BorrowedFd<'_>, backlog: c_int) -> Result<()> {
    // SAFETY: takes no pointers.
    check(unsafe { libc::listen(socket.as_raw_fd(), backlog) }).map(drop)
}

/// `accept4`, non-blocking.
pub(crate) fn accept(listener: BorrowedFd<'_>) -> Result<OwnedFd> {
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    let nobody = std::ptr::null_mut();
    // SAFETY: the peer's address is not wanted.
    let fd = unsafe { libc::accept4(listener.as_raw_fd(), nobody, std::ptr::null_mut(), flags) };
    let fd = check(fd)?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `socketpair`, non-blocking.
pub(crate) fn pair() -> Result<(OwnedFd, OwnedFd)> {
    let flags = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    let mut ends = [0; 2];
    // SAFETY: room for two numbers.
    check(unsafe { libc::socketpair(libc::AF_UNIX, flags, 0, ends.as_mut_ptr()) })?;
    // SAFETY: a new descriptor that nobody else owns.
    let one = unsafe { OwnedFd::from_raw_fd(ends[0]) };
    // SAFETY: likewise.
    Ok((one, unsafe { OwnedFd::from_raw_fd(ends[1]) }))
}

/// `SO_TYPE`; ENOTSOCK, EBADF.
pub(crate) fn kind(fd: BorrowedFd<'_>) -> Result<c_int> {
    option::<c_int>(fd, libc::SO_TYPE)
}

/// Whether this is an `AF_UNIX` sequenced-packet socket that has, or had, a peer.
pub(crate) fn is_connected_seqpacket(fd: BorrowedFd<'_>) -> bool {
    kind(fd) == Ok(libc::SOCK_SEQPACKET) && has_local_peer(fd)
}

/// Whether this is an `AF_UNIX` socket that has, or had, a peer.
pub(crate) fn has_local_peer(fd: BorrowedFd<'_>) -> bool {
    family_of_peer(fd) == Some(libc::AF_UNIX)
}

/// What `getpeername` says; `None`: there is no peer.
fn family_of_peer(socket: BorrowedFd<'_>) -> Option<c_int> {
    let mut address = MaybeUninit::<libc::sockaddr>::zeroed();
    let mut len = libc::socklen_t::try_from(size_of::<libc::sockaddr>()).ok()?;
    let place = address.as_mut_ptr();
    // SAFETY: room for `len` bytes, beyond which nothing is written, and a place for the length.
    check(unsafe { libc::getpeername(socket.as_raw_fd(), place, &raw mut len) }).ok()?;
    // SAFETY: zeroed, then filled in part; made of integers.
    Some(unsafe { address.assume_init() }.sa_family.into())
}

/// `shutdown` in both directions: whoever else holds this socket, its peer sees the end.
pub(crate) fn shut_down(socket: BorrowedFd<'_>) {
    // SAFETY: takes no pointers. It fails only for a socket that has come to its end already.
    unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_RDWR) };
}

/// `shutdown` of the writing side: what was sent stays, and nothing follows.
pub(crate) fn stop_writing(socket: BorrowedFd<'_>) {
    // SAFETY: takes no pointers. It fails only for a socket that is not connected.
    unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_WR) };
}

/// `shutdown` of the reading side: the peer can queue nothing any more. What it has queued stays.
pub(crate) fn stop_reading(socket: BorrowedFd<'_>) {
    // SAFETY: takes no pointers. It fails only for a socket that is not connected.
    unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_RD) };
}

fn set_option<T>(socket: BorrowedFd<'_>, option: c_int, value: &T) -> Result<()> {
    let len = libc::socklen_t::try_from(size_of::<T>()).map_err(|_| Errno(libc::EINVAL))?;
    let value = (&raw const *value).cast::<c_void>();
    // SAFETY: a valid value of that length.
    let set = unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, value, len) };
    check(set).map(drop)
}

/// A socket option of whatever kind, switched on.
#[cfg(test)]
pub(crate) fn set_flag(socket: impl AsFd, option: c_int) -> Result<()> {
    set_option::<c_int>(socket.as_fd(), option, &1)
}

fn option<T: Copy>(socket: BorrowedFd<'_>, option: c_int) -> Result<T> {
    let mut value = MaybeUninit::<T>::zeroed();
    let mut len = libc::socklen_t::try_from(size_of::<T>()).map_err(|_| Errno(libc::EINVAL))?;
    let place = value.as_mut_ptr().cast::<c_void>();
    // SAFETY: room for that many bytes.
    check(unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, place, &raw mut len)
    })?;
    // SAFETY: zeroed, then filled; the callers below ask for plain integers only.
    Ok(unsafe { value.assume_init() })
}

/// `SO_PASSCRED`: credentials come with every message from now on.
pub(crate) fn pass_credentials(socket: BorrowedFd<'_>) -> Result<()> {
    set_option::<c_int>(socket, libc::SO_PASSCRED, &1)
}

/// The same undone.
pub(crate) fn pass_no_credentials(socket: BorrowedFd<'_>) -> Result<()> {
    set_option::<c_int>(socket, libc::SO_PASSCRED, &0)
}

/// `SO_SNDBUF`: makes room for a message of so many bytes, as far as `net.core.wmem_max` allows.
///
/// KERNEL: a message has to be 32 bytes shorter than the buffer, whose size is twice the number that is
/// set.
pub(crate) fn make_room_to_send(socket: BorrowedFd<'_>, bytes: usize) -> Result<()> {
    let half = c_int::try_from((bytes + 32).div_ceil(2)).map_err(|_| Errno(libc::EINVAL))?;
    set_option::<c_int>(socket, libc::SO_SNDBUF, &half)
}

/// `SO_SNDTIMEO`: how long `connect` may wait for a place in the queue; `None`: for ever.
///
/// KERNEL: `connect` to a full queue gives EAGAIN and nothing to poll; this is the only way to wait.
pub(crate) fn set_send_timeout(socket: BorrowedFd<'_>, timeout: Option<Duration>) -> Result<()> {
    // Zero would mean: for ever.
    let timeout = timeout.map_or(Duration::ZERO, |t| t.max(Duration::from_micros(1)));
    // The width of both fields differs between machines.
    let value = libc::timeval {
        tv_sec: timeout.as_secs().try_into().unwrap_or(i32::MAX.into()),
        tv_usec: timeout.subsec_micros().cast_signed().into(),
    };
    set_option(socket, libc::SO_SNDTIMEO, &value)
}

/// Process and effective user of the peer, as they were when it connected or began to listen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Peer {
    pub(crate) pid: i32,
    pub(crate) effective_uid: u32,
    pub(crate) effective_gid: u32,
}

/// `SO_PEERCRED`.
pub(crate) fn peer(socket: BorrowedFd<'_>) -> Result<Peer> {
    let peer = option::<libc::ucred>(socket, libc::SO_PEERCRED)?;
    Ok(Peer { pid: peer.pid, effective_uid: peer.uid, effective_gid: peer.gid })
}

/// `SO_PEERGROUPS`: the supplementary groups of the peer, as they were then.
///
/// KERNEL: ERANGE where there are more than there is room for, with their size.
pub(crate) fn peer_groups(socket: BorrowedFd<'_>) -> Result<Vec<u32>> {
    let mut groups: Vec<u32> = Vec::new();
    let mut wanted = 32;
    loop {
        groups.try_reserve_exact(wanted).map_err(|_| Errno(libc::ENOMEM))?;
        groups.resize(wanted, 0);
        let mut len = libc::socklen_t::try_from(wanted * size_of::<u32>())
            .map_err(|_| Errno(libc::EINVAL))?;
        let (socket, place) = (socket.as_raw_fd(), groups.as_mut_ptr().cast::<c_void>());
        let (level, option) = (libc::SOL_SOCKET, libc::SO_PEERGROUPS);
        // SAFETY: room for `len` bytes, beyond which nothing is written, and a place for the length.
        let told = unsafe { libc::getsockopt(socket, level, option, place, &raw mut len) };
        let count = len as usize / size_of::<u32>();
        match check(told) {
            Ok(_) => {
                groups.truncate(count);
                return Ok(groups);
            }
            Err(Errno(libc::ERANGE)) if count > wanted => {
                groups.clear();
                wanted = count;
            }
            Err(errno) => return Err(errno),
        }
    }
}

/// `SO_PEERPIDFD`; ESRCH if that process is gone and forgotten.
pub(crate) fn peer_pidfd(socket: BorrowedFd<'_>) -> Result<PrivateFd> {
    PrivateFd::new(|| {
        let fd = option::<RawFd>(socket, SO_PEERPIDFD).map_err(|errno| match errno {
            // KERNEL(6.16): gives a pidfd of the dead; before, one of these.
            Errno(libc::EINVAL | libc::ENODATA) => Errno(libc::ESRCH),
            other => other,
        })?;
        // SAFETY: a new descriptor that nobody else owns; close-on-exec by definition.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    })
}

/// `SO_ACCEPTCONN`: whether this is a socket that listens.
pub(crate) fn is_listening(fd: BorrowedFd<'_>) -> bool {
    option::<c_int>(fd, libc::SO_ACCEPTCONN).is_ok_and(|listens| listens != 0)
}

/// `SO_TYPE`: whether this is a sequenced-packet socket.
pub(crate) fn is_seqpacket(fd: BorrowedFd<'_>) -> bool {
    option::<c_int>(fd, libc::SO_TYPE) == Ok(libc::SOCK_SEQPACKET)
}

/// `FIONREAD`: the bytes of all messages that wait on the socket.
pub(crate) fn waiting_bytes(socket: BorrowedFd<'_>) -> Result<usize> {
    let mut bytes: c_int = 0;
    // SAFETY: the pointer is to the integer that the call fills.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::FIONREAD, &raw mut bytes) })?;
    Ok(usize::try_from(bytes).unwrap_or(0))
}

/// `SIOCOUTQ`: the size of what was sent and the peer has not consumed; a look does not count.
///
/// KERNEL: the sender is woken while 1 of the message that is consumed is still counted, and nothing wakes
/// it when that goes, too. The smallest message counts more than 500.
pub(crate) fn unconsumed(socket: BorrowedFd<'_>) -> Result<usize> {
    let mut size: c_int = 0;
    // SAFETY: the pointer is to the integer that the call fills.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut size) })?;
    Ok(without_what_is_released(size))
}

fn without_what_is_released(size: c_int) -> usize {
    const LEAST: usize = 256;
    usize::try_from(size).ok().filter(|size| *size >= LEAST).unwrap_or(0)
}

/// `SO_ERROR`, which forgets it: the error that waits on the socket, 0 for none.
pub(crate) fn take_error(socket: BorrowedFd<'_>) -> Result<c_int> {
    option::<c_int>(socket, libc::SO_ERROR)
}

#[repr(C)]
struct Owner {
    kind: c_int,
    id: libc::pid_t,
}
const F_OWNER_TID: c_int = 0;
const F_SETOWN_EX: c_int = 15;
const F_SETSIG: c_int = 10;

/// `F_SETOWN_EX`: signals of this socket go to `thread`, with the caller's uids of this moment.
pub(crate) fn set_owner(socket: BorrowedFd<'_>, thread: i32) -> Result<()> {
    let owner = Owner { kind: F_OWNER_TID, id: thread };
    // SAFETY: the pointer is to a struct of the layout that this command reads.
    let set = unsafe { libc::fcntl(socket.as_raw_fd(), F_SETOWN_EX, &raw const owner) };
    check(set).map(drop)
}

/// Makes the kernel queue `signo` to `thread` for everything that arrives on the socket.
pub(crate) fn arm(socket: BorrowedFd<'_>, thread: i32, signo: i32) -> Result<()> {
    set_owner(socket, thread)?;
    // SAFETY: takes no pointers.
    check(unsafe { libc::fcntl(socket.as_raw_fd(), F_SETSIG, signo) })?;
    let flags = libc::O_NONBLOCK | libc::O_ASYNC;
    // SAFETY: takes no pointers.
    check(unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_SETFL, flags) }).map(drop)
}

/// No more signals from this socket, whoever else holds it.
pub(crate) fn disarm(socket: BorrowedFd<'_>) {
    // SAFETY: takes no pointers; cannot fail on a socket.
    unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_released_counts_no_more() {
        assert_eq!([-1, 0, 1, 255].map(without_what_is_released), [0; 4]);
        assert_eq!([256, 768].map(without_what_is_released), [256, 768]);
    }

    #[test]
    fn a_connected_sequenced_packet_socket_is_told_from_others() {
        let (one, other) = pair().expect("two sockets");
        let lone = create(Blocking::No).expect("a socket");
        let (stream, _other) = std::os::unix::net::UnixStream::pair().expect("two sockets");
        let file = std::fs::File::open("/proc/self/exe").expect("it is there");
        assert!(is_connected_seqpacket(one.as_fd()));
        drop(other);
        assert!(is_connected_seqpacket(one.as_fd()), "it had a peer");
        assert!(!is_connected_seqpacket(lone.as_fd()) && is_seqpacket(lone.as_fd()));
        assert!(has_local_peer(stream.as_fd()) && !is_connected_seqpacket(stream.as_fd()));
        assert!(!is_seqpacket(stream.as_fd()) && !is_seqpacket(file.as_fd()));
        assert!(!is_connected_seqpacket(file.as_fd()));
    }

    #[test]
    fn a_socket_that_listens_is_told_from_others() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let file = std::fs::File::open("/proc/self/exe").expect("it is there");
        let (one, _other) = pair().expect("two sockets");
        assert!(is_listening(listener.as_fd()) && crate::is_listening(listener.as_fd()));
        for other in [one.as_fd(), file.as_fd()] {
            assert!(!is_listening(other) && !crate::is_listening(other));
        }
    }

    #[test]
    fn there_is_room_for_a_message_and_for_no_more_than_that() {
        let (one, _other) = pair().expect("two sockets");
        for bytes in [8191, 16384] {
            make_room_to_send(one.as_fd(), bytes).expect("within the limit of the machine");
            let room = option::<c_int>(one.as_fd(), libc::SO_SNDBUF).expect("a size");
            assert!((bytes + 32..bytes + 34).contains(&room.try_into().expect("a size")), "{room}");
        }
    }

    #[test]
    fn the_groups_of_a_peer_are_those_that_it_has() {
        let (one, _other) = pair().expect("two sockets");
        let status = std::fs::read_to_string("/proc/thread-self/status").expect("it is there");
        let groups = status.lines().find_map(|line| line.strip_prefix("Groups:"));
        let groups = groups.expect("a line").split_whitespace();
        let groups: Vec<u32> = groups.map(|group| group.parse().expect("a number")).collect();
        assert_eq!(peer_groups(one.as_fd()), Ok(groups));
    }
}
