//! Directories in which names are numbers, as those of `/proc` are.

use super::{Errno, Result, file};
use std::ffi::{CStr, c_int};
use std::os::fd::AsRawFd;

/// Where the fields of a `struct linux_dirent64` stand, and what it is aligned for.
const LENGTH: usize = 16;
const NAME: usize = 19;
#[repr(align(8))]
struct Room([u8; 4096]);

/// The numbers among the names in a directory. ENOMEM: there is no memory for them; std's own way would
/// abort the process.
pub(crate) fn numbers(path: &CStr) -> Result<Vec<c_int>> {
    let directory = file::open(path)?;
    let mut found = Vec::new();
    loop {
        let mut room = Room([0; 4096]);
        let (number, place) = (directory.as_raw_fd(), room.0.as_mut_ptr());
        // SAFETY: room for that many bytes.
        let read = unsafe { libc::syscall(libc::SYS_getdents64, number, place, room.0.len()) };
        let read = usize::try_from(read).map_err(|_| Errno::last())?;
        let mut entries = &room.0[..read];
        if entries.is_empty() {
            return Ok(found);
        }
        while let Some((entry, rest)) = first(entries) {
            entries = rest;
            if let Some(number) = number_of(entry) {
                found.try_reserve(1).map_err(|_| Errno(libc::ENOMEM))?;
                found.push(number);
            }
        }
    }
}

/// The first entry, and those behind it.
fn first(entries: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = entries.get(LENGTH..LENGTH + 2)?.try_into().map(u16::from_ne_bytes).ok()?;
    (usize::from(length) >= NAME).then(|| entries.split_at_checked(length.into())).flatten()
}

fn number_of(entry: &[u8]) -> Option<c_int> {
    let name = CStr::from_bytes_until_nul(entry.get(NAME..)?).ok()?;
    name.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn more_than_fit_into_one_reading() {
        let files: Vec<_> =
            (0..300).map(|_| File::open("/dev/null").expect("it is there")).collect();
        let found = numbers(c"/proc/self/fd").expect("a directory");
        assert!(files.iter().all(|file| found.contains(&file.as_raw_fd())));
        assert!(found.iter().all(|number| *number >= 0));
    }

    #[test]
    fn names_that_are_no_numbers() {
        assert_eq!(numbers(c"/proc/self/task/self"), Err(Errno(libc::ENOENT)));
        assert_eq!(numbers(c"/proc/self/net"), Ok(Vec::new()));
        assert_eq!(numbers(c"/dev/null"), Err(Errno(libc::ENOTDIR)));
    }
}
