//! Which descriptors are the library's own, and how a forked child forgets them.
//!
//! KERNEL: a child inherits every socket. It could then steal mail, keep a dead parent's inbox open
//! and hide a hang-up from the other side. So the numbers of all descriptors that the library opens
//! stand in one table, and a child closes them before anything else: in a `pthread_atfork` handler,
//! or, after a raw `clone`, at its first call, which it knows by a page that the kernel wipes.
//!
//! Guarantees: no descriptor is created or closed by the library while a fork is under way, so the
//! child's copy of the table is exact. The child's handler uses atomics and `close` only, as POSIX
//! demands of a child of a threaded process.

use super::{Errno, Result};
use std::ffi::c_void;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// One past the highest number that can be registered (the usual hard limit of `RLIMIT_NOFILE`).
const MOST: usize = 1 << 20;

/// Bit n is set while descriptor n is ours. A page of it comes into being when it is first touched.
static OURS: [AtomicU64; MOST / 64] = [const { AtomicU64::new(0) }; MOST / 64];

/// One past the highest number registered so far.
static HIGHEST: AtomicUsize = AtomicUsize::new(0);

/// How many times this process's line has forked since the library was loaded.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// A word in a page that reads as zero in every child: `AWAKE` once this process has settled in.
static PAGE: AtomicPtr<AtomicU32> = AtomicPtr::new(std::ptr::null_mut());
const WIPED: u32 = 0;
const WAKING: u32 = 1;
const AWAKE: u32 = 2;

/// Threads that are creating or closing a descriptor, and `FORKING` from the moment on when a thread
/// wants to fork: from then on nobody enters, so that it need not wait for long.
static GATE: AtomicU32 = AtomicU32::new(0);
const FORKING: u32 = 1 << 31;

struct Pass;

impl Pass {
    fn take() -> Pass {
        loop {
            let inside = GATE.load(Ordering::Relaxed) & !FORKING;
            let entered = GATE.compare_exchange_weak(
                inside,
                inside + 1,
                Ordering::Acquire,
                Ordering::Relaxed,
            );
            if entered.is_ok() {
                return Pass;
            }
            std::thread::yield_now();
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        GATE.fetch_sub(1, Ordering::Release);
    }
}

/// Takes a descriptor from `make` into the table, so that no child keeps it.
///
/// `make` must not wait: a fork in another thread waits for it.
pub(super) fn enlist(make: impl FnOnce() -> Result<OwnedFd>) -> Result<OwnedFd> {
    prepare_once();
    generation();
    let _pass = Pass::take();
    let fd = make()?;
    register(&fd)?;
    Ok(fd)
}

/// The same for two at once.
pub(super) fn enlist_pair(
    make: impl FnOnce() -> Result<(OwnedFd, OwnedFd)>,
) -> Result<(OwnedFd, OwnedFd)> {
    prepare_once();
    generation();
    let _pass = Pass::take();
    let (one, other) = make()?;
    register(&one)?;
    register(&other).inspect_err(|_| unregister(&one))?;
    Ok((one, other))
}

fn register(fd: &OwnedFd) -> Result<()> {
    let (word, bit) = place(fd.as_raw_fd()).ok_or(Errno(libc::EMFILE))?;
    HIGHEST.fetch_max(word + 1, Ordering::Relaxed);
    OURS[word].fetch_or(bit, Ordering::Relaxed);
    Ok(())
}

fn unregister(fd: &OwnedFd) {
    disown(fd.as_raw_fd());
}

/// Runs `work`, which opens and closes descriptors by itself and must not wait, between forks.
pub(crate) fn undisturbed<T>(work: impl FnOnce() -> T) -> T {
    prepare_once();
    generation();
    let _pass = Pass::take();
    work()
}

/// Closes a descriptor of ours; not in a child, where it is closed already.
pub(super) fn discharge(fd: OwnedFd) {
    generation();
    let _pass = Pass::take();
    let ours = place(fd.as_raw_fd())
        .is_some_and(|(word, bit)| OURS[word].fetch_and(!bit, Ordering::Relaxed) & bit != 0);
    if ours {
        drop(fd);
    } else {
        std::mem::forget(fd);
    }
}

pub(super) fn is_ours(fd: RawFd) -> bool {
    place(fd).is_some_and(|(word, bit)| OURS[word].load(Ordering::Relaxed) & bit != 0)
}

/// Leaves a number alone that has come to mean something of the program's.
pub(super) fn disown(fd: RawFd) {
    if let Some((word, bit)) = place(fd) {
        OURS[word].fetch_and(!bit, Ordering::Relaxed);
    }
}

fn place(fd: RawFd) -> Option<(usize, u64)> {
    let fd = usize::try_from(fd).ok().filter(|fd| *fd < MOST)?;
    Some((fd / 64, 1 << (fd % 64)))
}

/// A number that differs between a process and the children it forks.
///
/// The first call in a child closes what it inherited of the library.
pub(crate) fn generation() -> u32 {
    let page = PAGE.load(Ordering::Acquire);
    if !page.is_null() {
        // SAFETY: once set, the pointer stays valid until the process ends.
        let page = unsafe { &*page };
        if page.load(Ordering::Acquire) != AWAKE {
            wake_in_child(page);
        }
    }
    GENERATION.load(Ordering::Relaxed)
}

#[cold]
fn wake_in_child(page: &AtomicU32) {
    match page.compare_exchange(WIPED, WAKING, Ordering::Acquire, Ordering::Acquire) {
        Ok(_) => {
            forget();
            page.store(AWAKE, Ordering::Release);
        }
        // Another thread of this child is at it; it only closes descriptors.
        Err(_) => {
            while page.load(Ordering::Acquire) == WAKING {
                std::thread::yield_now();
            }
        }
    }
}

/// Closes everything that was inherited and begins a new generation.
fn forget() {
    let highest = HIGHEST.load(Ordering::Relaxed);
    for (index, word) in OURS[..highest].iter().enumerate() {
        let mut bits = word.swap(0, Ordering::Relaxed);
        while bits != 0 {
            let fd = index * 64 + bits.trailing_zeros() as usize;
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_possible_wrap,
                reason = "< 2^20"
            )]
            // SAFETY: a descriptor that the library opened before the fork and that its owner in
            // this process can no longer reach: every use checks the generation first.
            unsafe {
                libc::close(fd as RawFd)
            };
            bits &= bits - 1;
        }
    }
    GENERATION.fetch_add(1, Ordering::Relaxed);
    GATE.store(0, Ordering::Release);
}

extern "C" fn before_fork() {
    while GATE.fetch_or(FORKING, Ordering::Acquire) & FORKING != 0 {
        std::thread::yield_now();
    }
    while GATE.load(Ordering::Acquire) != FORKING {
        std::thread::yield_now();
    }
}

extern "C" fn after_fork_in_parent() {
    GATE.store(0, Ordering::Release);
}

extern "C" fn after_fork_in_child() {
    forget();
    let page = PAGE.load(Ordering::Acquire);
    if !page.is_null() {
        // SAFETY: once set, the pointer stays valid until the process ends.
        unsafe { &*page }.store(AWAKE, Ordering::Release);
    }
}

/// Something that every process has one of: a child begins with a new one and leaves the inherited
/// one alone, whose locks other threads may have held at the fork.
#[derive(Debug)]
pub(crate) struct PerProcess<T>(AtomicPtr<Held<T>>);

#[derive(Debug)]
struct Held<T> {
    generation: u32,
    value: T,
    /// What the parent had. Never used; leak checkers shall see that it is not lost.
    _inherited: AtomicPtr<Held<T>>,
}

impl<T: Send + Sync + 'static> PerProcess<T> {
    pub(crate) const fn new() -> PerProcess<T> {
        PerProcess(AtomicPtr::new(std::ptr::null_mut()))
    }

    /// The one of this process; `make` makes it at the first call.
    pub(crate) fn get(&self, make: fn() -> T) -> &T {
        let generation = generation();
        loop {
            let inherited = self.0.load(Ordering::Acquire);
            // SAFETY: null, or leaked below and never freed.
            match unsafe { inherited.as_ref() } {
                Some(held) if held.generation == generation => return &held.value,
                _ => {}
            }
            self.replace(inherited, generation, make);
        }
    }

    /// Out of line: every send would touch the stack that a new value takes on its way to the heap.
    #[cold]
    #[inline(never)]
    fn replace(&self, inherited: *mut Held<T>, generation: u32, make: fn() -> T) {
        let new = Box::into_raw(Box::new(Held {
            generation,
            value: make(),
            _inherited: AtomicPtr::new(inherited),
        }));
        let swap = self.0.compare_exchange(inherited, new, Ordering::AcqRel, Ordering::Acquire);
        if swap.is_err() {
            // SAFETY: made above and seen by nobody else.
            drop(unsafe { Box::from_raw(new) });
        }
    }
}

/// Registers the handlers and maps the page, at the first descriptor.
fn prepare_once() {
    static PREPARED: Once = Once::new();
    PREPARED.call_once(|| {
        // SAFETY: three functions that live as long as this library; glibc drops them by itself
        // when the library is unloaded. It can fail for want of memory only; the page then does it.
        unsafe {
            libc::pthread_atfork(
                Some(before_fork),
                Some(after_fork_in_parent),
                Some(after_fork_in_child),
            )
        };
        map_page();
    });
}

fn map_page() {
    const SIZE: usize = 4096;
    // SAFETY: a new private mapping at an address of the kernel's choice.
    let page = unsafe {
        libc::mmap(
            std::ptr::null_mut::<c_void>(),
            SIZE,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if page == libc::MAP_FAILED {
        return;
    }
    // SAFETY: the mapping made above. KERNEL(4.14): where it is refused, the atfork handlers alone
    // do the work, and a raw clone is not noticed.
    unsafe { libc::madvise(page, SIZE, libc::MADV_WIPEONFORK) };
    let page = page.cast::<AtomicU32>();
    // SAFETY: mapped, aligned to a page, zeroed, and never unmapped.
    unsafe { &*page }.store(AWAKE, Ordering::Relaxed);
    PAGE.store(page, Ordering::Release);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_out_of_the_table_has_no_place() {
        assert_eq!(place(-1), None);
        assert_eq!(place(1 << 20), None);
        assert_eq!(place(65), Some((1, 2)));
    }
}
