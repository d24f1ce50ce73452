//! Sending.

use crate::convert::{answer, fail, parcel};
use libc::{c_char, c_int, c_void, pid_t, size_t, timespec};
use sendfd_core::{MAX_DATA, MAX_FDS, Outgoing, Signal, Target, Task};
use std::os::fd::BorrowedFd;

/// The signal number to use when there is no reason for another; absolute, because SIGRTMIN differs
/// between C libraries.
pub const SENDFD_SIGNO: c_int = 50;

/// Descriptors in one parcel at most.
pub const SENDFD_MAX_FDS: c_int = 252;

/// Bytes in one parcel at most.
pub const SENDFD_MAX_DATA: c_int = 65536;

const _: () = assert!(SENDFD_SIGNO == Signal::DEFAULT.number());
const _: () = assert!(SENDFD_MAX_FDS as usize == MAX_FDS && SENDFD_MAX_DATA as usize == MAX_DATA);

/// Queues the descriptor fd to a task, which is told by the real-time signal sig. Never waits.
///
/// @param id   a process or a thread, as this pid namespace numbers it
/// @param sig  the real-time signal number that the task has opened an inbox for
/// @param fd   stays the caller's; may be closed as soon as this has returned
/// @return 0, or a negative errno
///
/// Success means that the kernel holds a reference in the receiver's queue, whatever becomes of the
/// caller. It does not mean that the receiver has taken it, or will.
///
/// -EINVAL        id <= 0, sig not real-time, or fd of a kind that the kernel does not pass;
/// -EBADF         fd is not open;
/// -ESRCH         no such process or thread;
/// -ECONNREFUSED  it has no inbox for sig;
/// -EPERM         not allowed to signal it, or it would not let this user in, and no guest of it;
/// -EAGAIN        its queue is full, too many others wait to be accepted, or it has not let in this guest yet;
/// -ETOOMANYREFS  too many descriptors of this user are in flight;
/// -EMFILE, -ENFILE  no descriptor left for the connection;
/// -ENOMEM, -ENOBUFS  no memory.
///
/// Connections are kept: the first send to a task opens one (close-on-exec, under a high number). A
/// quarter of RLIMIT_NOFILE are kept in all, 4,096 at most; the one that was idle longest gives way. Any
/// number of threads may send at once. A forked child starts afresh.
#[unsafe(no_mangle)]
pub extern "C" fn sendfd(id: pid_t, sig: c_int, fd: c_int) -> c_int {
    answer(
        Signal::new(sig)
            .and_then(|signal| Outgoing::from_raw(&[fd]).send(Task::new(id)?, signal))
            .map(|()| 0),
    )
}

/// Queues several descriptors and some bytes to a task: all together or nothing.
///
/// @param id       as for sendfd()
/// @param sig      as for sendfd()
/// @param fds      nfds descriptors, which stay the caller's
/// @param nfds     0 to SENDFD_MAX_FDS
/// @param data     len bytes that travel with them; may be NULL if len is 0
/// @param len      0 to SENDFD_MAX_DATA
/// @param timeout  how long to wait for room in a full queue
/// @return 0, or a negative errno
///
/// As sendfd(), and:
///
/// -EINVAL     too many descriptors; a bad timeout; NULL with a count;
/// -EMSGSIZE   len is more than SENDFD_MAX_DATA, or than the kernel's wmem_max allows (32792 is enough);
/// -ETIMEDOUT  the queue was still full at the deadline.
///
/// Signal handlers run while it waits and do not end the wait.
///
/// # Safety
/// The pointers are valid for what the counts say, or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfds(
    id: pid_t,
    sig: c_int,
    fds: *const c_int,
    nfds: size_t,
    data: *const c_void,
    len: size_t,
    timeout: *const timespec,
) -> c_int {
    // SAFETY: as the caller promises.
    match unsafe { parcel((fds, nfds), (data, len), timeout) } {
        Ok(parcel) => answer(
            Signal::new(sig).and_then(|signal| parcel.send(Task::new(id)?, signal)).map(|()| 0),
        ),
        Err(errno) => fail(errno),
    }
}

/// The same as sendfd() to the task that a pidfd stands for, which no other can be mistaken for.
///
/// @param pidfd  of a process, or of a thread; stays the caller's
/// @param sig    as for sendfd()
/// @param fd     as for sendfd()
/// @return 0, or a negative errno
///
/// As sendfd(), and: -EBADF pidfd is not open; -EINVAL it is no pidfd; -EACCES this process
/// is not dumpable, as after a change of user, and the kernel older than 5.14.
#[unsafe(no_mangle)]
pub extern "C" fn sendfd_pidfd(pidfd: c_int, sig: c_int, fd: c_int) -> c_int {
    if pidfd < 0 {
        return fail(libc::EBADF);
    }
    // SAFETY: not negative; the kernel checks whether it is open, and it is used in this call only.
    let pidfd = unsafe { BorrowedFd::borrow_raw(pidfd) };
    answer(
        Signal::new(sig)
            .and_then(|signal| Outgoing::from_raw(&[fd]).send(Target::Pidfd(pidfd), signal))
            .map(|()| 0),
    )
}

/// The version of the library in use, such as "0.1.0". Static; not to be freed.
#[unsafe(no_mangle)]
pub extern "C" fn sendfd_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}
