//! What the thread that keeps descriptors and its owner both know.

use crate::sys::futex;
use std::ffi::{c_int, c_void};
use std::mem::offset_of;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// What the thread keeps.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    Descriptors,
    /// Of the one descriptor's socket. Where it is to be known whether they are refused: so many
    /// descriptors come with it.
    FirstMessage(usize),
}

/// What both threads know. It is mapped, and not allocated: the C library would make an arena for a
/// thread that frees something.
#[derive(Debug)]
pub(super) struct Shared {
    state: AtomicU32,
    /// Whoever lets go of it last frees it.
    users: AtomicU32,
    size: usize,
    pub(super) what: What,
    /// Whether the first message may not be received. Not in doubt.
    refused: AtomicBool,
    /// In ascending order.
    numbers: *const RawFd,
    count: usize,
    /// What owns the descriptors, and how it is dropped.
    owner: *mut c_void,
    drop_owner: unsafe fn(*mut c_void),
}

/// The thread has not said yet what it can do.
pub(super) const STARTS: u32 = 0;
/// It has the descriptors open in a table of its own, and others as well.
pub(super) const COPIED: u32 = 1;
/// It has them alone.
pub(super) const KEEPS: u32 = 2;
/// They are closed in the table of the program.
pub(super) const MAY_END: u32 = 3;
/// It can have no table of its own, and closes them in that of the program.
pub(super) const CLOSES: u32 = 4;

impl Shared {
    /// For two users.
    pub(super) fn new<T: AsRawFd, A: AsRef<[T]> + Send>(
        fds: A,
        what: What,
    ) -> Option<NonNull<Shared>> {
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
            refused: AtomicBool::new(false),
            numbers,
            count,
            owner: mapped.wrapping_byte_add(offset_of!(Mapped<A>, owner)).cast(),
            drop_owner: drop_owner::<A>,
        };
        // SAFETY: mapped for a value of this type, which a page is aligned for.
        unsafe { mapped.write(Mapped { shared, owner: fds }) };
        NonNull::new(mapped.cast())
    }

    pub(super) fn numbers(&self) -> &[RawFd] {
        // SAFETY: so many lie there, and do not change.
        unsafe { std::slice::from_raw_parts(self.numbers, self.count) }
    }

    /// Closes the descriptors in the table of the calling thread. To be called once.
    pub(super) fn close(&self) {
        // SAFETY: of the type that this is for; one of the users alone closes, once.
        unsafe { (self.drop_owner)(self.owner) };
    }

    pub(super) fn let_go(shared: NonNull<Shared>) {
        // SAFETY: the caller is one of its users, who have not all let go of it.
        let known = unsafe { shared.as_ref() };
        let size = known.size;
        if known.users.fetch_sub(1, Ordering::AcqRel) == 1 {
            // SAFETY: mapped with this size, and nobody else uses it any more.
            unsafe { libc::munmap(shared.as_ptr().cast(), size) };
        }
    }

    pub(super) fn state(&self) -> u32 {
        self.state.load(Ordering::Acquire)
    }

    /// The thread does not come to be.
    pub(super) fn has_one_user(&self) {
        self.users.store(1, Ordering::Relaxed);
    }

    pub(super) fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Acquire)
    }

    pub(super) fn note_refused(&self) {
        self.refused.store(true, Ordering::Release);
    }

    pub(super) fn enter(&self, state: u32) {
        self.state.store(state, Ordering::Release);
        futex::wake_all(&self.state);
    }

    /// The thread has nothing else any more. `false`: it may end.
    pub(super) fn keep(&self) -> bool {
        let from = match self.what {
            What::Descriptors => COPIED,
            What::FirstMessage(_) => STARTS,
        };
        let keeps =
            self.state.compare_exchange(from, KEEPS, Ordering::AcqRel, Ordering::Acquire).is_ok();
        futex::wake_all(&self.state);
        keeps
    }

    pub(super) fn wait_while(&self, state: u32) {
        while self.state() == state {
            let for_ever = std::ptr::null::<libc::timespec>();
            // SAFETY: a valid word, and no timeout.
            unsafe {
                libc::syscall(libc::SYS_futex, &raw const self.state, FUTEX_WAIT, state, for_ever)
            };
        }
    }

    /// The same, but no longer than `most`: less than a second.
    pub(super) fn wait_while_for(&self, state: u32, most: Duration) {
        let end = Instant::now() + most;
        while self.state() == state {
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
