//! Closing what can be slow to close, and nobody waits for it.
//!
//! KERNEL: whoever closes the last descriptor of a file also releases it, and what waits unread in it.
//! Of a TCP socket that lingers this takes as long as its owner has chosen; only a task that exits does
//! not wait for it. Of a file on NFS it takes as long as the server does.
//!
//! So a thread is started that copies the table, closes in its copy whatever else there is, and ends
//! once the descriptors are closed in the table of the program, which then is not the last to close
//! them. The program's own files are in that copy for some microseconds, as they are in that of a child
//! that is about to exec; whoever has started the thread does not go on before, except where the close of
//! one of them is slow, which is not the last one.

mod keeper;
mod own_table;
mod refusal;
mod shared;
mod thread;

use self::keeper::Keeper;
use self::shared::What;
use super::{Errno, Result, message};
use std::os::fd::{AsRawFd, BorrowedFd};

pub(crate) use self::refusal::is_refused;

/// Closes `fds`, which are gone from the table when it returns; what that sets free is waited for by
/// nobody.
///
/// Where the thread can have no table of its own, it closes them in that of the program, and may be late.
/// Where no thread can be started, it is waited for here.
pub(crate) fn close_elsewhere<T: AsRawFd, A: AsRef<[T]> + Send>(fds: A) {
    if fds.as_ref().is_empty() {
        return;
    }
    // Without memory, they are closed here.
    let Some(keeper) = Keeper::of(fds, What::Descriptors) else { return };
    keeper.close_here();
}

/// Consumes the first message of `socket`. Its descriptors are in the table of such a thread meanwhile,
/// as many as `RLIMIT_NOFILE` and a security module allow, and so nobody waits for what they set free.
pub(crate) fn discard_elsewhere(socket: BorrowedFd<'_>) -> Result<()> {
    let keeper = Keeper::of([socket], What::FirstMessage(0));
    let discarded = match message::discard(socket) {
        // KERNEL: one may stand in front of messages that are still queued.
        Err(Errno(libc::ECONNRESET | libc::EINTR)) => message::discard(socket),
        discarded => discarded,
    };
    drop(keeper);
    discarded
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::io::{Read, Write, pipe};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::{AsFd, OwnedFd};
    use std::time::{Duration, Instant};

    /// Of a connection whose other side does not read.
    pub(crate) fn lingering() -> (OwnedFd, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut socket =
            TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        let (other, _) = listener.accept().expect("connected");
        socket.set_nonblocking(true).expect("a socket");
        while socket.write(&[0; 1 << 13]).is_ok() {}
        let linger = libc::linger { l_onoff: 1, l_linger: 20 };
        let len = libc::socklen_t::try_from(size_of_val(&linger)).expect("8");
        // SAFETY: a valid value of that length.
        let set = unsafe {
            let value = (&raw const linger).cast();
            libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, value, len)
        };
        assert_eq!(set, 0);
        (socket.into(), other)
    }

    #[test]
    fn nobody_waits_for_a_socket_that_lingers() {
        let (socket, other) = lingering();
        let start = Instant::now();
        close_elsewhere([socket]);
        assert!(start.elapsed() < Duration::from_secs(5));
        drop(other);
    }

    #[test]
    fn what_is_closed_comes_to_its_end() {
        let ((mut end, closed), (mut other_end, kept)) =
            (pipe().expect("a pipe"), pipe().expect("a pipe"));
        let file = std::fs::File::open("/dev/null").expect("it is there");
        close_elsewhere([OwnedFd::from(closed), file.into()]);
        assert_eq!(end.read(&mut [0]).expect("an end"), 0);
        drop(kept);
        assert_eq!(other_end.read(&mut [0]).expect("an end"), 0);
        close_elsewhere::<OwnedFd, _>([]);
        assert!(end.as_fd().as_raw_fd() >= 0);
    }
}
