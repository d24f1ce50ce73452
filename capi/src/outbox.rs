//! Outboxes, requests and answers.

use crate::convert::{answer, duration, fail, give, parcel, slice_mut, text};
use crate::receive::sendfd_info;
use libc::{c_char, c_int, c_void, pid_t, size_t, timespec};
use sendfd_core::{Address, MAX_DATA, MAX_FDS, Outbox, Reply, Signal, Target, Task};
use std::os::fd::BorrowedFd;

/// An outbox: a link to one inbox, held by its user.
#[derive(Debug)]
#[allow(non_camel_case_types, reason = "C's name")]
pub struct sendfd_outbox {
    outbox: Outbox,
}

/// Connects to the inbox of a task for sig, and waits for the task to open it.
///
/// @param id          a process or a thread, as this pid namespace numbers it
/// @param sig         the real-time signal number of the inbox
/// @param timeout     how long to wait for the inbox; {0, 0}: it must be there
/// @param ret_outbox  to be closed with sendfd_outbox_close()
/// @return 0, or a negative errno
///
/// An outbox leads to that inbox and never to another: once the inbox is closed or its process dead,
/// sending gives -EPIPE. Parcels of one outbox arrive in order; between them and those of sendfd()
/// there is none. Any number of threads may use it at once. A forked child does not have it: its
/// descriptor is closed there, every call on it gives -EPERM, and sendfd_outbox_close() frees it.
///
/// -EINVAL        id <= 0, sig not real-time, a bad timeout, or NULL;
/// -ESRCH         no such process or thread, or it ended meanwhile;
/// -ECONNREFUSED  it has no inbox for sig, with a timeout of {0, 0};
/// -ETIMEDOUT     it had none in time, or too many others waited to be accepted;
/// -EAGAIN        too many others wait to be accepted, with a timeout of {0, 0};
/// -EPERM         not allowed to signal it, or it would not let this user in, and no guest of it;
/// -EMFILE, -ENFILE  no descriptor left for the connection;
/// -ENOMEM, -ENOBUFS no memory.
///
/// Signal handlers run while it waits and do not end the wait.
///
/// # Safety
/// The pointers are valid or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfd_outbox_open(
    id: pid_t,
    sig: c_int,
    timeout: *const timespec,
    ret_outbox: *mut *mut sendfd_outbox,
) -> c_int {
    let open = |signal, timeout| Outbox::open(Task::new(id)?, signal, timeout);
    // SAFETY: as the caller promises.
    unsafe { open_with(sig, timeout, ret_outbox, open) }
}

/// The same as sendfd_outbox_open() to the task that a pidfd stands for.
///
/// @param pidfd       of a process, or of a thread; stays the caller's
/// @param sig         as for sendfd_outbox_open()
/// @param timeout     as for sendfd_outbox_open()
/// @param ret_outbox  as for sendfd_outbox_open()
/// @return 0, or a negative errno
///
/// As sendfd_outbox_open(), and: -EBADF pidfd is not open; -EINVAL it is no pidfd; -EACCES this process
/// is not dumpable, as after a change of user, and the kernel older than 5.14.
///
/// # Safety
/// The pointers are valid or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfd_outbox_open_pidfd(
    pidfd: c_int,
    sig: c_int,
    timeout: *const timespec,
    ret_outbox: *mut *mut sendfd_outbox,
) -> c_int {
    if pidfd < 0 {
        return fail(libc::EBADF);
    }
    // SAFETY: not negative; the kernel checks whether it is open, and it is used in this call only.
    let pidfd = unsafe { BorrowedFd::borrow_raw(pidfd) };
    let open = |signal, timeout| Outbox::open(Target::Pidfd(pidfd), signal, timeout);
    // SAFETY: as the caller promises.
    unsafe { open_with(sig, timeout, ret_outbox, open) }
}

/// The same as sendfd_outbox_open() to the inbox that an address names.
///
/// @param address     from sendfd_inbox_address(), in whatever process; ends with a zero
/// @param timeout     as for sendfd_outbox_open()
/// @param ret_outbox  as for sendfd_outbox_open()
/// @return 0, or a negative errno
///
/// The receiver need not be visible in the caller's pid namespace. Then it cannot be asked whether the
/// caller may signal it, and the users decide: the receiver's own, and its guests; root, too, is a guest
/// there (-EPERM where it is none), for it cannot know as whom the receiver sees it. Nothing tells either
/// that it has ended: with a timeout of NULL, the call waits for ever for an inbox that is gone.
///
/// As sendfd_outbox_open(), but never -ESRCH, and:
///
/// -EINVAL      that is no address;
/// -ECONNREFUSED also: the address is of the inbox of a thread whose process is not visible here;
/// -EOPNOTSUPP  the address is of a receiver without inodes for tasks (before Linux 6.9) that is not
///              visible here, or has ended; or there is nothing to prove with here who listens.
///
/// # Safety
/// The pointers are valid or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfd_outbox_open_address(
    address: *const c_char,
    timeout: *const timespec,
    ret_outbox: *mut *mut sendfd_outbox,
) -> c_int {
    // SAFETY: as the caller promises.
    match unsafe { text(address, Address::MAX) }.map(str::parse::<Address>) {
        Some(Ok(address)) => {
            let open = |signal, timeout| Outbox::open(address, signal, timeout);
            // SAFETY: as the caller promises.
            unsafe { open_with(address.signal().number(), timeout, ret_outbox, open) }
        }
        Some(Err(_)) | None => fail(libc::EINVAL),
    }
}

unsafe fn open_with(
    sig: c_int,
    timeout: *const timespec,
    ret_outbox: *mut *mut sendfd_outbox,
    open: impl FnOnce(Signal, Option<std::time::Duration>) -> sendfd_core::Result<Outbox>,
) -> c_int {
    // SAFETY: valid or NULL, as the callers above pass on.
    let timeout = match unsafe { duration(timeout) } {
        Ok(timeout) if !ret_outbox.is_null() => timeout,
        _ => return fail(libc::EINVAL),
    };
    match Signal::new(sig).and_then(|signal| open(signal, timeout)) {
        // SAFETY: valid, as the callers above pass on; not NULL, as seen above.
        Ok(outbox) => unsafe { give(sendfd_outbox { outbox }, ret_outbox) },
        Err(error) => fail(error.errno()),
    }
}

/// Closes an outbox and frees it; no other thread may use it any more. What was sent and has not been
/// taken stays in the receiver's queue. NULL is fine.
///
/// # Safety
/// `outbox` comes from `sendfd_outbox_open` and is not used afterwards, or it is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfd_outbox_close(outbox: *mut sendfd_outbox) {
    if !outbox.is_null() {
        // SAFETY: made by Box::into_raw, and given up by the caller.
        drop(unsafe { Box::from_raw(outbox) });
    }
}

/// A descriptor that polls writable while there is room in the receiver's queue, and hangs up (POLLHUP)
/// with the receiver. It stays the outbox's: wait for it with poll, select or epoll, and do nothing else
/// with it. For a guest that the receiver has not let in yet, which an outbox can be that was opened with a
/// timeout of {0, 0}, wait for it to become readable (POLLIN) instead.
///
/// @return the descriptor, or a negative errno
///
/// -EINVAL  NULL;
/// -EPERM   opened before a fork;
/// -EBADF   the program has closed it behind the library's back.
///
/// # Safety
/// `outbox` is open, or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfd_outbox_fileno(outbox: *const sendfd_outbox) -> c_int {
    // SAFETY: as the caller promises.
    match unsafe { outbox.as_ref() } {
        Some(outbox) => answer(outbox.outbox.fileno()),
        None => fail(libc::EINVAL),
    }
}

/// Queues a parcel through an outbox, all of it or nothing.
///
/// @param outbox   from sendfd_outbox_open()
/// @param fds      nfds descriptors, which stay the caller's
/// @param nfds     0 to SENDFD_MAX_FDS
/// @param data     len bytes that travel with them; may be NULL if len is 0
/// @param len      0 to SENDFD_MAX_DATA
/// @param timeout  how long to wait for room in a full queue
/// @return 0, or a negative errno
///
/// Success means that the kernel holds the parcel in the receiver's queue, whatever becomes of the
/// caller. sendfd_outbox_wait_taken() tells when it has been taken.
///
/// -EPIPE         the inbox is closed, or its process dead;
/// -EAGAIN        its queue is full, or it has not let in this guest yet, with a timeout of {0, 0};
/// -ETIMEDOUT     it was still full at the deadline;
/// -EINVAL        NULL, too many descriptors, one that the kernel does not pass, or a bad timeout;
/// -EBADF         a descriptor is not open;
/// -EMSGSIZE      len is more than SENDFD_MAX_DATA;
/// -ETOOMANYREFS  too many descriptors of this user are in flight;
/// -EPERM         opened before a fork;
/// -ENOMEM, -ENOBUFS no memory.
///
/// Signal handlers run while it waits and do not end the wait.
///
/// # Safety
/// `outbox` is open, the other pointers are valid for what the counts say, or they are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfd_outbox_send(
    outbox: *mut sendfd_outbox,
    fds: *const c_int,
    nfds: size_t,
    data: *const c_void,
    len: size_t,
    timeout: *const timespec,
) -> c_int {
    // SAFETY: as the caller promises.
    let Some(outbox) = (unsafe { outbox.as_ref() }) else { return fail(libc::EINVAL) };
    // SAFETY: as the caller promises.
    match unsafe { parcel((fds, nfds), (data, len), timeout) } {
        Ok(parcel) => answer(outbox.outbox.send(parcel).map(|()| 0)),
        Err(errno) => fail(errno),
    }
}

/// Waits until the receiver has taken everything that was sent through an outbox.
///
/// @param outbox   from sendfd_outbox_open()
/// @param timeout  how long to wait
/// @return 0 when all has been taken; or a negative errno
///
/// "Taken" means: out of the queue and in that process's hands, or discarded by it on purpose. It does
/// not mean: used. Where nothing was sent, 0.
///
/// -EAGAIN      not yet, with a timeout of {0, 0};
/// -ETIMEDOUT   not before the deadline;
/// -ECONNRESET  the inbox was closed or its process died with something untaken, which is released;
/// -EINTR       a signal handler ran, or the process was stopped and goes on; nothing is lost by it;
/// -EINVAL      NULL, or a bad timeout;
/// -EPERM       opened before a fork;
/// -EMFILE, -ENFILE  no descriptor left to wait with (it takes two);
/// -ENOMEM, -ENOBUFS no memory;
/// -ENOSPC      /proc/sys/fs/epoll/max_user_watches is reached;
/// -ENOTTY      what stands for the kernel does not tell how much is unread (SIOCOUTQ).
///
/// # Safety
/// `outbox` is open, the timeout is valid, or they are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfd_outbox_wait_taken(
    outbox: *mut sendfd_outbox,
    timeout: *const timespec,
) -> c_int {
    // SAFETY: as the caller promises.
    let outbox = unsafe { outbox.as_ref() };
    // SAFETY: as the caller promises.
    match (outbox, unsafe { duration(timeout) }) {
        (Some(outbox), Ok(timeout)) => answer(outbox.outbox.wait_taken(timeout).map(|()| 0)),
        _ => fail(libc::EINVAL),
    }
}

/// Sends a request through an outbox and waits for the answer.
///
/// @param outbox    from sendfd_outbox_open()
/// @param fds       as for sendfd_outbox_send()
/// @param nfds      as for sendfd_outbox_send()
/// @param data      as for sendfd_outbox_send()
/// @param len       as for sendfd_outbox_send()
/// @param ret_fds   room for max_fds descriptors, close-on-exec, the caller's to close
/// @param max_fds   SENDFD_MAX_FDS is always enough
/// @param ret_data  room for max_len bytes
/// @param max_len   SENDFD_MAX_DATA is always enough
/// @param ret_info  who answered, and how much it is; may be NULL
/// @param timeout   how long to wait, for room in the queue and for the answer together
/// @return how many descriptors there are in ret_fds; or a negative errno
///
/// Any number of threads may have requests under way over one outbox. ret_info->pid, uid and gid are
/// the answerer's, as it told the kernel: the place for the answer may have been handed on.
///
/// As sendfd_outbox_send(), and:
///
/// -ECONNRESET  there will be no answer: the place for it was closed unanswered, or its holder died;
/// -EAGAIN, -ETIMEDOUT  no answer in time; the request is not taken back;
/// -EMSGSIZE    len is more than SENDFD_MAX_DATA; or the answer does not fit: it is released, and
///              ret_info is filled;
/// -EMFILE, -ENFILE  no descriptor left for the request (it takes two); or no room for the answer's:
///              it is released;
/// -EACCES      the kernel refuses the answer's descriptors to this process; it is released;
/// -EPROTO      what came is no answer, or in another protocol version;
/// -EINVAL      NULL with a count.
///
/// Signal handlers run while it waits and do not end the wait.
///
/// # Safety
/// `outbox` is open, the other pointers are valid for what the counts say, or they are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfd_outbox_request(
    outbox: *mut sendfd_outbox,
    fds: *const c_int,
    nfds: size_t,
    data: *const c_void,
    len: size_t,
    ret_fds: *mut c_int,
    max_fds: size_t,
    ret_data: *mut c_void,
    max_len: size_t,
    ret_info: *mut sendfd_info,
    timeout: *const timespec,
) -> c_int {
    // SAFETY: as the caller promises; more than a parcel holds is not touched.
    let into_fds = unsafe { slice_mut(ret_fds, max_fds.min(MAX_FDS)) };
    // SAFETY: as the caller promises; more than a parcel holds is not touched.
    let into_data = unsafe { slice_mut(ret_data.cast::<u8>(), max_len.min(MAX_DATA)) };
    // SAFETY: as the caller promises.
    let outbox = unsafe { outbox.as_ref() };
    let (Some(outbox), Ok(into_fds), Ok(into_data)) = (outbox, into_fds, into_data) else {
        return fail(libc::EINVAL);
    };
    // SAFETY: as the caller promises.
    let parcel = match unsafe { parcel((fds, nfds), (data, len), timeout) } {
        Ok(parcel) => parcel,
        Err(errno) => return fail(errno),
    };
    let result = outbox.outbox.request_into(parcel, into_fds, into_data);
    let info = match &result {
        Ok(info) => Some(*info),
        Err(error) if error.errno() == libc::EMSGSIZE => error.parcel(),
        Err(_) => None,
    };
    if let Some(info) = info.filter(|_| !ret_info.is_null()) {
        // SAFETY: valid, as the caller promises; not NULL, as seen here.
        unsafe { ret_info.write(info.into()) };
    }
    answer(result.map(|info| info.nfds.cast_signed()))
}

/// Answers a request, once. Never waits.
///
/// @param reply  from ret_info->reply; it stays open and is the caller's to close, before or after
/// @param fds    as for sendfd_outbox_send()
/// @param nfds   as for sendfd_outbox_send()
/// @param data   as for sendfd_outbox_send()
/// @param len    as for sendfd_outbox_send()
/// @return 0, or a negative errno
///
/// From any thread, at any time after the request was taken; also after its inbox was closed. Closing
/// reply unanswered tells the asker -ECONNRESET at once. Success means that the kernel holds the answer
/// for the asker; not that the asker takes it. After a failure another try may be made.
///
/// -EPIPE         the asker is gone, or has been answered;
/// -EINVAL        NULL with a count, too many descriptors, one that the kernel does not pass, or reply is
///                no such place;
/// -EBADF         reply, or a descriptor to be sent, is not open;
/// -ENOTSOCK      reply is no such place;
/// -EMSGSIZE      len is more than SENDFD_MAX_DATA;
/// -EAGAIN        there is no room, which only the asker can bring about;
/// -ETOOMANYREFS  too many descriptors of this user are in flight;
/// -ENOMEM, -ENOBUFS no memory.
///
/// # Safety
/// The pointers are valid for what the counts say, or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfd_reply(
    reply: c_int,
    fds: *const c_int,
    nfds: size_t,
    data: *const c_void,
    len: size_t,
) -> c_int {
    if reply < 0 {
        return fail(libc::EBADF);
    }
    // SAFETY: not negative; the kernel checks whether it is open, and it is used in this call only.
    let reply = unsafe { BorrowedFd::borrow_raw(reply) };
    // SAFETY: as the caller promises; NULL is a valid timeout.
    match unsafe { parcel((fds, nfds), (data, len), std::ptr::null()) } {
        Ok(parcel) => answer(Reply::send_to(reply, parcel).map(|()| 0)),
        Err(errno) => fail(errno),
    }
}
