//! Waiting for descriptors where `poll` refuses to.
//!
//! KERNEL: `poll` gives EINVAL for more descriptors than `RLIMIT_NOFILE` allows to be open, be it one.
//! `select` does not ask. It does not tell a hang-up from what can be read.

use super::{Errno, Result, check};
use std::ffi::{c_int, c_short, c_ulong};

const BITS: usize = c_ulong::BITS as usize;

/// A set of numbers, as many as it takes.
#[derive(Debug)]
struct Set(Vec<c_ulong>);

impl Set {
    fn up_to(highest: usize) -> Result<Set> {
        let mut words = Vec::new();
        words.try_reserve_exact(highest / BITS + 1).map_err(|_| Errno(libc::ENOMEM))?;
        words.resize(highest / BITS + 1, 0);
        Ok(Set(words))
    }

    fn insert(&mut self, number: usize) {
        self.0[number / BITS] |= 1 << (number % BITS);
    }

    fn contains(&self, number: usize) -> bool {
        self.0[number / BITS] >> (number % BITS) & 1 != 0
    }
}

/// As `poll`, for `POLLIN` and `POLLOUT`; there must be a descriptor.
pub(super) fn poll(polled: &mut [libc::pollfd], timeout_ms: c_int) -> Result<c_int> {
    let number = |entry: &libc::pollfd| usize::try_from(entry.fd).map_err(|_| Errno(libc::EBADF));
    let mut highest = 0;
    for entry in &*polled {
        highest = highest.max(number(entry)?);
    }
    // More than any kernel allows to be open.
    if highest >= 1 << 30 {
        return Err(Errno(libc::EBADF));
    }
    let (mut readable, mut writable) = (Set::up_to(highest)?, Set::up_to(highest)?);
    for entry in &*polled {
        let set = if entry.events & libc::POLLOUT == 0 { &mut readable } else { &mut writable };
        set.insert(number(entry)?);
    }
    let mut left = libc::timespec {
        tv_sec: (timeout_ms / 1000).into(),
        tv_nsec: (timeout_ms % 1000 * 1_000_000).into(),
    };
    let left = if timeout_ms < 0 { std::ptr::null_mut() } else { &raw mut left };
    let none = std::ptr::null_mut::<c_ulong>();
    let (reads, writes) = (readable.0.as_mut_ptr(), writable.0.as_mut_ptr());
    // SAFETY: two sets of that many bits, a valid timeout or none, and no mask.
    let found =
        unsafe { libc::syscall(libc::SYS_pselect6, highest + 1, reads, writes, none, left, none) };
    #[allow(clippy::cast_possible_truncation, reason = "a count of descriptors, or -1")]
    let found = check(found as c_int)?;
    for entry in polled {
        let number = number(entry)?;
        let seen = |set: &Set, event: c_short| if set.contains(number) { event } else { 0 };
        let event = entry.events & (libc::POLLIN | libc::POLLOUT);
        entry.revents =
            if event == libc::POLLOUT { seen(&writable, event) } else { seen(&readable, event) };
    }
    Ok(found)
}
