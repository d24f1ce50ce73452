//! One message with ancillary data: sending it, looking at it, consuming it.

use super::release::close_elsewhere;
use super::{Errno, Result, check_size};
use std::ffi::{c_int, c_void};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// The most descriptors that the kernel passes in one message (`SCM_MAX_FD`).
const SCM_MAX_FD: usize = 253;

/// KERNEL(6.5): a pidfd of the sender, where the program has asked for it on a socket of its own.
const SCM_PIDFD: c_int = 4;

/// Bytes of control data for credentials, a pidfd and the most descriptors.
///
/// KERNEL: a buffer that is too small makes the kernel drop descriptors for good, so there is room
/// for everything, always.
const CONTROL: usize = space(size_of::<libc::ucred>())
    + space(size_of::<RawFd>())
    + space(SCM_MAX_FD * size_of::<RawFd>());

#[allow(clippy::cast_possible_truncation, reason = "sizes of a few bytes to a kilobyte")]
const fn space(bytes: usize) -> usize {
    // SAFETY: arithmetic only.
    unsafe { libc::CMSG_SPACE(bytes as u32) as usize }
}

#[repr(C)]
union Control {
    bytes: [MaybeUninit<u8>; CONTROL],
    _align: libc::cmsghdr,
}

fn header(parts: *mut libc::iovec, count: usize) -> libc::msghdr {
    // SAFETY: a msghdr of zeros is valid: no name, no parts, no control data.
    let mut header: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    header.msg_iov = parts;
    header.msg_iovlen = count as _;
    header
}

/// Whether a message is made such that the kernel refuses it on anything but a sequenced-packet socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Only {
    SeqPacket,
    Any,
}

/// Sends `parts` as one message with the descriptors `fds` (at most [`SCM_MAX_FD`]), without waiting
/// and without SIGPIPE. The kernel checks the numbers.
///
/// KERNEL: a sequenced-packet socket ignores the name and `MSG_FASTOPEN`. With them a connected stream,
/// of TCP or of this machine, gives EISCONN, and what takes datagrams EINVAL, for the name is none of
/// theirs. gVisor gives EINVAL for the flag.
#[inline]
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    parts: &mut [IoSlice<'_>],
    fds: &[RawFd],
    only: Only,
) -> Result<usize> {
    assert!(fds.len() <= SCM_MAX_FD, "the caller bounds the count");
    let bytes = size_of_val(fds);
    let mut control = Control { bytes: [MaybeUninit::uninit(); CONTROL] };
    let start = (&raw mut control).cast::<libc::cmsghdr>();
    #[allow(clippy::cast_possible_truncation, reason = "about a kilobyte at most")]
    // SAFETY: arithmetic only.
    let cmsg_len = unsafe { libc::CMSG_LEN(bytes as u32) };
    // SAFETY: a cmsghdr is made of integers; musl's has one more than others.
    let mut first: libc::cmsghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    first.cmsg_len = cmsg_len as _;
    first.cmsg_level = libc::SOL_SOCKET;
    first.cmsg_type = libc::SCM_RIGHTS;
    // SAFETY: `start` is aligned and the buffer has room for the header.
    unsafe { start.write(first) };
    // SAFETY: the data of the first header, for which the buffer has room.
    let data = unsafe { libc::CMSG_DATA(start) };
    match fds {
        // Mostly there is one, and a call of memcpy takes longer.
        // SAFETY: there is room for it; the data may not be aligned.
        [number] => unsafe { data.cast::<RawFd>().write_unaligned(*number) },
        // SAFETY: `bytes` bytes of `fds`, and room for them: bounded above.
        _ => unsafe { std::ptr::copy_nonoverlapping(fds.as_ptr().cast::<u8>(), data, bytes) },
    }

    // IoSlice has the layout of iovec, as std guarantees.
    let mut header = header(parts.as_mut_ptr().cast(), parts.len());
    if !fds.is_empty() {
        header.msg_control = start.cast::<c_void>();
        header.msg_controllen = cmsg_len as _;
    }
    let mut flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    #[allow(clippy::cast_possible_truncation, reason = "AF_UNIX is 1")]
    let mut name = libc::AF_UNIX as libc::sa_family_t;
    #[allow(clippy::cast_possible_truncation, reason = "2 bytes")]
    let name_len = size_of_val(&name) as libc::socklen_t;
    if only == Only::SeqPacket {
        header.msg_name = (&raw mut name).cast::<c_void>();
        header.msg_namelen = name_len;
        flags |= libc::MSG_FASTOPEN;
    }
    // Past the C library, where a thread could be cancelled in it.
    // SAFETY: a header whose pointers are all valid for the call.
    let sent =
        unsafe { libc::syscall(libc::SYS_sendmsg, socket.as_raw_fd(), &raw const header, flags) };
    check_size(sent)
}

/// Descriptors that a look at a message has installed in our table; dropped ones are closed.
#[derive(Debug)]
pub(crate) struct Rights {
    fds: [RawFd; SCM_MAX_FD],
    len: usize,
}

impl Rights {
    pub(crate) const fn new() -> Rights {
        Rights { fds: [-1; SCM_MAX_FD], len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Hands out all descriptors, in the order in which they were sent, to `owned`, which has room.
    pub(crate) fn take(&mut self, owned: &mut Vec<OwnedFd>) {
        // SAFETY: the first `len` are open and nobody else owns them; `len` is 0 from here on.
        self.give(|fd| owned.push(unsafe { OwnedFd::from_raw_fd(fd) }));
    }

    /// Hands out the first descriptor; the others are closed, which nobody waits for.
    pub(crate) fn take_first(&mut self) -> Option<OwnedFd> {
        if self.len <= 1 { self.take_last() } else { self.take_first_of_many() }
    }

    #[cold]
    fn take_first_of_many(&mut self) -> Option<OwnedFd> {
        let (mut first, mut others) = (None, Vec::new());
        if others.try_reserve_exact(self.len).is_err() {
            self.fds[1..self.len].iter().for_each(|fd| super::fd::close(*fd));
            self.len = 1;
        }
        self.give(|fd| {
            // SAFETY: as in `take`.
            let fd = unsafe { OwnedFd::from_raw_fd(fd) };
            if first.is_none() { first = Some(fd) } else { others.push(fd) }
        });
        close_elsewhere(others);
        first
    }

    /// Hands out the last descriptor; the others stay.
    pub(crate) fn take_last(&mut self) -> Option<OwnedFd> {
        self.len = self.len.checked_sub(1)?;
        // SAFETY: open, nobody else owns it, and beyond `len` from here on.
        Some(unsafe { OwnedFd::from_raw_fd(self.fds[self.len]) })
    }

    /// The last descriptor, which stays.
    pub(crate) fn last(&self) -> Option<BorrowedFd<'_>> {
        let last = *self.fds[..self.len].last()?;
        // SAFETY: open as long as it stands here.
        Some(unsafe { BorrowedFd::borrow_raw(last) })
    }

    /// Hands out all descriptors as numbers, which the caller owns, to the front of `room`.
    pub(crate) fn take_numbers(&mut self, room: &mut [RawFd]) {
        let len = std::mem::take(&mut self.len);
        room[..len].copy_from_slice(&self.fds[..len]);
    }

    pub(crate) fn close(&mut self) {
        if self.len > 0 {
            self.close_all();
        }
    }

    #[cold]
    fn close_all(&mut self) {
        // SAFETY: as in `take`.
        self.give(|fd| drop(unsafe { OwnedFd::from_raw_fd(fd) }));
    }

    fn give(&mut self, to: impl FnMut(RawFd)) {
        let len = std::mem::take(&mut self.len);
        self.fds[..len].iter().copied().for_each(to);
    }

    /// `false`: there is not room for all, and the others are closed.
    fn extend(&mut self, numbers: &[u8]) -> bool {
        let (numbers, _) = numbers.as_chunks();
        let mut has_room = true;
        for number in numbers.iter().copied().map(RawFd::from_ne_bytes) {
            if let Some(place) = self.fds.get_mut(self.len) {
                *place = number;
                self.len += 1;
            } else {
                // SAFETY: open, and nobody else owns it.
                drop(unsafe { OwnedFd::from_raw_fd(number) });
                has_room = false;
            }
        }
        has_room
    }
}

impl Drop for Rights {
    fn drop(&mut self) {
        self.close();
    }
}

/// Process, real user and real group of whoever sent a message, as the kernel recorded them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Credentials {
    pub(crate) pid: i32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Credentials {
    /// KERNEL: what it says itself of a sender it did not record.
    const UNKNOWN: Credentials = Credentials { pid: 0, uid: 65534, gid: 65534 };
}

/// What a look at a message has shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// Bytes of the whole message, also where the buffers were smaller.
    pub(crate) len: usize,
    pub(crate) sender: Credentials,
    /// The sender is as the kernel recorded it.
    pub(crate) is_signed: bool,
    /// Some descriptors could not be installed: the table is full.
    pub(crate) rights_cut: bool,
    /// More came than any kernel passes that is known, and those were closed.
    pub(crate) too_many_rights: bool,
}

/// Looks at the first message of `socket` without consuming it. Its descriptors are installed,
/// close-on-exec, under the lowest free numbers, and come in `rights`; its bytes in `parts`.
///
/// KERNEL: a message received outright into a full table loses its descriptors for good; one that
/// is peeked at stays whole.
#[inline(always)]
#[allow(clippy::inline_always, reason = "every parcel goes through it")]
pub(crate) fn peek(
    socket: BorrowedFd<'_>,
    parts: &mut [IoSliceMut<'_>],
    rights: &mut Rights,
) -> Result<Seen> {
    receive(
        socket.as_raw_fd(),
        parts,
        rights,
        libc::MSG_PEEK | libc::MSG_DONTWAIT | libc::MSG_TRUNC,
    )
}

/// Receives from the socket with the number `socket`, which the kernel checks. Where `rights_cut`,
/// the descriptors that are missing in `rights` are lost unless this was a look.
#[inline(always)]
#[allow(clippy::inline_always, reason = "every parcel goes through it")]
pub(crate) fn receive(
    socket: RawFd,
    parts: &mut [IoSliceMut<'_>],
    rights: &mut Rights,
    flags: c_int,
) -> Result<Seen> {
    rights.close();
    let mut control = Control { bytes: [MaybeUninit::uninit(); CONTROL] };
    // IoSliceMut has the layout of iovec, as std guarantees.
    let mut header = header(parts.as_mut_ptr().cast(), parts.len());
    header.msg_control = (&raw mut control).cast::<c_void>();
    header.msg_controllen = CONTROL as _;
    let flags = flags | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: a header whose pointers are all valid for the call.
    let len = check_size(unsafe { libc::recvmsg(socket, &raw mut header, flags) })?;

    let rights_cut = header.msg_flags & libc::MSG_CTRUNC != 0;
    let (sender, is_signed, too_many_rights) = (Credentials::UNKNOWN, false, false);
    let mut seen = Seen { len, sender, is_signed, rights_cut, too_many_rights };
    #[allow(clippy::unnecessary_cast, reason = "its width differs between C libraries")]
    let filled = header.msg_controllen as usize;
    // SAFETY: the kernel has filled so many bytes of it.
    let mut left = unsafe { std::slice::from_raw_parts((&raw const control).cast(), filled) };
    while let Some((level, kind, data)) = next_control_message(&mut left) {
        match (level, kind) {
            (libc::SOL_SOCKET, libc::SCM_RIGHTS) => seen.too_many_rights |= !rights.extend(data),
            (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) => {
                let Some(data) = data.first_chunk::<{ size_of::<libc::ucred>() }>() else {
                    continue;
                };
                // SAFETY: as many bytes, of which any are valid; they may not be aligned.
                let libc::ucred { pid, uid, gid } =
                    unsafe { std::ptr::from_ref(data).cast::<libc::ucred>().read_unaligned() };
                (seen.sender, seen.is_signed) = (Credentials { pid, uid, gid }, true);
            }
            (libc::SOL_SOCKET, SCM_PIDFD) => {
                let Ok(number) = data.try_into().map(RawFd::from_ne_bytes) else { continue };
                // KERNEL: an error, where there was no room for it.
                if number >= 0 {
                    // SAFETY: open, and nobody else owns it.
                    drop(unsafe { OwnedFd::from_raw_fd(number) });
                }
            }
            _ => {}
        }
    }
    Ok(seen)
}

/// Level, type and data of the first control message of `left`, which loses it.
#[inline]
fn next_control_message<'a>(left: &mut &'a [u8]) -> Option<(c_int, c_int, &'a [u8])> {
    const HEAD: usize = space(0);
    let head: &[u8; HEAD] = left.first_chunk()?;
    // SAFETY: as many bytes at least, of which any are valid; they may not be aligned.
    let head = unsafe { std::ptr::from_ref(head).cast::<libc::cmsghdr>().read_unaligned() };
    #[allow(clippy::unnecessary_cast, reason = "its width differs between C libraries")]
    let data = left.get(HEAD..head.cmsg_len as usize)?;
    *left = left.get(space(data.len())..).unwrap_or_default();
    Some((head.cmsg_level, head.cmsg_type, data))
}

/// What a look at a message without its descriptors has shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Glimpse {
    /// Bytes of the whole message; 0 also for the end.
    pub(crate) len: usize,
    /// Descriptors or credentials come with it.
    pub(crate) has_more: bool,
}

/// Looks at the first bytes of a message without consuming it, and without installing anything. Nobody here
/// waits for what it holds.
pub(crate) fn glimpse(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> Result<Glimpse> {
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let mut header = header(&raw mut part, 1);
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT | libc::MSG_TRUNC;
    // SAFETY: a header whose pointers are all valid for the call.
    let len = check_size(unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) })?;
    Ok(Glimpse { len, has_more: header.msg_flags & libc::MSG_CTRUNC != 0 })
}

/// Consumes the first message of `socket` and the references that it holds.
#[inline]
pub(crate) fn discard(socket: BorrowedFd<'_>) -> Result<()> {
    let nothing = std::ptr::null_mut();
    // SAFETY: a buffer of length zero is not touched.
    check_size(unsafe { libc::recv(socket.as_raw_fd(), nothing, 0, libc::MSG_DONTWAIT) }).map(drop)
}

/// What a look at a socket has shown that asks for credentials.
///
/// KERNEL: `FIONREAD` counts bytes, of which a message with descriptors need not have any; and an empty message
/// looks like the end, and hides what is behind it, unless credentials come with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Waits {
    /// A message, of whatever kind.
    Message,
    /// None at the moment.
    Nothing,
    /// None, and none will.
    End,
}

/// Looks whether a message waits on a socket that asks for credentials. Nothing is installed or consumed.
pub(crate) fn waits(socket: BorrowedFd<'_>) -> Result<Waits> {
    let look = || {
        let mut header = header(std::ptr::null_mut(), 0);
        let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT | libc::MSG_TRUNC;
        // SAFETY: a header without any buffers.
        let len = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) };
        match check_size(len) {
            Ok(len) if len > 0 || header.msg_flags & libc::MSG_CTRUNC != 0 => Ok(Waits::Message),
            Ok(_) => Ok(Waits::End),
            Err(Errno(libc::EAGAIN)) => Ok(Waits::Nothing),
            Err(errno) => Err(errno),
        }
    };
    match look() {
        // KERNEL: one ECONNRESET may stand in front of messages that are still queued, and the end may hide
        // one that came just before it.
        Err(Errno(libc::ECONNRESET | libc::EINTR)) | Ok(Waits::End) => look(),
        looked => looked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{fd, socket};
    use std::os::fd::AsFd;

    #[test]
    fn what_nobody_takes_is_closed() {
        let (here, there) = socket::pair().expect("two sockets");
        let (end, sent) = std::io::pipe().expect("a pipe");
        let fds = [sent.as_raw_fd(), there.as_raw_fd()];
        send(there.as_fd(), &mut [IoSlice::new(b"x")], &fds, Only::Any).expect("room");
        let mut rights = Rights::new();
        receive(here.as_raw_fd(), &mut [], &mut rights, 0).expect("a message");
        assert_eq!(rights.len(), 2);
        drop(sent);
        assert!(!fd::has_hung_up(end.as_fd()));
        drop(rights);
        // A child that another test starts has them for a moment.
        fd::poll([(end.as_fd(), fd::Awaited::Readable)], 10_000).expect("a pipe");
        assert!(fd::has_hung_up(end.as_fd()));
    }
}
