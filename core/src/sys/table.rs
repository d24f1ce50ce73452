//! Which descriptors are the library's own.
//!
//! A number is not a descriptor: the program may have closed it, for one (`close_range`), and then it
//! may be anything, one of the library's later sockets included. So each descriptor gets a serial, and a
//! mark by which it can be told from whatever else may stand under its number: the library uses a number
//! only while the serial in the table is the right one, and closes it only if the mark is, too.

use super::holder::{self, Holder};
use super::{Errno, Result, epoll, fd, fork, gate, memory, thread_table};
use std::cell::Cell;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// One past the highest number that can be registered (the usual hard limit of `RLIMIT_NOFILE`).
const MOST: usize = 1 << 20;
const IN_PART: usize = 4096;

/// Zeros stand for: none.
#[derive(Debug)]
pub(super) struct Entry {
    serial: AtomicU32,
    mark: AtomicU64,
}

/// A part of the table. It comes into being when the first number in it is registered.
#[derive(Debug)]
pub(super) struct Part([Entry; IN_PART]);

// SAFETY: integers.
unsafe impl memory::Zeroed for Part {}

static PARTS: [AtomicPtr<Part>; MOST / IN_PART] =
    [const { AtomicPtr::new(std::ptr::null_mut()) }; MOST / IN_PART];

/// One past the highest number registered so far.
static HIGHEST: AtomicUsize = AtomicUsize::new(0);

/// The last one given.
static SERIAL: AtomicU32 = AtomicU32::new(0);

/// How a descriptor is told from others that may have got its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mark {
    /// Not at all: it is closed within the call that opened it, or its owner has looked.
    None,
    /// By the inode of a socket, which no other socket has.
    Inode(u32),
    /// An epoll set: by a member that it has.
    SetOf(RawFd),
    /// By the epoll set that it is a member of.
    MemberOf(RawFd),
    /// By a digest of what a directory is on, and where.
    Directory(u32),
}

impl Mark {
    fn encode(self) -> u64 {
        match self {
            Mark::None => 0,
            Mark::Inode(inode) => 1 << 32 | u64::from(inode),
            Mark::SetOf(member) => 2 << 32 | u64::from(member.cast_unsigned()),
            Mark::MemberOf(set) => 3 << 32 | u64::from(set.cast_unsigned()),
            Mark::Directory(digest) => 4 << 32 | u64::from(digest),
        }
    }

    #[allow(clippy::cast_possible_truncation, reason = "the lower half")]
    fn decode(mark: u64) -> Mark {
        let low = mark as u32;
        match mark >> 32 {
            1 => Mark::Inode(low),
            2 => Mark::SetOf(low.cast_signed()),
            3 => Mark::MemberOf(low.cast_signed()),
            4 => Mark::Directory(low),
            _ => Mark::None,
        }
    }

    /// Whether `number` is what has this mark.
    fn is_on(self, number: RawFd) -> bool {
        match self {
            Mark::None => true,
            Mark::Inode(_) => is_or_may_be(self, fd::mark(number)),
            Mark::Directory(_) => is_or_may_be(self, fd::directory_mark(number)),
            Mark::SetOf(member) => epoll::has(number, member),
            Mark::MemberOf(set) => epoll::has(set, number),
        }
    }
}

/// A look that is refused shows nothing.
fn is_or_may_be(mark: Mark, found: Result<Mark>) -> bool {
    match found {
        Ok(found) => found == mark,
        Err(errno) => errno != Errno(libc::EBADF),
    }
}

impl Entry {
    fn mark(&self) -> Mark {
        Mark::decode(self.mark.load(Ordering::Relaxed))
    }

    fn holds(&self, serial: u32) -> bool {
        self.serial.load(Ordering::Relaxed) == serial
    }

    /// Whether it was there until now.
    fn clear(&self, serial: u32) -> bool {
        self.serial.compare_exchange(serial, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// Takes a descriptor from `make` into the table, so that no child keeps it; gives its serial.
///
/// `make` must not wait: a fork in another thread waits for it.
pub(super) fn enlist(make: impl FnOnce() -> Result<(OwnedFd, Mark)>) -> Result<(OwnedFd, u32)> {
    fork::prepare();
    thread_table::check()?;
    let pass = gate::pass();
    let (fd, mark) = make()?;
    match register(fd.as_raw_fd(), mark) {
        Ok(serial) => Ok((fd, serial)),
        Err(errno) => {
            // Not before: what is closed may hold what others have queued.
            drop(pass);
            Err(errno)
        }
    }
}

/// The same for two at once.
pub(super) fn enlist_pair(
    make: impl FnOnce() -> Result<((OwnedFd, Mark), (OwnedFd, Mark))>,
) -> Result<((OwnedFd, u32), (OwnedFd, u32))> {
    fork::prepare();
    thread_table::check()?;
    let _pass = gate::pass();
    let ((one, mark), (other, other_mark)) = make()?;
    let serial = register(one.as_raw_fd(), mark)?;
    match register(other.as_raw_fd(), other_mark) {
        Ok(other_serial) => Ok(((one, serial), (other, other_serial))),
        Err(errno) => {
            clear(one.as_raw_fd(), serial);
            Err(errno)
        }
    }
}

fn register(number: RawFd, mark: Mark) -> Result<u32> {
    let index =
        usize::try_from(number).ok().filter(|index| *index < MOST).ok_or(Errno(libc::EMFILE))?;
    let entry = &part(index / IN_PART)?.0[index % IN_PART];
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed).wrapping_add(1).max(1);
    HIGHEST.fetch_max(index + 1, Ordering::Relaxed);
    entry.mark.store(mark.encode(), Ordering::Relaxed);
    entry.serial.store(serial, Ordering::Relaxed);
    Ok(serial)
}

fn part(index: usize) -> Result<&'static Part> {
    if let Some(part) = existing(index) {
        return Ok(part);
    }
    let new = memory::zeroed::<Part>()?;
    match PARTS[index].compare_exchange(
        std::ptr::null_mut(),
        std::ptr::from_ref(new).cast_mut(),
        Ordering::AcqRel,
        Ordering::Acquire,
    ) {
        Ok(_) => Ok(new),
        Err(first) => {
            memory::give_back(new);
            memory::shared(first).ok_or(Errno(libc::ENOMEM))
        }
    }
}

fn existing(index: usize) -> Option<&'static Part> {
    memory::shared(PARTS.get(index)?.load(Ordering::Acquire))
}

fn find(number: RawFd) -> Option<&'static Entry> {
    let index = usize::try_from(number).ok()?;
    Some(&existing(index / IN_PART)?.0[index % IN_PART])
}

/// Whether the library has opened nothing else under this number since.
pub(super) fn holds(number: RawFd, serial: u32) -> bool {
    find(number).is_some_and(|entry| entry.holds(serial))
}

/// Whether the program has left this number alone, as far as its mark tells.
pub(super) fn is_intact(number: RawFd, serial: u32) -> bool {
    find(number).is_some_and(|entry| entry.holds(serial) && entry.mark().is_on(number))
}

/// What `number` can be told by from now on.
pub(super) fn remark(number: RawFd, serial: u32, mark: Mark) {
    if let Some(entry) = find(number).filter(|entry| entry.holds(serial)) {
        entry.mark.store(mark.encode(), Ordering::Relaxed);
    }
}

/// Whether what is to be closed has been looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Look {
    First,
    Done,
}

/// Closes a descriptor of ours; not in a child, where it is closed already, nor a number that has come
/// to mean something else.
pub(super) fn discharge(fd: OwnedFd, serial: u32, look: Look) {
    fork::generation();
    let number = fd.as_raw_fd();
    let entry = find(number).filter(|entry| entry.holds(serial));
    // Only the table of the process has it under this number.
    let Some(entry) = entry.filter(|_| thread_table::check().is_ok()) else {
        return std::mem::forget(fd);
    };
    match entry.mark() {
        // It may hold what others have queued, whose close can block: not behind the gate. A child that
        // is forked meanwhile finds the number open, closed, or with another mark.
        mark @ (Mark::Inode(_) | Mark::Directory(_)) => {
            if look == Look::Done || mark.is_on(number) {
                drop(fd);
            } else {
                std::mem::forget(fd);
            }
            // KERNEL: a fork copies the table of descriptors first and memory later. What is closed in
            // between is open in the child, which knows of it only by this entry.
            let _pass = gate::pass();
            entry.clear(serial);
        }
        // No close of these can block, and a child that is forked meanwhile could not tell the number from
        // what it means next: behind the gate it is closed and forgotten in one.
        Mark::None | Mark::SetOf(_) | Mark::MemberOf(_) => {
            let _pass = gate::pass();
            if entry.clear(serial) {
                drop(fd);
            } else {
                std::mem::forget(fd);
            }
        }
    }
}

/// Looks for the last time whether it is ours, and leaves the number alone if it is not.
pub(super) fn settle(number: RawFd, serial: u32) {
    if is_intact(number, serial) {
        remark(number, serial, Mark::None);
    } else {
        clear(number, serial);
    }
}

fn clear(number: RawFd, serial: u32) {
    if let Some(entry) = find(number) {
        entry.clear(serial);
    }
}

/// In a child: closes everything that was inherited and that the program, too, has left as it was.
///
/// Uses atomics and system calls only, as POSIX demands of a child of a threaded process.
pub(super) fn close_inherited() {
    // An epoll set and its members are told by each other, hence not one after the other.
    let may_hold = Cell::new(false);
    each_registered(|number, entry| {
        let mark = entry.mark();
        if !mark.is_on(number) {
            entry.serial.store(0, Ordering::Relaxed);
        } else if let (Mark::Inode(_), false) = (mark, may_hold.get()) {
            may_hold.set(holder::may_hold(number));
        }
    });
    let holder = may_hold.get().then(Holder::start);
    each_registered(|number, entry| {
        entry.serial.store(0, Ordering::Relaxed);
        fd::close(number);
    });
    drop(holder);
}

fn each_registered(run: impl Fn(RawFd, &Entry)) {
    let highest = HIGHEST.load(Ordering::Relaxed);
    for (index, part) in (0..highest.div_ceil(IN_PART)).filter_map(|i| Some((i, existing(i)?))) {
        for (entry, number) in part.0.iter().zip(index * IN_PART..highest) {
            if !entry.holds(0) {
                #[allow(
                    clippy::cast_possible_truncation,
                    clippy::cast_possible_wrap,
                    reason = "< 2^20"
                )]
                run(number as RawFd, entry);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_out_of_the_table_has_no_place() {
        assert_eq!(register(-1, Mark::None), Err(Errno(libc::EMFILE)));
        assert_eq!(register(1 << 20, Mark::None), Err(Errno(libc::EMFILE)));
        assert!(!holds(-1, 0) && !holds(i32::MAX, 0));
    }

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        for mark in [
            Mark::None,
            Mark::Inode(u32::MAX),
            Mark::SetOf(7),
            Mark::MemberOf(1 << 19),
            Mark::Directory(u32::MAX),
        ] {
            assert_eq!(Mark::decode(mark.encode()), mark);
        }
    }
}
