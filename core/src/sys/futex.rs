//! Waiting for a word in memory to change.
//!
//! KERNEL: `sched_yield` never lets a thread of lower priority run, so a real-time thread that waits by
//! it can wait for ever for one that is not. A thread that sleeps on a futex cannot.

use super::clock;
use std::sync::atomic::AtomicU32;

/// How long to wait in all, however often the wait is cut short.
const MOST_MS: u64 = 250;

/// How long to sleep at once, and what a sleep counts at most: a process that was stopped meanwhile, or
/// had no processor, has not waited.
const STEP_MS: i32 = 10;
const MOST_COUNTED_MS: u64 = 20;

/// What is left of the time that a waiter has.
#[derive(Debug)]
pub(crate) struct Patience {
    left_ms: u64,
    last: Option<u64>,
}

impl Patience {
    pub(crate) fn new() -> Patience {
        Patience { left_ms: MOST_MS, last: None }
    }

    /// Sleeps while `word` holds `value`, or less long. `false`: the time is up.
    pub(crate) fn wait(&mut self, word: &AtomicU32, value: u32) -> bool {
        let now = clock::coarse_ms();
        let passed = now.saturating_sub(self.last.replace(now).unwrap_or(now));
        self.left_ms = self.left_ms.saturating_sub(passed.min(MOST_COUNTED_MS));
        if self.left_ms > 0 {
            wait(word, value);
        }
        self.left_ms > 0
    }
}

fn wait(word: &AtomicU32, value: u32) {
    let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    let timeout = libc::timespec { tv_sec: 0, tv_nsec: (STEP_MS * 1_000_000).into() };
    // SAFETY: a valid word and timeout. Whatever it answers, the caller looks at the word again.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, value, &raw const timeout) };
}

/// Wakes all that wait for `word` to change.
pub(crate) fn wake_all(word: &AtomicU32) {
    let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: a valid word; it fails for others only.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, i32::MAX) };
}
