//! The coarse monotonic clock, and that of a thread.

use super::{Result, check};
use std::mem::MaybeUninit;
use std::time::Duration;

/// Milliseconds of the monotonic clock, exact to a timer tick (a few milliseconds).
///
/// The vDSO answers it without a system call and without reading a hardware counter.
pub(crate) fn coarse_ms() -> u64 {
    // Where a filter refuses the call, and there is no vDSO, it stands still.
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec that the call fills.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut now) };
    #[allow(clippy::cast_sign_loss, reason = "the monotonic clock is never negative")]
    let ms = now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000;
    ms
}

/// `CLOCK_THREAD_CPUTIME_ID`: how long the calling thread has had a processor.
pub(crate) fn time_of_thread() -> Result<Duration> {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the pointer is to a timespec that the call fills.
    check(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, time.as_mut_ptr()) })?;
    // SAFETY: filled by the successful call above.
    let time = unsafe { time.assume_init() };
    #[allow(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "none is negative")]
    let time = Duration::new(time.tv_sec as u64, time.tv_nsec as u32);
    Ok(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coarse_clock_is_that_of_the_monotonic_one() {
        let mut now = MaybeUninit::<libc::timespec>::uninit();
        // SAFETY: the pointer is to a timespec that the call fills.
        let told = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, now.as_mut_ptr()) };
        assert_eq!(told, 0);
        // SAFETY: filled by the successful call above.
        let now = unsafe { now.assume_init() };
        let exact = i128::from(now.tv_sec) * 1000 + i128::from(now.tv_nsec) / 1_000_000;
        // A tick, and what the machine makes of it.
        assert!((exact - i128::from(coarse_ms())).abs() < 500);
    }
}
