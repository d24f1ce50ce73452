//! Descriptors that the library keeps for itself.

use super::table::{self, Look, Mark};
use super::{Errno, Result, check, path, select};
use std::mem::{ManuallyDrop, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// KERNEL: no descriptor can have this number, so every call with it gives EBADF.
const NONE: RawFd = RawFd::MAX;

/// A descriptor of the library's own: close-on-exec, and closed in every forked child.
///
/// Where the program has closed it, and the library has opened another one under its number, it is none:
/// every call gives EBADF.
#[derive(Debug)]
pub(crate) struct PrivateFd {
    fd: ManuallyDrop<OwnedFd>,
    serial: u32,
}

impl PrivateFd {
    /// Owns what `make` opens, under the lowest free number.
    pub(crate) fn new(make: impl FnOnce() -> Result<OwnedFd>) -> Result<PrivateFd> {
        PrivateFd::marked(|| Ok((make()?, Mark::None)))
    }

    /// Owns both that `make` opens: sockets, of which the second is closed within this call of the library.
    pub(crate) fn pair(
        make: impl FnOnce() -> Result<(OwnedFd, OwnedFd)>,
    ) -> Result<(PrivateFd, PrivateFd)> {
        let (one, other) = table::enlist_pair(|| {
            let (one, other) = make()?;
            let mark = mark(one.as_raw_fd()).unwrap_or(Mark::None);
            Ok(((one, mark), (other, Mark::None)))
        })?;
        Ok((PrivateFd::registered(one), PrivateFd::registered(other)))
    }

    /// The same under a high number, so that the low ones stay the program's: a received descriptor
    /// gets the number that the program expects, and `select` keeps working. A socket is told from
    /// whatever else may get its number.
    pub(crate) fn new_out_of_the_way(make: impl FnOnce() -> Result<OwnedFd>) -> Result<PrivateFd> {
        PrivateFd::marked(|| {
            let fd = make().map(lift)?;
            let mark = mark(fd.as_raw_fd()).unwrap_or(Mark::None);
            Ok((fd, mark))
        })
    }

    /// The same for a directory.
    pub(crate) fn new_directory(make: impl FnOnce() -> Result<OwnedFd>) -> Result<PrivateFd> {
        PrivateFd::marked(|| {
            let fd = make().map(lift)?;
            let mark = directory_mark(fd.as_raw_fd()).unwrap_or(Mark::None);
            Ok((fd, mark))
        })
    }

    fn marked(make: impl FnOnce() -> Result<(OwnedFd, Mark)>) -> Result<PrivateFd> {
        table::enlist(make).map(PrivateFd::registered)
    }

    fn registered((fd, serial): (OwnedFd, u32)) -> PrivateFd {
        PrivateFd { fd: ManuallyDrop::new(fd), serial }
    }

    /// This is an epoll set, and `member` is in it: by that it can be told from others.
    pub(crate) fn is_set_of(&self, member: &PrivateFd) {
        table::remark(self.fd.as_raw_fd(), self.serial, Mark::SetOf(member.number()));
    }

    /// This is in the epoll set `set`: by that it can be told from others.
    pub(crate) fn is_member_of(&self, set: &PrivateFd) {
        table::remark(self.fd.as_raw_fd(), self.serial, Mark::MemberOf(set.number()));
    }

    /// To be called before that ceases to be true: it is ours from now on without a further look, or
    /// not at all.
    pub(crate) fn settle(&self) {
        table::settle(self.fd.as_raw_fd(), self.serial);
    }

    /// Whether it is what it was, and not something else that has got its number since.
    pub(crate) fn is_intact(&self) -> bool {
        table::is_intact(self.fd.as_raw_fd(), self.serial)
    }

    /// Its number, for a caller outside the library. EBADF: it has come to mean something else.
    pub(crate) fn number_if_intact(&self) -> Result<RawFd> {
        if self.is_intact() { Ok(self.fd.as_raw_fd()) } else { Err(Errno(libc::EBADF)) }
    }

    /// Closes it after a look has shown that it is intact.
    pub(crate) fn close_intact(self) {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: taken once, here; the whole is not dropped.
        let fd = unsafe { ManuallyDrop::take(&mut this.fd) };
        table::discharge(fd, this.serial, Look::Done);
    }

    fn number(&self) -> RawFd {
        let number = self.fd.as_raw_fd();
        if table::holds(number, self.serial) { number } else { NONE }
    }
}

impl AsFd for PrivateFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: open while this exists, or a number that is never open, which is not -1.
        unsafe { BorrowedFd::borrow_raw(self.number()) }
    }
}

impl AsRawFd for PrivateFd {
    fn as_raw_fd(&self) -> RawFd {
        self.number()
    }
}

impl Drop for PrivateFd {
    fn drop(&mut self) {
        // SAFETY: taken once, here; nothing uses the field afterwards.
        let fd = unsafe { ManuallyDrop::take(&mut self.fd) };
        table::discharge(fd, self.serial, Look::First);
    }
}

/// By what a socket can be told from all others; `Mark::None` for what is no socket.
///
/// KERNEL: the inode of a socket is of 32 bits, and unique among those that are open.
pub(super) fn mark(number: RawFd) -> Result<Mark> {
    let mut stat = MaybeUninit::<libc::stat64>::uninit();
    // SAFETY: the pointer is to a struct that the call fills.
    check(unsafe { libc::fstat64(number, stat.as_mut_ptr()) })?;
    // SAFETY: filled by the successful call above.
    let stat = unsafe { stat.assume_init() };
    Ok(match u32::try_from(stat.st_ino) {
        Ok(inode) if stat.st_mode & libc::S_IFMT == libc::S_IFSOCK => Mark::Inode(inode),
        _ => Mark::None,
    })
}

/// By what a directory can be told from nearly all others. Nobody waits for a file system to answer, unless the
/// kernel, or a filter in front of it, can do nothing else.
pub(super) fn directory_mark(number: RawFd) -> Result<Mark> {
    let file = named(number)?;
    let (device, inode) = match path::known(file) {
        Err(Errno(libc::ENOSYS | libc::EPERM)) => path::status(file)?.identity,
        known => known?.identity,
    };
    let mixed = inode.wrapping_add(device.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    #[allow(clippy::cast_possible_truncation, reason = "the upper half")]
    Ok(Mark::Directory((mixed >> 32) as u32))
}

/// What type of file the number stands for, if it is open: 0 for what is the kernel's own, as an epoll set
/// and an eventfd are.
pub(super) fn file_type(number: RawFd) -> Option<libc::mode_t> {
    let mut stat = MaybeUninit::<libc::stat64>::uninit();
    // SAFETY: the pointer is to a struct that the call fills.
    if unsafe { libc::fstat64(number, stat.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: filled by the successful call above.
    Some(unsafe { stat.assume_init() }.st_mode & libc::S_IFMT)
}

/// For descriptors that nobody owns.
pub(super) fn close(number: RawFd) {
    // SAFETY: in a forked child, a descriptor that the library opened before the fork, and that its
    // owner cannot reach: every use looks at the table first.
    unsafe { libc::close(number) };
}

/// Where the numbers of the library's own begin, if the limit allows.
const HIGH: RawFd = 1024;

/// Moves a descriptor to a number from 1024 up, or from half of the limit up where that is too high;
/// leaves it where it is when there is no room.
fn lift(fd: OwnedFd) -> OwnedFd {
    lift_to(fd, HIGH).or_else(|fd| lift_to(fd, half_of(limit()))).unwrap_or_else(|fd| fd)
}

fn lift_to(fd: OwnedFd, base: RawFd) -> std::result::Result<OwnedFd, OwnedFd> {
    if fd.as_raw_fd() >= base {
        return Ok(fd);
    }
    // SAFETY: a borrowed descriptor and a plain number.
    match check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, base) }) {
        // SAFETY: a new descriptor that nobody else owns.
        Ok(lifted) => Ok(unsafe { OwnedFd::from_raw_fd(lifted) }),
        Err(_) => Err(fd),
    }
}

/// Half of the limit, and no more than is wanted.
fn half_of(limit: u64) -> RawFd {
    RawFd::try_from(limit / 2).unwrap_or(HIGH).min(HIGH)
}

/// `RLIMIT_NOFILE`: one past the highest number that this process may open.
pub(crate) fn limit() -> u64 {
    let mut limit = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: the pointer is to a struct that the call fills.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, limit.as_mut_ptr()) } != 0 {
        return 0;
    }
    // SAFETY: filled by the successful call above.
    let limit = unsafe { limit.assume_init() }.rlim_cur;
    #[allow(clippy::unnecessary_cast, reason = "its width differs between machines")]
    let limit = limit as u64;
    limit
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
    super::fork::undisturbed(|| duplicate(any).is_ok())
}

/// The numbers of borrowed descriptors.
pub(crate) fn numbers<'a>(fds: &'a [BorrowedFd<'_>]) -> &'a [RawFd] {
    // SAFETY: BorrowedFd is a transparent wrapper of RawFd, and its numbers stay open for 'a.
    unsafe { std::slice::from_raw_parts(fds.as_ptr().cast::<RawFd>(), fds.len()) }
}

/// What `poll` is asked about one descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Awaited {
    /// `POLLOUT`.
    Writable,
    /// `POLLIN`.
    Readable,
}

/// How often a look is taken anew, at most, if signals interrupt it.
const MOST_INTERRUPTED: u32 = 16;

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
    let mut poll = || check(unsafe { libc::poll(polled.as_mut_ptr(), count, timeout_ms) });
    let mut found = poll();
    // KERNEL: a pending signal interrupts also a look that does not wait, which then has seen nothing.
    for _ in 0..MOST_INTERRUPTED {
        if timeout_ms == 0 && found == Err(Errno(libc::EINTR)) {
            found = poll();
        }
    }
    match found {
        // KERNEL: RLIMIT_NOFILE is lower than that.
        Err(Errno(libc::EINVAL)) => select::poll(&mut polled, timeout_ms),
        found => found,
    }?;
    Ok(polled.map(|entry| entry.revents))
}

/// Which of `sockets` have hung up, or are not open; none where the kernel does not tell.
pub(crate) fn have_ended<'a, I>(sockets: I) -> impl Iterator<Item = bool> + use<I>
where
    I: Iterator<Item = BorrowedFd<'a>>,
{
    let mut polled: Vec<libc::pollfd> = Vec::new();
    for socket in sockets {
        if polled.try_reserve(1).is_err() {
            break;
        }
        polled.push(libc::pollfd { fd: socket.as_raw_fd(), events: 0, revents: 0 });
    }
    // SAFETY: the array has that many entries.
    unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, 0) };
    polled.into_iter().map(|entry| entry.revents != 0)
}

/// Whether the other end of a socket is closed, as far as the kernel tells.
pub(crate) fn has_hung_up(socket: BorrowedFd<'_>) -> bool {
    is_hung_up(socket).unwrap_or(false)
}

/// Whether the other end of a socket is closed.
pub(crate) fn is_hung_up(socket: BorrowedFd<'_>) -> Result<bool> {
    let [seen] = poll([(socket, Awaited::Readable)], 0)?;
    Ok(seen & (libc::POLLHUP | libc::POLLERR) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn a_type_and_a_mark_are_those_of_the_file() {
        let (socket, other) = UnixDatagram::pair().expect("two sockets");
        let file = File::open("/proc/self/exe").expect("it is there");
        let own = crate::sys::eventfd::create().expect("one");
        assert_eq!(file_type(socket.as_raw_fd()), Some(libc::S_IFSOCK));
        assert_eq!(file_type(file.as_raw_fd()), Some(libc::S_IFREG));
        assert_eq!(file_type(own.as_raw_fd()), Some(0));
        assert_eq!(file_type(-1), None);
        let of_socket = mark(socket.as_raw_fd());
        assert!(matches!(of_socket, Ok(Mark::Inode(_))) && of_socket != mark(other.as_raw_fd()));
        assert_eq!(mark(file.as_raw_fd()), Ok(Mark::None));
        assert_eq!(mark(own.as_raw_fd()), Ok(Mark::None));
        assert_eq!(mark(-1), Err(Errno(libc::EBADF)));
    }

    fn flags(fd: &impl AsRawFd) -> (bool, bool) {
        // SAFETY: takes no pointers.
        let ask = |what| unsafe { libc::fcntl(fd.as_raw_fd(), what) };
        let (own, shared) = (ask(libc::F_GETFD), ask(libc::F_GETFL));
        assert!(own >= 0 && shared >= 0);
        (own & libc::FD_CLOEXEC != 0, shared & libc::O_NONBLOCK != 0)
    }

    #[test]
    fn nothing_is_inherited_by_another_program() {
        use crate::sys::socket::{self, Blocking};
        let listener = socket::create(Blocking::No).expect("a socket");
        let name = format!("sendfd-flags-{}", crate::sys::ids::process());
        socket::bind(listener.as_fd(), name.as_bytes()).expect("free");
        socket::listen(listener.as_fd(), 1).expect("bound");
        let connected = socket::create(Blocking::Yes).expect("a socket");
        socket::connect(connected.as_fd(), name.as_bytes()).expect("listens");
        let accepted = socket::accept(listener.as_fd()).expect("it waits");
        let (one, other) = socket::pair().expect("two sockets");
        for fd in [&listener, &accepted, &one, &other, &crate::sys::eventfd::create().expect("one")]
        {
            assert_eq!(flags(fd), (true, true));
        }
        assert_eq!(flags(&connected), (true, false));
        assert_eq!(flags(&crate::sys::epoll::create().expect("one")), (true, false));
        assert_eq!(flags(&crate::sys::file::open(c"/dev/null").expect("there")), (true, false));
        assert_eq!(flags(&path::directory(c"/").expect("there")), (true, false));
    }

    #[test]
    fn signals_end_a_wait_and_no_look() {
        use crate::sys::signal::Interruptions;
        use std::time::{Duration, Instant};
        let (one, _other) = UnixDatagram::pair().expect("two sockets");
        let _interruptions = Interruptions::of_this_thread();
        let (start, long) = (Instant::now(), Duration::from_millis(200));
        while start.elapsed() < long {
            assert_eq!(poll([(one.as_fd(), Awaited::Readable)], 0), Ok([0]));
        }
        // One every 10 ms; on a loaded machine, some come later.
        assert!((0..10).any(|_| {
            let start = Instant::now();
            let told = poll([(one.as_fd(), Awaited::Readable)], 20_000);
            assert_eq!(told, Err(Errno(libc::EINTR)));
            start.elapsed() < Duration::from_millis(80)
        }));
    }

    #[test]
    fn each_number_from_0_on_may_be_open() {
        for number in [0, 1, RawFd::MAX] {
            assert!(named(number).is_ok_and(|fd| fd.as_raw_fd() == number));
        }
        for number in [-1, -2, RawFd::MIN] {
            assert!(named(number).is_err());
        }
    }

    #[test]
    fn half_of_a_low_limit_is_left_to_the_program() {
        assert_eq!(half_of(65), 32);
        assert_eq!(half_of(2048), 1024);
        assert_eq!(half_of(1 << 20), 1024);
        assert_eq!(half_of(u64::MAX), 1024);
    }
}
