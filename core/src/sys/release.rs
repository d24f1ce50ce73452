//! Closing what can be slow to close, and nobody waits for it.
//!
//! KERNEL: whoever closes the last descriptor of a file also releases it, and what waits unread in it.
//! Of a TCP socket that lingers this takes as long as its owner has chosen; only a task that exits does
//! not wait for it. Of a file on NFS it takes as long as the server does.
//!
//! So a thread is started that copies the table, closes in its copy whatever else there is, and ends
//! once the descriptors are closed in the table of the program, which then is not the last to close
//! them. The program's own files are in that copy for some microseconds, as they are in that of a child
//! that is about to exec; whoever has started the thread does not go on before, except where the close of
//! one of them is slow, which is not the last one.

use super::message::{self, Rights};
use super::{Errno, Result, check, futex};
use std::ffi::{c_int, c_uint, c_void};
use std::mem::{MaybeUninit, offset_of};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Enough for a few calls; the C library adds what its thread-local storage takes.
const STACK: usize = 64 << 10;

/// Closes `fds`, which are gone from the table when it returns; what that sets free is waited for by
/// nobody.
///
/// Where the thread can have no table of its own, it closes them in that of the program, and may be late.
/// Where no thread can be started, it is waited for here.
pub(crate) fn close_elsewhere<T: AsRawFd, A: AsRef<[T]> + Send>(fds: A) {
    if fds.as_ref().is_empty() {
        return;
    }
    // Without memory, they are closed here.
    let Some(keeper) = Keeper::of(fds, What::Descriptors) else { return };
    let shared = keeper.shared();
    if shared.state.load(Ordering::Acquire) != CLOSES {
        shared.close();
    }
}

/// Consumes the first message of `socket`. Its descriptors are in the table of such a thread meanwhile,
/// as many as `RLIMIT_NOFILE` and a security module allow, and so nobody waits for what they set free.
pub(crate) fn discard_elsewhere(socket: BorrowedFd<'_>) -> Result<()> {
    let keeper = Keeper::of([socket], What::FirstMessage);
    let discarded = match message::discard(socket) {
        // KERNEL: one may stand in front of messages that are still queued.
        Err(Errno(libc::ECONNRESET | libc::EINTR)) => message::discard(socket),
        discarded => discarded,
    };
    drop(keeper);
    discarded
}

/// Whether this process may not receive a descriptor of the first message of `socket`, which could not be
/// installed though the table has room by now.
///
/// In the table of the program it might be another thread that has just made room; in a table of its own,
/// nothing but a refusal keeps them out.
pub(crate) fn is_refused(socket: BorrowedFd<'_>) -> bool {
    let keeper = Keeper::of([socket], What::FirstMessage);
    let verdict = keeper.map_or(UNKNOWN, |keeper| keeper.shared().verdict.load(Ordering::Acquire));
    // Where no thread can have such a table, what this one has seen has to do.
    verdict != ALLOWED
}

/// What the thread keeps.
#[derive(Clone, Copy, Debug)]
enum What {
    Descriptors,
    /// Of the one descriptor's socket.
    FirstMessage,
}

/// A thread that has descriptors open, in a table of its own, until this is dropped; unless it cannot.
#[derive(Debug)]
struct Keeper(NonNull<Shared>);

/// What both threads know. It is mapped, and not allocated: the C library would make an arena for a
/// thread that frees something.
#[derive(Debug)]
struct Shared {
    state: AtomicU32,
    /// Whoever lets go of it last frees it.
    users: AtomicU32,
    size: usize,
    what: What,
    /// Whether the first message's descriptors could be installed.
    verdict: AtomicU32,
    /// In ascending order.
    numbers: *const RawFd,
    count: usize,
    /// What owns the descriptors, and how it is dropped.
    owner: *mut c_void,
    drop_owner: unsafe fn(*mut c_void),
}

const UNKNOWN: u32 = 0;
const ALLOWED: u32 = 1;
const REFUSED: u32 = 2;

/// The thread has not said yet what it can do.
const STARTS: u32 = 0;
/// It has the descriptors open in a table of its own, and others as well.
const COPIED: u32 = 1;
/// It has them alone.
const KEEPS: u32 = 2;
/// They are closed in the table of the program.
const MAY_END: u32 = 3;
/// It can have no table of its own, and closes them in that of the program.
const CLOSES: u32 = 4;

/// How long to wait until a copy of the program's own files is closed, which one of them can make slow.
const MOST: Duration = Duration::from_millis(20);

impl Keeper {
    /// Owns `fds` from here on.
    fn of<T: AsRawFd, A: AsRef<[T]> + Send>(fds: A, what: What) -> Option<Keeper> {
        let keeper = Keeper(Shared::new(fds, what)?);
        let shared = keeper.shared();
        match start(keeper.0) {
            Ok(()) => {
                shared.wait_while(STARTS);
                shared.wait_briefly_while(COPIED);
            }
            // The thread's share is its own only if it comes to be.
            Err(_) => shared.users.store(1, Ordering::Relaxed),
        }
        Some(keeper)
    }

    fn shared(&self) -> &Shared {
        // SAFETY: freed only after this has let go of it.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.shared().enter(MAY_END);
        Shared::let_go(self.0);
    }
}

impl Shared {
    /// For two users.
    fn new<T: AsRawFd, A: AsRef<[T]> + Send>(fds: A, what: What) -> Option<NonNull<Shared>> {
        #[repr(C)]
        struct Mapped<A> {
            shared: Shared,
            owner: A,
        }
        unsafe fn drop_owner<A>(owner: *mut c_void) {
            // SAFETY: the caller has a value of this type there, and drops it once.
            unsafe { owner.cast::<A>().drop_in_place() };
        }
        let count = fds.as_ref().len();
        let size = size_of::<Mapped<A>>() + count * size_of::<RawFd>();
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new private mapping at an address of the kernel's choice.
        let place = unsafe { libc::mmap(std::ptr::null_mut(), size, protection, flags, -1, 0) };
        if place == libc::MAP_FAILED {
            return None;
        }
        let mapped = place.cast::<Mapped<A>>();
        let numbers = mapped.wrapping_add(1).cast::<RawFd>();
        // SAFETY: mapped for so many, zeroed as yet, and nobody else knows of them.
        let sorted = unsafe { std::slice::from_raw_parts_mut(numbers, count) };
        sorted.iter_mut().zip(fds.as_ref()).for_each(|(number, fd)| *number = fd.as_raw_fd());
        sorted.sort_unstable();
        let shared = Shared {
            state: AtomicU32::new(STARTS),
            users: AtomicU32::new(2),
            size,
            what,
            verdict: AtomicU32::new(UNKNOWN),
            numbers,
            count,
            owner: mapped.wrapping_byte_add(offset_of!(Mapped<A>, owner)).cast(),
            drop_owner: drop_owner::<A>,
        };
        // SAFETY: mapped for a value of this type, which a page is aligned for.
        unsafe { mapped.write(Mapped { shared, owner: fds }) };
        NonNull::new(mapped.cast())
    }

    fn numbers(&self) -> &[RawFd] {
        // SAFETY: so many lie there, and do not change.
        unsafe { std::slice::from_raw_parts(self.numbers, self.count) }
    }

    /// Closes the descriptors in the table of the calling thread. To be called once.
    fn close(&self) {
        // SAFETY: of the type that this is for; one of the users alone closes, once.
        unsafe { (self.drop_owner)(self.owner) };
    }

    fn let_go(shared: NonNull<Shared>) {
        // SAFETY: the caller is one of its users, who have not all let go of it.
        let known = unsafe { shared.as_ref() };
        let size = known.size;
        if known.users.fetch_sub(1, Ordering::AcqRel) == 1 {
            // SAFETY: mapped with this size, and nobody else uses it any more.
            unsafe { libc::munmap(shared.as_ptr().cast(), size) };
        }
    }

    fn enter(&self, state: u32) {
        self.state.store(state, Ordering::Release);
        futex::wake_all(&self.state);
    }

    /// The thread has nothing else any more. `false`: it may end.
    fn keep(&self) -> bool {
        let from = match self.what {
            What::Descriptors => COPIED,
            What::FirstMessage => STARTS,
        };
        let keeps =
            self.state.compare_exchange(from, KEEPS, Ordering::AcqRel, Ordering::Acquire).is_ok();
        futex::wake_all(&self.state);
        keeps
    }

    fn wait_while(&self, state: u32) {
        while self.state.load(Ordering::Acquire) == state {
            let for_ever = std::ptr::null::<libc::timespec>();
            // SAFETY: a valid word, and no timeout.
            unsafe {
                libc::syscall(libc::SYS_futex, &raw const self.state, FUTEX_WAIT, state, for_ever)
            };
        }
    }

    fn wait_briefly_while(&self, state: u32) {
        let end = Instant::now() + MOST;
        while self.state.load(Ordering::Acquire) == state {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let left =
                libc::timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().cast_signed().into() };
            // SAFETY: a valid word and timeout.
            unsafe {
                let left = &raw const left;
                libc::syscall(libc::SYS_futex, &raw const self.state, FUTEX_WAIT, state, left)
            };
        }
    }
}

const FUTEX_WAIT: c_int = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;

/// Starts a thread that nobody joins, and that no signal of the program's goes to.
fn start(shared: NonNull<Shared>) -> Result<()> {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the pointer is to a set that the call fills.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: a set that is filled, and room for another one; it fails for other actions only.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
    let mut started = create(shared, Some(STACK));
    if started == libc::EINVAL {
        // The program has more thread-local storage than that.
        started = create(shared, None);
    }
    // SAFETY: filled above; the set that was in force is not wanted.
    unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut());
    }
    if started == 0 { Ok(()) } else { Err(Errno(started)) }
}

/// An error number, or 0.
fn create(shared: NonNull<Shared>, stack: Option<usize>) -> c_int {
    let mut thread = MaybeUninit::<libc::pthread_t>::uninit();
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: the pointer is to a struct that the call fills.
    let failed = unsafe { libc::pthread_attr_init(attributes.as_mut_ptr()) };
    if failed != 0 {
        return failed;
    }
    let attributes = attributes.as_mut_ptr();
    // SAFETY: initialized above; the state is a valid one.
    unsafe { libc::pthread_attr_setdetachstate(attributes, libc::PTHREAD_CREATE_DETACHED) };
    if let Some(stack) = stack {
        // SAFETY: initialized above; it fails for sizes only that are less than the least.
        unsafe { libc::pthread_attr_setstacksize(attributes, stack) };
    }
    let argument = shared.as_ptr().cast::<c_void>();
    // SAFETY: initialized attributes, and an argument that lives until the thread lets go of it.
    let created = unsafe { libc::pthread_create(thread.as_mut_ptr(), attributes, keep, argument) };
    // SAFETY: initialized above, and not used again.
    unsafe { libc::pthread_attr_destroy(attributes) };
    created
}

/// The thread.
extern "C" fn keep(argument: *mut c_void) -> *mut c_void {
    if let Some(shared) = NonNull::new(argument.cast::<Shared>()) {
        // SAFETY: this thread is one of its users, until it lets go of it below.
        let known = unsafe { shared.as_ref() };
        if let Ok(table) = take_table(known.numbers()) {
            if matches!(known.what, What::Descriptors) {
                known.enter(COPIED);
            }
            table.close_all_but(known.numbers());
            if matches!(known.what, What::FirstMessage) {
                for socket in known.numbers() {
                    known.verdict.store(install_first_message(*socket), Ordering::Release);
                }
            }
            if known.keep() {
                known.wait_while(KEEPS);
            }
        } else {
            known.enter(CLOSES);
            known.close();
        }
        Shared::let_go(shared);
    }
    // What is left in the table is closed by a task that exits.
    std::ptr::null_mut()
}

/// Installs the descriptors of the first message in the table of this thread, for as long as it runs.
fn install_first_message(socket: RawFd) -> u32 {
    let mut rights = Rights::new();
    let look = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    let mut seen = message::receive(socket, &mut [], &mut rights, look);
    if let Err(Errno(libc::ECONNRESET)) = seen {
        // KERNEL: one may stand in front of messages that are still queued.
        seen = message::receive(socket, &mut [], &mut rights, look);
    }
    std::mem::forget(rights);
    // SAFETY: takes no pointers.
    let has_room = || check(unsafe { libc::fcntl(socket, libc::F_DUPFD_CLOEXEC, 0) }).is_ok();
    match seen {
        Ok(seen) if seen.rights_cut && has_room() => REFUSED,
        Ok(_) => ALLOWED,
        Err(_) => UNKNOWN,
    }
}

/// What a table of this thread's own may hold besides.
enum Table {
    /// Nothing above the highest number that is kept.
    Lower,
    /// Anything.
    Whole,
}

/// Gives this thread a table of its own, in which `numbers` are open as before.
fn take_table(numbers: &[RawFd]) -> Result<Table> {
    let last = numbers.last().and_then(|last| c_uint::try_from(*last).ok()).unwrap_or(0);
    if close_range(last + 1, c_uint::MAX, CLOSE_RANGE_UNSHARE).is_ok() {
        return Ok(Table::Lower);
    }
    // KERNEL(5.9): before, or where a filter does not know the call. A filter may refuse this one, too.
    // SAFETY: this thread alone is concerned, which nothing else uses.
    check(unsafe { libc::unshare(libc::CLONE_FILES) }).map(|_| Table::Whole)
}

impl Table {
    fn close_all_but(&self, numbers: &[RawFd]) {
        let mut from = 0;
        for number in numbers.iter().filter_map(|number| c_uint::try_from(*number).ok()) {
            if number > from {
                close_from_to(from, number - 1);
            }
            from = number + 1;
        }
        if matches!(self, Table::Whole) {
            close_from_to(from, highest_number());
        }
    }
}

fn close_from_to(first: c_uint, last: c_uint) {
    if close_range(first, last, 0).is_err() {
        for number in first..=last {
            // SAFETY: in a table of this thread's own, where nobody has use for it.
            unsafe { libc::close(number.cast_signed()) };
        }
    }
}

/// Above which a table of this process has none.
fn highest_number() -> c_uint {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let size = status.lines().find_map(|line| line.strip_prefix("FDSize:")?.trim().parse().ok());
    size.unwrap_or(1 << 16)
}

const CLOSE_RANGE_UNSHARE: c_uint = 1 << 1;

fn close_range(first: c_uint, last: c_uint, flags: c_uint) -> Result<()> {
    // SAFETY: called in a table of this thread's own, or to get one.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    if closed == 0 { Ok(()) } else { Err(Errno::last()) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::io::{Read, Write, pipe};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::{AsFd, OwnedFd};

    /// Of a connection whose other side does not read.
    pub(crate) fn lingering() -> (OwnedFd, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut socket =
            TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        let (other, _) = listener.accept().expect("connected");
        socket.set_nonblocking(true).expect("a socket");
        while socket.write(&[0; 1 << 13]).is_ok() {}
        let linger = libc::linger { l_onoff: 1, l_linger: 20 };
        let len = libc::socklen_t::try_from(size_of_val(&linger)).expect("8");
        // SAFETY: a valid value of that length.
        let set = unsafe {
            let value = (&raw const linger).cast();
            libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, value, len)
        };
        assert_eq!(set, 0);
        (socket.into(), other)
    }

    #[test]
    fn nobody_waits_for_a_socket_that_lingers() {
        let (socket, other) = lingering();
        let start = Instant::now();
        close_elsewhere([socket]);
        assert!(start.elapsed() < Duration::from_secs(5));
        drop(other);
    }

    #[test]
    fn what_is_closed_comes_to_its_end() {
        let ((mut end, closed), (mut other_end, kept)) =
            (pipe().expect("a pipe"), pipe().expect("a pipe"));
        let file = std::fs::File::open("/dev/null").expect("it is there");
        close_elsewhere([OwnedFd::from(closed), file.into()]);
        assert_eq!(end.read(&mut [0]).expect("an end"), 0);
        drop(kept);
        assert_eq!(other_end.read(&mut [0]).expect("an end"), 0);
        close_elsewhere::<OwnedFd, _>([]);
        assert!(end.as_fd().as_raw_fd() >= 0);
    }
}
