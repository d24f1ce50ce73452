//! Timeouts, counted once in a call.

use crate::sys::clock;
use std::time::{Duration, Instant};

/// When a call has to be back.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deadline {
    /// It must not wait at all.
    Now,
    At(Instant),
    Never,
}

impl Deadline {
    /// `None` waits for ever.
    pub(crate) fn after(timeout: Option<Duration>) -> Deadline {
        match timeout {
            Some(Duration::ZERO) => Deadline::Now,
            Some(timeout) => {
                Instant::now().checked_add(timeout).map_or(Deadline::Never, Deadline::At)
            }
            None => Deadline::Never,
        }
    }

    /// The same, or `part` from now, whichever is sooner.
    pub(crate) fn at_most(self, part: Duration) -> Deadline {
        let part = Deadline::after(Some(part));
        match (self, part) {
            (Deadline::At(end), Deadline::At(part)) => Deadline::At(end.min(part)),
            (Deadline::Never, _) => part,
            (Deadline::Now | Deadline::At(_), _) => self,
        }
    }

    /// What is left; `None` if that has no end.
    pub(crate) fn left(self) -> Option<Duration> {
        match self {
            Deadline::Now => Some(Duration::ZERO),
            Deadline::At(end) => Some(end.saturating_duration_since(Instant::now())),
            Deadline::Never => None,
        }
    }

    /// The same as `poll` and `epoll_wait` want it: rounded up, -1 for no end.
    pub(crate) fn left_ms(self) -> i32 {
        match self {
            Deadline::Now => 0,
            Deadline::At(end) => whole_ms(end.saturating_duration_since(Instant::now())),
            Deadline::Never => -1,
        }
    }

    pub(crate) fn has_passed(self) -> bool {
        match self {
            Deadline::Now => true,
            Deadline::At(end) => Instant::now() >= end,
            Deadline::Never => false,
        }
    }

    /// What a call reports that found nothing in time.
    pub(crate) fn errno(self) -> i32 {
        match self {
            Deadline::Now => libc::EAGAIN,
            Deadline::At(_) | Deadline::Never => libc::ETIMEDOUT,
        }
    }
}

/// How much longer than its deadline a call may be at work, to get past what turns out to be no mail: so
/// that what is there is found by a call that does not wait, and no flood makes a call late. It is time on
/// a processor: a call that has to wait for one has done nothing yet.
const OVERTIME: Duration = Duration::from_millis(10);

/// The time that a call has beyond its deadline.
#[derive(Debug)]
pub(crate) struct Overtime {
    deadline: Deadline,
    /// The time of the thread when it was first seen that the deadline had passed.
    begun: Option<Duration>,
}

impl Overtime {
    pub(crate) fn of(deadline: Deadline) -> Overtime {
        Overtime { deadline, begun: None }
    }

    pub(crate) fn is_over(&mut self) -> bool {
        self.deadline.has_passed()
            && clock::time_of_thread()
                .map_or(true, |now| now.saturating_sub(*self.begun.get_or_insert(now)) >= OVERTIME)
    }
}

/// Rounded up: a wait that ends too early would be followed by one that does not wait at all.
fn whole_ms(left: Duration) -> i32 {
    i32::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_rounded_up() {
        for (nanos, ms) in [(0, 0), (1, 1), (999_999, 1), (1_000_000, 1), (1_000_001, 2)] {
            assert_eq!(whole_ms(Duration::from_nanos(nanos)), ms);
        }
        assert_eq!(whole_ms(Duration::from_secs(1 << 40)), i32::MAX);
        assert_eq!(Deadline::after(None).left_ms(), -1);
        assert_eq!(Deadline::after(Some(Duration::ZERO)).left_ms(), 0);
        assert_eq!(Deadline::At(Instant::now()).left_ms(), 0);
        assert_eq!(Deadline::after(Some(Duration::MAX)).left_ms(), -1);
        assert_eq!(Deadline::after(Some(Duration::from_secs(1 << 40))).left_ms(), i32::MAX);
    }

    #[test]
    fn overtime_ends() {
        assert!(!Overtime::of(Deadline::after(Some(Duration::from_secs(9)))).is_over());
        assert!(!Overtime::of(Deadline::Never).is_over());
        for deadline in [Deadline::Now, Deadline::At(Instant::now())] {
            let mut overtime = Overtime::of(deadline);
            let begun = Instant::now();
            assert!(!overtime.is_over());
            while !overtime.is_over() {}
            assert!(begun.elapsed() >= OVERTIME);
        }
    }

    #[test]
    fn a_part_is_never_longer_than_the_whole() {
        let part = Duration::from_secs(10);
        let left = |deadline: Deadline| deadline.at_most(part).left();
        assert_eq!(left(Deadline::Now), Some(Duration::ZERO));
        assert!(left(Deadline::Never).is_some_and(|left| left <= part && left > part / 2));
        assert!(left(Deadline::after(Some(part * 2))).is_some_and(|left| left <= part));
        assert!(left(Deadline::after(Some(part / 2))).is_some_and(|left| left <= part / 2));
    }
}
