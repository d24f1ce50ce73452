//! A table of descriptors that a thread has for itself.

use crate::sys::{Errno, Result, check};
use std::ffi::c_uint;
use std::os::fd::RawFd;

/// What it may hold besides.
#[derive(Debug)]
pub(super) enum Table {
    /// Nothing above the highest number that is kept.
    Lower,
    /// Anything.
    Whole,
}

/// Gives this thread a table of its own, in which `numbers` are open as before.
pub(super) fn take(numbers: &[RawFd]) -> Result<Table> {
    let last = numbers.last().and_then(|last| c_uint::try_from(*last).ok()).unwrap_or(0);
    if close_range(last + 1, c_uint::MAX, CLOSE_RANGE_UNSHARE).is_ok() {
        return Ok(Table::Lower);
    }
    // KERNEL(5.9): before, or where a filter does not know the call. A filter may refuse this one, too.
    // SAFETY: this thread alone is concerned, which nothing else uses.
    check(unsafe { libc::unshare(libc::CLONE_FILES) }).map(|_| Table::Whole)
}

impl Table {
    pub(super) fn close_all_but(&self, numbers: &[RawFd]) {
        let mut from = 0;
        for number in numbers.iter().filter_map(|number| c_uint::try_from(*number).ok()) {
            if number > from {
                close_from_to(from, number - 1);
            }
            from = number + 1;
        }
        if matches!(self, Table::Whole) {
            close_from_to(from, highest_number());
        }
    }
}

fn close_from_to(first: c_uint, last: c_uint) {
    if close_range(first, last, 0).is_err() {
        for number in first..=last {
            // SAFETY: in a table of this thread's own, where nobody has use for it.
            unsafe { libc::close(number.cast_signed()) };
        }
    }
}

/// Above which a table of this process has none. Nothing is allocated: without memory, that could end the
/// program.
fn highest_number() -> c_uint {
    const USUAL: c_uint = 1 << 16;
    let mut text = [0_u8; 1024];
    let path = c"/proc/thread-self/status";
    // SAFETY: a string that ends with a zero byte.
    let file = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    // SAFETY: room for that many bytes; without a file, the call fails.
    let read = unsafe { libc::read(file, text.as_mut_ptr().cast(), text.len()) };
    // SAFETY: opened above, and not used again.
    unsafe { libc::close(file) };
    let Some(text) = usize::try_from(read).ok().and_then(|len| text.get(..len)) else {
        return USUAL;
    };
    let size = text.split(|byte| *byte == b'\n').find_map(|line| {
        std::str::from_utf8(line.strip_prefix(b"FDSize:")?).ok()?.trim().parse().ok()
    });
    size.unwrap_or(USUAL)
}

const CLOSE_RANGE_UNSHARE: c_uint = 1 << 1;

fn close_range(first: c_uint, last: c_uint, flags: c_uint) -> Result<()> {
    // SAFETY: called in a table of this thread's own, or to get one.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    if closed == 0 { Ok(()) } else { Err(Errno::last()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_the_size_of_the_table() {
        // SAFETY: numbers only.
        let high = check(unsafe { libc::fcntl(0, libc::F_DUPFD_CLOEXEC, 700) }).expect("room");
        let told = highest_number();
        // SAFETY: opened above, and nobody else knows of it.
        unsafe { libc::close(high) };
        assert!(told > high.cast_unsigned() && told < 1 << 16, "{told}");
    }
}
