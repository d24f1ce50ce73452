//! Waiting for a word in memory to change.
//!
//! KERNEL: `sched_yield` never lets a thread of lower priority run, so a real-time thread that waits by
//! it can wait for ever for one that is not. A thread that sleeps on a futex cannot.

use super::clock;
use std::sync::atomic::AtomicU32;

/// How long to wait in all, however often the wait is cut short.
const MOST_MS: u64 = 250;

/// What is left of the time that a waiter has.
#[derive(Debug)]
pub(crate) struct Patience {
    until: Option<u64>,
}

impl Patience {
    pub(crate) fn new() -> Patience {
        Patience { until: None }
    }

    /// Sleeps while `word` holds `value`, or less long. `false`: the time is up.
    pub(crate) fn wait(&mut self, word: &AtomicU32, value: u32) -> bool {
        let now = clock::coarse_ms();
        let until = *self.until.get_or_insert(now + MOST_MS);
        let Some(left) = until.checked_sub(now).filter(|left| *left > 0) else { return false };
        wait(word, value, left);
        true
    }
}

fn wait(word: &AtomicU32, value: u32, ms: u64) {
    let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    let ms = i32::try_from(ms.min(999)).unwrap_or(999);
    let timeout = libc::timespec { tv_sec: 0, tv_nsec: (ms * 1_000_000).into() };
    // SAFETY: a valid word and timeout. Whatever it answers, the caller looks at the word again.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, value, &raw const timeout) };
}

/// Wakes all that wait for `word` to change.
pub(crate) fn wake_all(word: &AtomicU32) {
    let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: a valid word; it fails for others only.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, i32::MAX) };
}
