//! Who may send to an inbox: root, and the receiver's own users.

use crate::address::{if_supported, proc};
use crate::sys::ids::Uids;
use crate::sys::{Errno, Result, pidfd, socket};
use std::os::fd::{AsFd, BorrowedFd};

/// The process that has connected, as it is called here, if an inbox of these users admits it.
pub(super) fn admitted(users: &[Uids], socket: BorrowedFd<'_>) -> Result<Option<i32>> {
    let peer = socket::peer(socket)?;
    Ok(admits(users, peer.effective_uid, socket)?.then_some(peer.pid))
}

fn admits(users: &[Uids], them: u32, socket: BorrowedFd<'_>) -> Result<bool> {
    if them != 0 && !users.iter().any(|us| us.admit(them)) {
        return Ok(false);
    }
    if them != proc::overflow_uid() || proc::numbers_all_users("self").unwrap_or(false) {
        return Ok(true);
    }
    is_told_apart(socket)
}

/// KERNEL: all users that have no number in our user namespace are shown to us as the overflow uid, and
/// we to ourselves, if we have none. Whether the peer is one of ours, the kernel tells when it is asked
/// for the permission to signal it: EPERM for another user, EINVAL for a process that is not visible in
/// our pid namespace, ESRCH for one that has been reaped. Nobody is admitted in doubt.
///
/// KERNEL(6.5): before, there is no pidfd of a peer to ask with, and its pid may have passed on.
fn is_told_apart(socket: BorrowedFd<'_>) -> Result<bool> {
    let peer = match socket::peer_pidfd(socket) {
        Err(Errno(libc::ESRCH)) => return Ok(false),
        peer => if_supported(peer)?,
    };
    Ok(peer.is_some_and(|peer| pidfd::may_signal(peer.as_fd()).is_ok()))
}
