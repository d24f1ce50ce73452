//! What a receiver gets.

use crate::reply::Reply;
use crate::sys::socket;
use std::os::fd::{AsFd, OwnedFd};

/// Received descriptors, the bytes that came with them, and who sent them.
///
/// The descriptors are close-on-exec and share their file description (offset, `O_NONBLOCK`) with
/// the sender's, as after `dup`. Those that are not taken out are closed with the parcel.
#[derive(Debug)]
pub struct Parcel {
    /// The descriptors, in the order in which they were sent; there may be none.
    pub fds: Vec<OwnedFd>,
    /// The bytes that came with them.
    pub data: Vec<u8>,
    /// Its counts, and the credentials of the sender.
    pub info: Info,
    /// Where its sender awaits an answer, if it does.
    pub reply: Option<Reply>,
}

/// What is known of a parcel besides its content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Info {
    /// The signal number it was sent with.
    pub signo: i32,
    /// The sender's process in the receiver's pid namespace; 0: not visible there.
    pub pid: i32,
    /// Its real user, as the kernel recorded it at the send.
    pub uid: u32,
    /// Its real group, likewise.
    pub gid: u32,
    /// Descriptors in the parcel.
    pub nfds: u32,
    /// Bytes in the parcel.
    pub len: u32,
    /// No other parcel of this inbox has it; never 0. A parcel that is kept keeps it.
    pub id: u64,
}

/// Whether this is a socket that listens, so that a received descriptor can be made a server.
///
/// ```
/// use std::net::{TcpListener, TcpStream};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// assert!(sendfd_core::is_listening(&listener));
/// assert!(!sendfd_core::is_listening(TcpStream::connect(listener.local_addr()?)?));
/// assert!(!sendfd_core::is_listening(std::io::stdin()));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn is_listening(fd: impl AsFd) -> bool {
    socket::is_listening(fd.as_fd())
}
