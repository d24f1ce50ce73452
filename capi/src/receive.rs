//! Receiving.

use crate::convert::{answer, duration, fail, give, slice_mut};
use crate::options::{self, chosen};
use libc::{
    c_char, c_int, c_uint, c_void, gid_t, pid_t, siginfo_t, signalfd_siginfo, size_t, timespec,
    uid_t,
};
use sendfd_core::{
    Address, Announcement, Error, Info, MAX_DATA, MAX_FDS, Mailbox, Options, Reply, Signal,
};
use std::os::fd::{IntoRawFd, OwnedFd};

/// For sendfd_inbox_open(): the inbox is addressed by the id of the calling thread.
pub const SENDFD_INBOX_THREAD: c_uint = 1u32;

/// For sendfd_inbox_open(): the inbox queues no signals and touches no mask; any thread may use it.
pub const SENDFD_INBOX_NOSIGNAL: c_uint = 2u32;

/// For sendfd_inbox_open(): any user of this machine may send.
pub const SENDFD_INBOX_ANYONE: c_uint = 4u32;

/// Bytes of an address, its terminating zero included, at most.
pub const SENDFD_ADDRESS_MAX: c_int = 64;

const _: () = assert!(SENDFD_ADDRESS_MAX as usize == Address::MAX);

/// An inbox: where a task receives what is sent to it with one signal number.
#[derive(Debug)]
#[allow(non_camel_case_types, reason = "C's name")]
pub struct sendfd_inbox {
    mailbox: Mailbox,
}

/// What is known of a parcel.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types, reason = "C's name")]
pub struct sendfd_info {
    /// the signal number it was sent with
    pub signo: c_int,
    /// sender's process, in the caller's pid namespace; 0: not visible there
    pub pid: pid_t,
    /// its real user, as the kernel recorded it at the send; one that has no number in the caller's user
    /// namespace is shown as 65534
    pub uid: uid_t,
    /// its real group, likewise
    pub gid: gid_t,
    /// descriptors in the parcel
    pub nfds: u32,
    /// bytes in the parcel
    pub len: u32,
    /// an answer is awaited here: sendfd_reply(), then close it; -1: none is
    pub reply: c_int,
    /// no other parcel of this inbox has it; never 0
    pub id: u64,
    /// zero; room for later
    pub reserved: [u32; 4],
}

impl From<Info> for sendfd_info {
    fn from(info: Info) -> sendfd_info {
        let Info { signo, pid, uid, gid, nfds, len, id } = info;
        sendfd_info { signo, pid, uid, gid, nfds, len, reply: -1, id, reserved: [0; 4] }
    }
}

/// Opens an inbox of the calling process, or thread, for the real-time signal sig.
///
/// @param sig        what senders have to name; also the signal that is queued
/// @param flags      0, or any of SENDFD_INBOX_THREAD, SENDFD_INBOX_NOSIGNAL and SENDFD_INBOX_ANYONE
/// @param ret_inbox  to be closed with sendfd_inbox_close()
/// @return 0, or a negative errno
///
/// Without SENDFD_INBOX_NOSIGNAL, sig and SIGIO become blocked in the calling thread, and ignored in
/// the process where they had their default action; a handler is left alone. From then on the kernel
/// queues sig to this thread for what arrives, and SIGIO when its signal queue is full. The inbox
/// stays with the thread: all calls on it from others give -EPERM. When the thread ends, the inbox is
/// closed to senders. A thread can have one such inbox for a number.
///
/// With SENDFD_INBOX_NOSIGNAL there are no signals, and any thread may use the inbox.
///
/// A forked child does not have the inbox: its descriptors are closed there, every call on it gives
/// -EPERM, and sendfd_inbox_close() frees it.
///
/// -EINVAL           sig not real-time, unknown flags, or NULL;
/// -EADDRINUSE       there is an inbox for sig already, or another user squats on its name;
/// -EMFILE, -ENFILE  no descriptors left (it takes three, and one per sender);
/// -ENOMEM, -ENOBUFS no memory;
/// -ENOSPC           /proc/sys/fs/epoll/max_user_watches is reached.
///
/// # Safety
/// `ret_inbox` is valid for writing, or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfd_inbox_open(
    sig: c_int,
    flags: c_uint,
    ret_inbox: *mut *mut sendfd_inbox,
) -> c_int {
    let options = chosen(flags);
    // SAFETY: as the caller promises.
    unsafe { open(sig, options, ret_inbox) }
}

/// Who may send to an inbox, and where it listens: for sendfd_inbox_open_with(). Zeros, but for size, mean
/// what sendfd_inbox_open() does. Later releases may add to its end.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types, reason = "C's name")]
pub struct sendfd_inbox_options {
    /// sizeof(sendfd_inbox_options), as the program was compiled
    pub size: size_t,
    /// 0, or any of SENDFD_INBOX_THREAD, SENDFD_INBOX_NOSIGNAL and SENDFD_INBOX_ANYONE
    pub flags: c_uint,
    /// effective users that may send, beside root and one's own, as the caller's user namespace numbers
    /// them; NULL if nuids is 0
    pub uids: *const uid_t,
    /// how many there are
    pub nuids: size_t,
    /// groups whose members may send, by effective or supplementary group; NULL if ngids is 0
    pub gids: *const gid_t,
    /// how many there are
    pub ngids: size_t,
    /// where it listens as well, for senders in other network namespaces; NULL: in $SENDFD_DIR, or in
    /// /run/sendfd if that is there; "": nowhere
    pub directory: *const c_char,
}

/// Opens an inbox as sendfd_inbox_open() does, and lets in other users, or listens in a directory.
///
/// @param sig        what senders have to name; also the signal that is queued
/// @param options    copied; a size that is larger than this release knows is fine while what is unknown is
///                   zero
/// @param ret_inbox  to be closed with sendfd_inbox_close()
/// @return 0, or a negative errno
///
/// Senders of other users, who need not be allowed to signal this process, are guests. A first send of a
/// guest gives -EAGAIN, or waits, until the receiver has let it in, which it does in whatever call on the
/// inbox looks for mail. At most 16 connections of one user are held, and 1024 of all guests, or as many as a
/// quarter of RLIMIT_NOFILE; whoever comes when there are so many gets -EPERM, as do all who are not let in.
/// To take a permission away, close the inbox and open it anew without it.
///
/// The user as which the kernel shows all who have no number in the caller's user namespace (65534, see
/// /proc/sys/kernel/overflowuid) cannot be let in by number, nor can the group; SENDFD_INBOX_ANYONE lets
/// them in.
///
/// -EINVAL           also: options is NULL or its size too small, the overflow user or group or -1 is named,
///                   or more than 65536 users or groups are;
/// -E2BIG            what this release does not know in options is not zero;
/// -ENAMETOOLONG     directory has 4096 bytes or more;
/// otherwise as sendfd_inbox_open().
///
/// # Safety
/// `options` and what it points to are valid, or NULL; `ret_inbox` is valid for writing, or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfd_inbox_open_with(
    sig: c_int,
    options: *const sendfd_inbox_options,
    ret_inbox: *mut *mut sendfd_inbox,
) -> c_int {
    // SAFETY: as the caller promises.
    match unsafe { options::of(options) } {
        // SAFETY: as the caller promises.
        Ok(options) => unsafe { open(sig, Some(options), ret_inbox) },
        Err(errno) => fail(errno),
    }
}

/// # Safety
/// `ret_inbox` is valid for writing, or NULL.
unsafe fn open(
    sig: c_int,
    options: Option<Options<'_>>,
    ret_inbox: *mut *mut sendfd_inbox,
) -> c_int {
    let Some(options) = options.filter(|_| !ret_inbox.is_null()) else { return fail(libc::EINVAL) };
    match Signal::new(sig).and_then(|signal| Mailbox::open(signal, options)) {
        // SAFETY: valid, as the caller promises; not NULL, as seen above.
        Ok(mailbox) => unsafe { give(sendfd_inbox { mailbox }, ret_inbox) },
        Err(error) => fail(error.errno()),
    }
}

/// Closes an inbox and frees it. What nobody has taken is released; senders get -ECONNREFUSED from
/// now on. Its own signals that are pending are taken back, and the thread gets its mask back; the
/// signals stay ignored, so that a late one cannot kill. NULL is fine.
///
/// What is released may be slow to close, as a TCP socket that lingers is. It is not waited for: a thread
/// that lives only for this closes it.
///
/// To be called by the thread that opened the inbox, which alone can be given its mask back; by any
/// thread for one without signals, once no other thread uses it.
///
/// # Safety
/// `inbox` comes from `sendfd_inbox_open` and is not used afterwards, or it is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfd_inbox_close(inbox: *mut sendfd_inbox) {
    if !inbox.is_null() {
        // SAFETY: made by Box::into_raw, and given up by the caller.
        drop(unsafe { Box::from_raw(inbox) });
    }
}

/// Ends every wait on an inbox, in whatever thread, and lets nobody connect any more. It does not wait,
/// and any thread may call it, also for an inbox with signals.
///
/// @param inbox  from sendfd_inbox_open(); remains to be closed with sendfd_inbox_close()
/// @return 0, also when it has been shut down already; or a negative errno
///
/// From then on every call on the inbox gives -EBADF, but for sendfd_inbox_fileno(), whose descriptor
/// stays readable, and sendfd_inbox_close(). A signal is pending for the thread that opened an inbox
/// with signals, so that a loop of its own wakes up, claims, and is told. New senders get
/// -ECONNREFUSED. What is queued is released when the inbox is closed.
///
/// -EINVAL  NULL;
/// -EPERM   opened before a fork.
///
/// # Safety
/// `inbox` is open, or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfd_inbox_shutdown(inbox: *mut sendfd_inbox) -> c_int {
    // SAFETY: as the caller promises.
    match unsafe { inbox.as_ref() } {
        Some(inbox) => answer(inbox.mailbox.shutdown().map(|()| 0)),
        None => fail(libc::EINVAL),
    }
}

/// The address of an inbox: text that names it on this machine, in every namespace.
///
/// @param inbox        from sendfd_inbox_open()
/// @param ret_address  room for size bytes; NULL if size is 0
/// @param size         SENDFD_ADDRESS_MAX is always enough
/// @return the length of the address without its terminating zero, as snprintf(); or a negative errno
///
/// It is no secret and gives no permission. Whoever gets it, over whatever channel, can open an outbox with
/// sendfd_outbox_open_address() without seeing the receiver's pid. It is of use as long as the inbox is open.
/// What does not fit is cut off; with a size of 0 nothing is written.
///
/// -EINVAL  NULL;
/// -EPERM   opened before a fork.
///
/// # Safety
/// `inbox` is open, and `ret_address` valid for `size` bytes, or they are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfd_inbox_address(
    inbox: *const sendfd_inbox,
    ret_address: *mut c_char,
    size: size_t,
) -> c_int {
    // SAFETY: as the caller promises.
    let inbox = unsafe { inbox.as_ref() };
    // SAFETY: as the caller promises; more than an address and its zero is not touched.
    let room = unsafe { slice_mut(ret_address.cast::<u8>(), size.min(Address::MAX)) };
    let (Some(inbox), Ok(room)) = (inbox, room) else { return fail(libc::EINVAL) };
    answer(inbox.mailbox.address().map(|address| {
        let text = address.to_bytes();
        let text = text.as_ref();
        let cut = text.len().min(room.len().saturating_sub(1));
        if let Some(end) = room.get_mut(cut) {
            *end = 0;
            room[..cut].copy_from_slice(&text[..cut]);
        }
        c_int::try_from(text.len()).unwrap_or(c_int::MAX)
    }))
}

/// A descriptor that polls readable while there is mail, level-triggered, from any thread. It stays
/// the inbox's: wait for it with poll, select or epoll, and do nothing else with it.
///
/// @return the descriptor, or a negative errno
///
/// It may turn out that there is no mail after all (a sender went away): receive with a timeout of
/// {0, 0} then and expect -EAGAIN.
///
/// -EINVAL  NULL;
/// -EPERM   opened before a fork;
/// -EBADF   the program has closed it behind the library's back.
///
/// # Safety
/// `inbox` is open, or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfd_inbox_fileno(inbox: *const sendfd_inbox) -> c_int {
    // SAFETY: as the caller promises.
    match unsafe { inbox.as_ref() } {
        Some(inbox) => answer(inbox.mailbox.fileno()),
        None => fail(libc::EINVAL),
    }
}

/// Takes the next parcel if it has exactly one descriptor. Bytes that came with it are dropped;
/// ret_info->len says how many.
///
/// @param inbox     from sendfd_inbox_open()
/// @param ret_info  who sent it; may be NULL
/// @param timeout   how long to wait
/// @return the descriptor, close-on-exec, the caller's to close; or a negative errno
///
/// The descriptor has the lowest free number and shares its file description with the sender's, as
/// after dup(): offset and O_NONBLOCK are common to both.
///
/// -EAGAIN     nothing there, with a timeout of {0, 0};
/// -ETIMEDOUT  nothing came before the deadline;
/// -EMSGSIZE   it has more descriptors;
/// -EMFILE, -ENFILE  no room in the table; or, where ret_info->id is 0, none for a sender's connection;
/// -EACCES     there is room, but a security module does not let this process receive it;
/// -EINTR      a signal handler ran, or the process was stopped and goes on;
/// -EPERM      opened by another thread, or before a fork;
/// -EPROTO     a peer speaks another protocol version and was shut out; the others are not affected;
/// -EINVAL     NULL, or a bad timeout;
/// -ENOMEM, -ENOBUFS  no memory;
/// -ENOSPC     /proc/sys/fs/epoll/max_user_watches is reached;
/// -EBADF      shut down.
///
/// A parcel that cannot be taken (-EMSGSIZE, -EMFILE, -ENFILE, -EACCES) stays where it is, whole, and
/// ret_info is filled. What its sender sent after it stays behind it; the mail of others goes on, and
/// the calls come back to it when nothing else is there, or when there is room for it. So a loop has to
/// do something about it: sendfd_recvs() takes it, sendfd_discard() throws it away.
///
/// # Safety
/// `inbox` is open, the other pointers are valid, or they are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfd_recv(
    inbox: *mut sendfd_inbox,
    ret_info: *mut sendfd_info,
    timeout: *const timespec,
) -> c_int {
    // SAFETY: as the caller promises.
    let inbox = unsafe { inbox.as_ref() };
    // SAFETY: as the caller promises.
    let timeout = unsafe { duration(timeout) };
    let (Some(inbox), Ok(timeout)) = (inbox, timeout) else {
        return fail(libc::EINVAL);
    };
    // SAFETY: as the caller promises.
    unsafe { hand_over(inbox.mailbox.recv_one(timeout), ret_info) }
}

/// Takes the next parcel, of any size that fits.
///
/// @param inbox     from sendfd_inbox_open()
/// @param ret_fds   room for max_fds descriptors, close-on-exec, the caller's to close
/// @param max_fds   SENDFD_MAX_FDS is always enough
/// @param ret_data  room for max_len bytes
/// @param max_len   SENDFD_MAX_DATA is always enough
/// @param ret_info  who sent it, and how much it is; may be NULL
/// @param timeout   how long to wait
/// @return how many descriptors there are in ret_fds; or a negative errno
///
/// As sendfd_recv(), and:
///
/// -EMSGSIZE  it does not fit; ret_info is filled, and it is kept;
/// -EINVAL    NULL with a count.
///
/// With no room at all, -EMSGSIZE tells the size of the next parcel; with room for it, the next call takes
/// that one.
///
/// # Safety
/// `inbox` is open, the other pointers are valid for what the counts say, or they are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfd_recvs(
    inbox: *mut sendfd_inbox,
    ret_fds: *mut c_int,
    max_fds: size_t,
    ret_data: *mut c_void,
    max_len: size_t,
    ret_info: *mut sendfd_info,
    timeout: *const timespec,
) -> c_int {
    // SAFETY: as the caller promises.
    let inbox = unsafe { inbox.as_ref() };
    // SAFETY: as the caller promises.
    let timeout = unsafe { duration(timeout) };
    // SAFETY: as the caller promises; more than a parcel holds is not touched.
    let fds = unsafe { slice_mut(ret_fds, max_fds.min(MAX_FDS)) };
    // SAFETY: as the caller promises; more than a parcel holds is not touched.
    let data = unsafe { slice_mut(ret_data.cast::<u8>(), max_len.min(MAX_DATA)) };
    let (Some(inbox), Ok(timeout), Ok(fds), Ok(data)) = (inbox, timeout, fds, data) else {
        return fail(libc::EINVAL);
    };
    let result = inbox.mailbox.recv_into(fds, data, timeout);
    // SAFETY: as the caller promises.
    unsafe { tell(result.map(|(info, reply)| (info.nfds.cast_signed(), info, reply)), ret_info) }
}

/// Takes the parcel that a signal announces which the program dequeued itself, with sigwaitinfo(),
/// sigtimedwait() or in a handler's stead, if it has exactly one descriptor.
///
/// @param inbox     opened with signals, by this thread
/// @param info      what came with the signal; the program's set must hold the inbox's number and
///                  SIGIO, and both are to be handed over
/// @param ret_info  who sent it; may be NULL
/// @return the descriptor, as from sendfd_recv(); or a negative errno
///
/// While mail is left, a further signal is pending: a loop that claims once per signal never sleeps
/// on mail. A parcel may come from another sender than the one that caused this signal.
///
/// -EAGAIN  the signal announced nothing, which is normal;
/// -EINVAL  NULL, or neither the inbox's number nor SIGIO;
/// otherwise as sendfd_recv(), without -ETIMEDOUT and -EINTR.
///
/// # Safety
/// `inbox` is open, the other pointers are valid, or they are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfd_claim(
    inbox: *mut sendfd_inbox,
    info: *const siginfo_t,
    ret_info: *mut sendfd_info,
) -> c_int {
    // SAFETY: as the caller promises.
    let info = unsafe { info.as_ref() };
    // SAFETY: as the caller promises.
    unsafe { claim(inbox, info.map(Announcement::from_siginfo), ret_info) }
}

/// The same as sendfd_claim() for a signal that was read from a signalfd.
///
/// # Safety
/// `inbox` is open, the other pointers are valid, or they are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfd_claim_signalfd(
    inbox: *mut sendfd_inbox,
    info: *const signalfd_siginfo,
    ret_info: *mut sendfd_info,
) -> c_int {
    // SAFETY: as the caller promises.
    let info = unsafe { info.as_ref() };
    // SAFETY: as the caller promises.
    unsafe { claim(inbox, info.map(Announcement::from_signalfd), ret_info) }
}

/// Throws away a parcel that could not be taken: the one of which -EMSGSIZE, -EMFILE, -ENFILE or -EACCES
/// told. What its sender sent after it is next then.
///
/// @param inbox  from sendfd_inbox_open()
/// @param info   as it was filled with the error; the id alone counts
/// @return 0, or a negative errno
///
/// Its descriptors are released without having been in the table, so that it needs no room there. The
/// sender is told what it would be told of a parcel that was received.
///
/// -EAGAIN  it has been taken or discarded meanwhile;
/// -EPERM   opened by another thread, or before a fork;
/// -EINVAL  NULL;
/// -EBADF   shut down;
/// -ENOMEM, -ENOBUFS  no memory; it is kept.
///
/// # Safety
/// `inbox` is open and `info` is valid, or they are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfd_discard(
    inbox: *mut sendfd_inbox,
    info: *const sendfd_info,
) -> c_int {
    // SAFETY: as the caller promises.
    let inbox = unsafe { inbox.as_ref() };
    // SAFETY: as the caller promises.
    let info = unsafe { info.as_ref() };
    let (Some(inbox), Some(info)) = (inbox, info) else {
        return fail(libc::EINVAL);
    };
    answer(inbox.mailbox.discard(info.id).map(|()| 0))
}

#[inline]
unsafe fn claim(
    inbox: *mut sendfd_inbox,
    announcement: Option<Announcement>,
    ret_info: *mut sendfd_info,
) -> c_int {
    // SAFETY: open or NULL, as the callers above pass on.
    match (unsafe { inbox.as_ref() }, announcement) {
        (Some(inbox), Some(announcement)) => {
            // SAFETY: valid or NULL, as the callers above pass on.
            unsafe { hand_over(inbox.mailbox.claim(announcement), ret_info) }
        }
        _ => fail(libc::EINVAL),
    }
}

unsafe fn hand_over(
    result: Result<(OwnedFd, Info, Option<Reply>), Error>,
    ret_info: *mut sendfd_info,
) -> c_int {
    // SAFETY: valid or NULL, as the callers above pass on.
    unsafe { tell(result.map(|(fd, info, reply)| (fd.into_raw_fd(), info, reply)), ret_info) }
}

/// Fills `ret_info` on success, and where a parcel could not be taken; where none is concerned, though
/// the same error could be that of a parcel, its id is 0. Without `ret_info`, a place for an answer is
/// closed, so that the asker is not left waiting.
unsafe fn tell(
    result: Result<(c_int, Info, Option<Reply>), Error>,
    ret_info: *mut sendfd_info,
) -> c_int {
    // SAFETY: valid or NULL, as the callers above pass on.
    let ret_info = unsafe { ret_info.as_mut() };
    match (result, ret_info) {
        (Ok((value, info, reply)), Some(ret_info)) => {
            let reply = reply.map_or(-1, IntoRawFd::into_raw_fd);
            *ret_info = sendfd_info { reply, ..info.into() };
            value
        }
        (Ok((value, _, reply)), None) => {
            if let Some(reply) = reply {
                reply.refuse();
            }
            value
        }
        (Err(error), ret_info) => {
            match (error.parcel(), error.errno(), ret_info) {
                (Some(info), _, Some(ret_info)) => *ret_info = info.into(),
                (None, libc::EMFILE | libc::ENFILE, Some(ret_info)) => ret_info.id = 0,
                _ => {}
            }
            fail(error.errno())
        }
    }
}
