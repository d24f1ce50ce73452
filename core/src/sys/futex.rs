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
        let has_time = self.left_ms > 0;
        if has_time {
            wait(word, value);
        }
        has_time
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;
    use std::time::{Duration, Instant};

    const LONG: Duration = Duration::from_secs(20);

    /// What the kernel is to be told; the answer.
    fn futex(word: &AtomicU32, operation: i32, value: u32, timeout: Option<Duration>) -> i64 {
        let timeout = timeout.map(|timeout| libc::timespec {
            tv_sec: timeout.as_secs().cast_signed(),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        let operation = operation | libc::FUTEX_PRIVATE_FLAG;
        // SAFETY: a valid word, and a valid timeout or none.
        unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, value, timeout) }
    }

    #[test]
    fn patience_ends_after_sleeps_of_a_step_each() {
        let (word, begun) = (AtomicU32::new(1), Instant::now());
        let (mut patience, mut sleeps) = (Patience::new(), 0);
        while patience.wait(&word, 1) {
            sleeps += 1;
            assert!(sleeps <= 60, "they are too short");
        }
        assert!(begun.elapsed() >= Duration::from_millis(MOST_MS / 2));
        assert!(sleeps >= MOST_MS / MOST_COUNTED_MS, "{sleeps}: a long sleep has counted as such");
        assert!(!patience.wait(&word, 1));
    }

    #[test]
    fn who_waits_can_be_woken() {
        let word = AtomicU32::new(1);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while word.load(Ordering::Relaxed) == 1 {
                    wait(&word, 1);
                }
            });
            let begun = Instant::now();
            while futex(&word, libc::FUTEX_WAKE, 1, None) != 1 && begun.elapsed() < LONG {}
            word.store(2, Ordering::Relaxed);
            assert!(begun.elapsed() < LONG, "it does not sleep, or is not found");
        });
        let begun = Instant::now();
        futex(&word, libc::FUTEX_WAIT, 1, Some(LONG));
        assert!(begun.elapsed() < LONG, "the word has another value");
    }

    #[test]
    fn all_are_woken() {
        let (word, awake) = (AtomicU32::new(1), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    assert_eq!(futex(&word, libc::FUTEX_WAIT, 1, Some(LONG)), 0, "not woken");
                    awake.fetch_add(1, Ordering::Relaxed);
                });
            }
            let begun = Instant::now();
            while awake.load(Ordering::Relaxed) < 3 && begun.elapsed() < LONG {
                wake_all(&word);
                std::thread::yield_now();
            }
        });
    }
}
