//! pidfds, and the inode that names a task.

use super::fd::{self, PrivateFd};
use super::{Errno, Result, check};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

/// KERNEL(6.9): pidfds have a file system of their own, in which every task has one inode for the
/// whole uptime. Before, all of them share one anonymous inode.
const PIDFS_MAGIC: i64 = 0x5049_4446;

/// KERNEL(6.9): a pidfd of a single thread. The header's value is `O_EXCL`.
const PIDFD_THREAD: libc::c_uint = libc::O_EXCL as libc::c_uint;

fn open_with(id: i32, flags: libc::c_uint) -> Result<PrivateFd> {
    PrivateFd::new(|| {
        // SAFETY: takes no pointers.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, id, flags) };
        #[allow(clippy::cast_possible_truncation, reason = "a descriptor or -1")]
        let fd = check(fd as i32)?;
        // SAFETY: a new descriptor that nobody else owns; close-on-exec by definition.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    })
}

/// `pidfd_open(id, 0)`: a process.
pub(crate) fn open(id: i32) -> Result<PrivateFd> {
    open_with(id, 0)
}

/// `pidfd_open(id, PIDFD_THREAD)`: a single thread.
pub(crate) fn open_thread(id: i32) -> Result<PrivateFd> {
    open_with(id, PIDFD_THREAD)
}

/// The device of pidfs, once it has been seen; 0 before.
static PIDFS: AtomicU64 = AtomicU64::new(0);

/// The inode of the task that a pidfd stands for; `None` where that is no pidfd of pidfs.
pub(crate) fn inode(pidfd: BorrowedFd<'_>) -> Result<Option<u64>> {
    let mut stat = MaybeUninit::<libc::stat64>::uninit();
    // SAFETY: the pointer is to a struct that the call fills.
    check(unsafe { libc::fstat64(pidfd.as_raw_fd(), stat.as_mut_ptr()) })?;
    // SAFETY: filled by the successful call above.
    let stat = unsafe { stat.assume_init() };
    if stat.st_dev != PIDFS.load(Ordering::Relaxed) {
        if !is_on_pidfs(pidfd)? {
            return Ok(None);
        }
        PIDFS.store(stat.st_dev, Ordering::Relaxed);
    }
    Ok(Some(stat.st_ino))
}

fn is_on_pidfs(pidfd: BorrowedFd<'_>) -> Result<bool> {
    let mut fs = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the pointer is to a struct that the call fills.
    check(unsafe { libc::fstatfs(pidfd.as_raw_fd(), fs.as_mut_ptr()) })?;
    // SAFETY: filled by the successful call above.
    let magic = unsafe { fs.assume_init() }.f_type;
    #[allow(clippy::unnecessary_cast, reason = "its width differs between C libraries")]
    let magic = magic as i64;
    Ok(magic == PIDFS_MAGIC)
}

/// Whether the task has not exited yet (a zombie has).
pub(crate) fn is_alive(pidfd: BorrowedFd<'_>) -> bool {
    matches!(fd::poll([(pidfd.as_fd(), fd::Awaited::Readable)], 0), Ok([0]))
}

/// `pidfd_send_signal(pidfd, 0)`: may this process signal that task?
pub(crate) fn may_signal(pidfd: BorrowedFd<'_>) -> Result<()> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: signal 0 delivers nothing; a null info is allowed.
    let asked =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), 0, no_info, 0) };
    if asked == 0 { Ok(()) } else { Err(Errno::last()) }
}
