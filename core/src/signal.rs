//! Real-time signal numbers.

use crate::error::{Call, Error, Result};

/// The number of a real-time signal: `SIGRTMIN` to `SIGRTMAX` of the C library in use.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Signal(i32);

impl Signal {
    /// The number to use when there is no reason for another. Absolute, because `SIGRTMIN` differs
    /// between C libraries.
    pub const DEFAULT: Signal = Signal(50);

    /// The signal of that number.
    ///
    /// # Errors
    /// `EINVAL`: it is not a real-time signal.
    #[inline]
    pub fn new(number: i32) -> Result<Signal> {
        if (libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(&number) {
            Ok(Signal(number))
        } else {
            Err(Error::new(Call::Signal { number }, libc::EINVAL))
        }
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> i32 {
        self.0
    }
}

impl Default for Signal {
    fn default() -> Signal {
        Signal::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_real_time_numbers_are_signals() {
        for number in [-1, 0, libc::SIGUSR1, libc::SIGRTMIN() - 1, libc::SIGRTMAX() + 1] {
            assert_eq!(Signal::new(number).map_err(|e| e.errno()), Err(libc::EINVAL));
        }
        for number in [libc::SIGRTMIN(), 50, libc::SIGRTMAX()] {
            assert_eq!(Signal::new(number).map(Signal::number).ok(), Some(number));
        }
    }
}
