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
        let (mut words, count) = (Vec::new(), highest / BITS + 1);
        words.try_reserve_exact(count).map_err(|_| Errno(libc::ENOMEM))?;
        words.resize(count, 0);
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;
    use std::time::{Duration, Instant};

    #[test]
    fn a_set_has_what_was_inserted() {
        for (highest, words) in [(0, 1), (63, 1), (64, 2), (127, 2), (128, 3)] {
            assert_eq!(Set::up_to(highest).expect("memory").0.len(), words * 64 / BITS);
        }
        for number in [0, 1, 2, 63, 64, 65, 127, 128, 200] {
            let mut set = Set::up_to(200).expect("memory");
            set.insert(number);
            set.insert(number);
            assert!((0..=200).all(|other| set.contains(other) == (other == number)));
        }
        let mut all = Set::up_to(200).expect("memory");
        (0..=200).for_each(|number| all.insert(number));
        assert!((0..=200).all(|number| all.contains(number)));
    }

    fn entry(fd: c_int, events: c_short) -> libc::pollfd {
        libc::pollfd { fd, events, revents: -1 }
    }

    #[test]
    fn it_is_told_what_poll_tells() {
        let (mut here, there) = UnixStream::pair().expect("two sockets");
        let (one, other) = (here.as_raw_fd(), there.as_raw_fd());
        let look = |events: [c_short; 2], timeout_ms| {
            let mut polled = [entry(one, events[0]), entry(other, events[1])];
            let found = poll(&mut polled, timeout_ms);
            found.map(|found| (found, polled.map(|entry| entry.revents)))
        };
        let (reads, writes) = (libc::POLLIN, libc::POLLOUT);
        assert_eq!(look([reads, reads], 0), Ok((0, [0, 0])));
        assert_eq!(look([writes, reads], -1), Ok((1, [writes, 0])));
        assert_eq!(look([reads, writes], -1), Ok((1, [0, writes])));
        assert_eq!(look([writes, writes], 0), Ok((2, [writes, writes])));
        here.write_all(b"x").expect("room");
        assert_eq!(look([reads, reads], -1), Ok((1, [0, reads])));
        assert_eq!(look([writes, reads], 5000), Ok((2, [writes, reads])));
        here.set_nonblocking(true).expect("a socket");
        while here.write(&[0; 4096]).is_ok() {}
        assert_eq!(look([writes, reads], 0), Ok((1, [0, reads])));
        drop(there);
        assert_eq!(poll(&mut [entry(one, reads)], -1), Ok(1), "the end");
    }

    #[test]
    fn it_waits_as_long_as_it_is_told() {
        let (here, _there) = UnixStream::pair().expect("two sockets");
        for timeout_ms in [30, 1010] {
            let (start, least) = (Instant::now(), Duration::from_millis(timeout_ms));
            let timeout_ms = c_int::try_from(timeout_ms).expect("small");
            let mut polled = [entry(here.as_raw_fd(), libc::POLLIN)];
            assert_eq!(poll(&mut polled, timeout_ms), Ok(0));
            let waited = start.elapsed();
            assert!(waited >= least && waited < least + Duration::from_millis(900), "{waited:?}");
        }
    }

    #[test]
    fn what_no_kernel_has_open_is_not_open() {
        for number in [-1, c_int::MIN, 1 << 30, c_int::MAX] {
            let told = poll(&mut [entry(number, libc::POLLIN)], 0);
            assert_eq!(told, Err(Errno(libc::EBADF)));
        }
    }
}
