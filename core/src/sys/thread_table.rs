//! Threads that have a table of descriptors of their own (`unshare(CLONE_FILES)`, `close_range` with
//! `CLOSE_RANGE_UNSHARE`).
//!
//! KERNEL: a number means something else in each table. What such a thread opens, or has closed, is
//! unknown to the others, who would send over its numbers; so it may not use the library. It is told by
//! `kcmp`, which cannot be asked each time; and where the kernel does not have it, not at all.

use super::{Errno, Result, clock, ids};
use std::cell::Cell;
use std::ffi::{c_int, c_long};
use std::sync::atomic::{AtomicI32, Ordering};

/// For so long an answer is believed.
const BELIEVED_MS: u64 = 100;

/// A thread that has the process's table; 0: the first one of the process.
static ONE_OF_US: AtomicI32 = AtomicI32::new(0);

thread_local! { static BELIEVED_UNTIL: Cell<u64> = const { Cell::new(0) } }

/// EOPNOTSUPP: the calling thread has a table of its own.
pub(crate) fn check() -> Result<()> {
    check_at(clock::coarse_ms())
}

/// The same by a clock that has been read already.
pub(crate) fn check_at(now: u64) -> Result<()> {
    if now <= BELIEVED_UNTIL.get() { Ok(()) } else { ask_at(now) }
}

/// In a forked child, which has one thread.
pub(super) fn begin_anew() {
    ONE_OF_US.store(0, Ordering::Relaxed);
}

#[cold]
fn ask_at(now: u64) -> Result<()> {
    ask()?;
    BELIEVED_UNTIL.set(now + BELIEVED_MS);
    Ok(())
}

fn ask() -> Result<()> {
    let us = match ONE_OF_US.load(Ordering::Relaxed) {
        0 => ids::process(),
        us => us,
    };
    let me = ids::thread();
    let differ = compare(us, me, KCMP_FILES);
    // KERNEL: the first thread of a process stays a zombie, without memory, until the others have
    // ended, too.
    if differ > 0 && compare(us, me, KCMP_VM) == 0 {
        return Err(Errno(libc::EOPNOTSUPP));
    }
    if differ != 0 {
        ONE_OF_US.store(me, Ordering::Relaxed);
    }
    Ok(())
}

const KCMP_VM: c_int = 1;
const KCMP_FILES: c_int = 2;

fn compare(one: i32, other: i32, what: c_int) -> c_long {
    // SAFETY: takes no pointers.
    unsafe { libc::syscall(libc::SYS_kcmp, one, other, what, 0, 0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_not_believed_for_long() {
        assert_eq!(check_at(5000), Ok(()));
        assert_eq!(BELIEVED_UNTIL.get(), 5000 + BELIEVED_MS);
        assert_eq!(check_at(5000 + BELIEVED_MS), Ok(()));
        assert_eq!(BELIEVED_UNTIL.get(), 5000 + BELIEVED_MS);
        assert_eq!(check_at(5001 + BELIEVED_MS), Ok(()));
        assert_eq!(BELIEVED_UNTIL.get(), 5001 + 2 * BELIEVED_MS);
    }

    #[test]
    fn a_thread_with_a_table_of_its_own_is_told() {
        assert_eq!(check(), Ok(()));
        let other = std::thread::spawn(|| {
            let before = check();
            BELIEVED_UNTIL.set(0);
            // SAFETY: this thread alone is concerned, and opens nothing.
            let unshared = unsafe { libc::unshare(libc::CLONE_FILES) };
            (before, unshared, check())
        });
        let told = Err(Errno(libc::EOPNOTSUPP));
        assert_eq!(other.join().expect("a thread"), (Ok(()), 0, told));
        BELIEVED_UNTIL.set(0);
        assert_eq!(check(), Ok(()));
    }
}
