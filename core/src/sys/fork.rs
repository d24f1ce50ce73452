//! How a forked child forgets what it has inherited of the library.
//!
//! KERNEL: a child inherits every socket. It could then steal mail, keep a dead parent's inbox open
//! and hide a hang-up from the other side. So a child closes all that stands in the table of descriptors
//! (`table.rs`) before anything else: in a `pthread_atfork` handler, or, after a raw `clone`, at its
//! first call, which it knows by a page that the kernel wipes.
//!
//! The handlers are registered when the library is loaded, before those of the program: handlers before
//! a fork run in reverse order, so the gate is shut last, and no lock of the program's is waited for
//! behind it. The child's handler uses atomics and system calls only, as POSIX demands of a child of a
//! threaded process.

use super::cancel::Uncancelled;
use super::futex::{self, Patience};
use super::shared::boxed;
use super::{Result, gate, ids, memory, table, thread_table};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, Ordering};

/// How many times this process's line has forked since the library was loaded.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// A word in a page that reads as zero in every child: `AWAKE` once this process has settled in.
static PAGE: AtomicPtr<AtomicU32> = AtomicPtr::new(std::ptr::null_mut());
const WIPED: u32 = 0;
const WAKING: u32 = 1;
const AWAKE: u32 = 2;
/// Where the kernel does not wipe: a fork is under way, and this may be the child.
const PERHAPS: u32 = 3;

/// Whether the kernel wipes the page.
static WIPES: AtomicBool = AtomicBool::new(false);

/// The process that forks, where the kernel does not wipe.
static FORKING: AtomicI32 = AtomicI32::new(0);

static PREPARED: AtomicBool = AtomicBool::new(false);

// Run when the library is loaded, and where it is part of the program, before the program's constructors
// of no priority: prepare handlers run in reverse order.
#[used]
#[unsafe(link_section = ".init_array.00099")]
static AT_LOAD: extern "C" fn() = prepare_once;

/// Registers the handlers and maps the page, where that has not been done.
///
/// No lock and no `Once`: a fork can catch another thread half way, and the child would wait for it.
pub(super) fn prepare() {
    if !PREPARED.load(Ordering::Relaxed) {
        prepare_once();
    }
    generation();
}

extern "C" fn prepare_once() {
    if PREPARED.swap(true, Ordering::AcqRel) {
        return;
    }
    // SAFETY: three functions that live as long as this library; glibc drops them by itself when the
    // library is unloaded. It can fail for want of memory only; the page then does it.
    unsafe { libc::pthread_atfork(Some(before_fork), Some(after_in_parent), Some(after_in_child)) };
    if let Ok(page) = memory::zeroed::<AtomicU32>() {
        WIPES.store(memory::wipe_on_fork(page), Ordering::Relaxed);
        page.store(AWAKE, Ordering::Relaxed);
        PAGE.store(std::ptr::from_ref(page).cast_mut(), Ordering::Release);
    }
}

/// A number that differs between a process and the children it forks.
///
/// The first call in a child closes what it inherited of the library.
pub(crate) fn generation() -> u32 {
    if let Some(page) = memory::shared(PAGE.load(Ordering::Acquire))
        && page.load(Ordering::Acquire) != AWAKE
    {
        settle(page);
    }
    GENERATION.load(Ordering::Relaxed)
}

#[cold]
fn settle(page: &AtomicU32) {
    loop {
        match page.load(Ordering::Acquire) {
            AWAKE => return,
            PERHAPS if ids::process() == FORKING.load(Ordering::Relaxed) => return,
            // Another thread of this child is at it; it only closes descriptors.
            WAKING => {
                Patience::new().wait(page, WAKING);
            }
            child @ (WIPED | PERHAPS) if turn(page, child, WAKING) => {
                begin_anew();
                page.store(AWAKE, Ordering::Release);
                futex::wake_all(page);
            }
            _ => {}
        }
    }
}

/// Closes everything that was inherited and begins a new generation.
///
/// A child of a thread that is to be cancelled is to be cancelled, too, but not by its fork.
fn begin_anew() {
    let _uncancelled = Uncancelled::begin();
    table::close_inherited();
    thread_table::begin_anew();
    GENERATION.fetch_add(1, Ordering::Relaxed);
    gate::begin_anew();
}

extern "C" fn before_fork() {
    gate::shut();
    if let Some(page) = memory::shared(PAGE.load(Ordering::Acquire))
        && !WIPES.load(Ordering::Relaxed)
    {
        FORKING.store(ids::process(), Ordering::Relaxed);
        turn(page, AWAKE, PERHAPS);
    }
}

extern "C" fn after_in_parent() {
    if let Some(page) = memory::shared(PAGE.load(Ordering::Acquire)) {
        turn(page, PERHAPS, AWAKE);
    }
    gate::open();
}

fn turn(page: &AtomicU32, from: u32, to: u32) -> bool {
    page.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
}

/// A handler of the program's that ran before this one may have called the library, which then has begun
/// anew already: what was opened since stays.
extern "C" fn after_in_child() {
    match memory::shared(PAGE.load(Ordering::Acquire)) {
        Some(_) => drop(generation()),
        None => begin_anew(),
    }
}

/// Runs `work`, which opens and closes descriptors by itself and must not wait, between forks.
pub(crate) fn undisturbed<T>(work: impl FnOnce() -> T) -> T {
    prepare();
    let _pass = gate::pass();
    work()
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
    /// ENOMEM: there is no memory for it.
    pub(crate) fn get(&self, make: fn() -> T) -> Result<&T> {
        let generation = generation();
        loop {
            let inherited = self.0.load(Ordering::Acquire);
            // SAFETY: null, or leaked below and never freed.
            match unsafe { inherited.as_ref() } {
                Some(held) if held.generation == generation => return Ok(&held.value),
                _ => {}
            }
            self.replace(inherited, generation, make)?;
        }
    }

    /// Out of line: every send would touch the stack that a new value takes on its way to the heap.
    #[cold]
    #[inline(never)]
    fn replace(&self, inherited: *mut Held<T>, generation: u32, make: fn() -> T) -> Result<()> {
        let held = Held { generation, value: make(), _inherited: AtomicPtr::new(inherited) };
        let new = Box::into_raw(boxed(held)?);
        let swap = self.0.compare_exchange(inherited, new, Ordering::AcqRel, Ordering::Acquire);
        if swap.is_err() {
            // SAFETY: made above and seen by nobody else.
            drop(unsafe { Box::from_raw(new) });
        }
        Ok(())
    }
}
