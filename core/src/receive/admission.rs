//! Who may send to an inbox: root, the receiver's own users, and its guests.

use super::guests::Guests;
use crate::address::{if_supported, proc};
use crate::sys::ids::Uids;
use crate::sys::{Errno, Result, pidfd, socket};
use std::os::fd::{AsFd, BorrowedFd};

/// Whom a listener lets in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule<'a> {
    /// Root, and these.
    Own(&'a [Uids]),
    Guests(&'a Guests),
}

/// Who is let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Admitted {
    /// The process that has connected, as it is called here.
    pub(super) process: i32,
    /// The user, if it comes as a guest.
    pub(super) guest: Option<u32>,
}

/// Whoever has connected, if the rule says so.
pub(super) fn admitted(rule: Rule<'_>, socket: BorrowedFd<'_>) -> Result<Option<Admitted>> {
    let peer = socket::peer(socket)?;
    let (yes, guest) = match rule {
        Rule::Own(users) => (admits(users, peer.effective_uid, socket)?, None),
        Rule::Guests(guests) => (guests.invited(peer, socket)?, Some(peer.effective_uid)),
    };
    Ok(yes.then_some(Admitted { process: peer.pid, guest }))
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
