//! The task that a sender means, and the proof that a peer is that very task.

use super::name::{Identity, if_supported};
use super::network::unless_short;
use super::proc;
use super::task::Target;
use super::text::Address;
use crate::sys::fd::{Awaited, PrivateFd, poll};
use crate::sys::{Errno, Result, ids, pidfd, socket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// A task that existed when it was looked up.
pub(crate) struct Recipient<'a> {
    /// This process may not signal it, and can only be its guest.
    forbidden: bool,
    /// Its id here; 0 if it is not visible in this pid namespace.
    id: i32,
    pidfd: Option<Pidfd<'a>>,
    inode: Option<u64>,
    /// Looked up only where there is no inode to go by.
    started: Option<u64>,
}

/// Who has been proven to be at the other end of a socket.
pub(crate) struct Proven {
    pub(crate) peer: socket::Peer,
    /// Whether the kernel gives a pidfd of it.
    pub(crate) has_pidfd: bool,
}

enum Pidfd<'a> {
    Ours(PrivateFd),
    Theirs(BorrowedFd<'a>),
}

impl AsFd for Pidfd<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Pidfd::Ours(fd) => fd.as_fd(),
            Pidfd::Theirs(fd) => fd.as_fd(),
        }
    }
}

impl<'a> Recipient<'a> {
    /// Looks the task up and asks the kernel whether it may be signalled.
    pub(crate) fn find(target: Target<'a>) -> Result<Recipient<'a>> {
        let mut found = match target {
            Target::Task(task) => Recipient::by_id(task.id())?,
            Target::Pidfd(pidfd) => Recipient::by_pidfd(pidfd)?,
            Target::Address(address) => Recipient::by_address(address)?,
        };
        if found.inode.is_none() {
            found.started = proc::start_time(found.id).map_err(gone)?;
        }
        Ok(found)
    }

    fn by_id(id: i32) -> Result<Recipient<'a>> {
        // The pidfd comes first: if its task is alive in the end, the number meant it all along.
        let opened = match pidfd::open(id) {
            // KERNEL: the id of a thread that is not the first of its process; EINVAL before 6.18.
            Err(Errno(libc::ENOENT | libc::EINVAL)) => pidfd::open_thread(id),
            opened => opened,
        };
        let pidfd = if_supported(opened)?;
        let forbidden = is_forbidden(ids::may_signal(id))?;
        let inode = pidfd.as_ref().map(|fd| pidfd::inode(fd.as_fd())).transpose()?.flatten();
        let pidfd = pidfd.map(Pidfd::Ours);
        Ok(Recipient { forbidden, id, pidfd, inode, started: None })
    }

    fn by_pidfd(pidfd: BorrowedFd<'a>) -> Result<Recipient<'a>> {
        let inode = pidfd::inode(pidfd)?;
        let id = match proc::id_of_pidfd(pidfd.as_raw_fd()) {
            Ok(Some(id)) => id,
            // The inode is enough to go by.
            _ if inode.is_some() => 0,
            Ok(None) => return Err(Errno(libc::EINVAL)),
            Err(errno) => return Err(errno),
        };
        let forbidden = is_forbidden(match pidfd::may_signal(pidfd) {
            // KERNEL: no signal can be addressed out of a pid namespace. The uids decide then.
            // Without an inode it has no name that is known here.
            Err(Errno(libc::EINVAL)) if inode.is_none() => return Err(Errno(libc::ESRCH)),
            Err(Errno(libc::EINVAL)) => Ok(()),
            Err(Errno(libc::ENOSYS)) if id > 0 => ids::may_signal(id),
            answer => answer,
        })?;
        if inode.is_none() && id == 0 {
            return Err(Errno(libc::ESRCH));
        }
        let pidfd = Some(Pidfd::Theirs(pidfd));
        Ok(Recipient { forbidden, id, pidfd, inode, started: None })
    }

    /// The task may be out of sight, so that the kernel cannot be asked for the permission to signal it.
    /// The uids decide then.
    fn by_address(address: Address) -> Result<Recipient<'a>> {
        match address.identity() {
            Identity::Inode(inode) => {
                let (forbidden, inode) = (false, Some(inode));
                Ok(Recipient { forbidden, id: 0, pidfd: None, inode, started: None })
            }
            Identity::Started { id, at } => Recipient::by_id(visible(id, at)?),
        }
    }

    /// Whether this process may not signal it.
    pub(crate) fn is_forbidden(&self) -> bool {
        self.forbidden
    }

    /// Its id here; 0 where it is not known.
    pub(crate) fn id(&self) -> i32 {
        self.id
    }

    /// Its pidfd, if there is one.
    pub(crate) fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(AsFd::as_fd)
    }

    /// The inode of its pidfd, which no other task has.
    pub(crate) fn inode(&self) -> Option<u64> {
        self.inode
    }

    /// The identity under which its inbox most likely listens.
    pub(crate) fn identity(&self) -> Result<Identity> {
        self.inode.map_or_else(|| self.old_identity(), |inode| Ok(Identity::Inode(inode)))
    }

    /// The identity that a receiver without pidfs goes by; the same as `identity` without pidfs here.
    pub(crate) fn old_identity(&self) -> Result<Identity> {
        let at = match self.started {
            Some(at) => at,
            None => proc::start_time(self.id).map_err(gone)?.ok_or(Errno(libc::ESRCH))?,
        };
        let id = proc::innermost_id(self.id).map_err(gone)?;
        Ok(Identity::Started { id, at })
    }

    /// Whether the task still runs, as far as there is an answer.
    pub(crate) fn is_alive(&self) -> bool {
        self.is_surely_alive().unwrap_or(true)
    }

    fn is_surely_alive(&self) -> Result<bool> {
        match &self.pidfd {
            Some(pidfd) => Ok(pidfd::is_alive(pidfd.as_fd())),
            // Known by its address alone: nothing tells of its end.
            None if self.id == 0 => Ok(true),
            None => match proc::start_time(self.id) {
                Ok(at) => Ok(at.is_some_and(|at| self.started == Some(at))),
                Err(errno) if errno.is_shortage() => Err(errno),
                Err(_) => Ok(false),
            },
        }
    }

    /// Waits so many milliseconds (-1: for ever) for the task to end; tells whether it has.
    pub(crate) fn wait_for_its_end(&self, timeout_ms: i32) -> Result<bool> {
        match &self.pidfd {
            Some(pidfd) => poll([(pidfd.as_fd(), Awaited::Readable)], timeout_ms)?,
            None => poll([], timeout_ms).map(|[]| [0])?,
        };
        Ok(!self.is_alive())
    }

    /// Proves that the listener behind `socket` is this task, or the process it is a thread of, and
    /// alive. Whoever else sits on the name is refused.
    pub(crate) fn prove(&self, socket: BorrowedFd<'_>) -> Result<Proven> {
        let refused = Err(Errno(libc::ECONNREFUSED));
        let peer = socket::peer(socket)?;
        let theirs = match if_supported(socket::peer_pidfd(socket)) {
            Err(Errno(libc::ESRCH)) => return refused,
            given => given?,
        };
        let inode = match &theirs {
            Some(fd) => pidfd::inode(fd.as_fd())?,
            None => None,
        };
        if !self.is_looked_at_by(inode)
            && theirs.as_ref().is_some_and(|fd| !pidfd::is_alive(fd.as_fd()))
        {
            return refused;
        }
        let same = match (inode, self.inode) {
            (Some(theirs), Some(ours)) => {
                theirs == ours
                    || if self.is_known_by_address_alone() {
                        has_thread(peer.pid, ours)?
                    } else {
                        self.is_thread_of(peer.pid, theirs)?
                    }
            }
            (None, Some(_)) if self.is_known_by_address_alone() => {
                return Err(Errno(libc::EOPNOTSUPP));
            }
            _ => self.id != 0 && (peer.pid == self.id || ids::is_thread_of(peer.pid, self.id)),
        };
        if !same || !self.is_surely_alive()? {
            return refused;
        }
        Ok(Proven { peer, has_pidfd: theirs.is_some() })
    }

    /// Whether a look at this task is one at what has `inode`: one is enough.
    fn is_looked_at_by(&self, inode: Option<u64>) -> bool {
        inode.is_some() && inode == self.inode && self.pidfd.is_some()
    }

    fn is_known_by_address_alone(&self) -> bool {
        self.id == 0 && self.pidfd.is_none()
    }

    /// Whether this task is a thread of the process that has `inode`, and `process` for its id.
    fn is_thread_of(&self, process: i32, inode: u64) -> Result<bool> {
        if !ids::is_thread_of(process, self.id) {
            return Ok(false);
        }
        // The number alone could have passed on to another process meanwhile.
        match pidfd::open(process) {
            Ok(fd) => Ok(pidfd::inode(fd.as_fd())? == Some(inode)),
            Err(Errno(libc::ESRCH)) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Asks, before anything is sent, what the receiver will ask: is this user root, or the
    /// receiver's own real or saved one? A parcel that it would turn away must not count as sent.
    pub(crate) fn will_admit_us(&self, socket: BorrowedFd<'_>, proven: &Proven) -> Result<()> {
        let (us, peer) = (ids::effective_uid(), &proven.peer);
        // Proven to be the task itself, or its process.
        let id = if self.id > 0 { self.id } else { peer.pid };
        let same = us == peer.effective_uid;
        let admitted = if same { Ok(true) } else { shows_that_we_are_admitted(id, us) };
        match admitted.and_then(|yes| Ok(yes && can_tell_who_we_are(id, us, socket)?)) {
            Ok(true) => Ok(()),
            // What cannot be known (`hidepid`, no `/proc`) must not be taken for a yes. Where it is because the
            // task is gone, the search for a place for guests tells.
            Ok(false) | Err(Errno(libc::ENOENT)) => Err(Errno(libc::EPERM)),
            Err(errno) => Err(errno),
        }
    }
}

/// What the kernel answers when it is asked for the permission to signal.
fn is_forbidden(answer: Result<()>) -> Result<bool> {
    match answer {
        Err(Errno(libc::EPERM)) => Ok(true),
        answer => answer.map(|()| false),
    }
}

fn shows_that_we_are_admitted(id: i32, us: u32) -> Result<bool> {
    if id <= 0 {
        return Ok(false);
    }
    match proc::uid_as_seen_by(id, us)? {
        None => Ok(false),
        Some(0) => Ok(true),
        Some(_) => Ok(proc::real_and_saved_uid(id)?.contains(&us)),
    }
}

/// Whether the receiver can tell our user from others: by its number there, or by asking the kernel,
/// for which it has to see us.
///
/// KERNEL: all users that have no number in a user namespace are shown there as the overflow uid.
fn can_tell_who_we_are(id: i32, us: u32, socket: BorrowedFd<'_>) -> Result<bool> {
    // Is our number our own?
    let ours = us != proc::overflow_uid()
        || if_readable(proc::numbers_all_users("self"))?.unwrap_or(false);
    let numbered = match (ours, id > 0) {
        (true, true) => if_readable(proc::numbers_user(id, us))?.unwrap_or(true),
        (true, false) => true,
        (false, true) => if_readable(proc::numbers_all_users(id))?.unwrap_or(false),
        (false, false) => false,
    };
    let seen = || {
        Ok(id > 0
            // Calls that do not work here do not work there.
            && if_supported(socket::peer_pidfd(socket))?
                .is_some_and(|peer| pidfd::may_signal(peer.as_fd()).is_ok())
            && if_readable(proc::shares_pid_namespace(id))?.unwrap_or(false))
    };
    Ok(numbered || seen()?)
}

/// What `/proc` says; `None` where it hides that.
fn if_readable(said: Result<bool>) -> Result<Option<bool>> {
    match said {
        Err(Errno(libc::ENOENT | libc::ESRCH | libc::EACCES | libc::EPERM)) => Ok(None),
        said => said.map(Some),
    }
}

/// A task that left while `/proc` was read; one that `/proc` hides from this user.
fn gone(errno: Errno) -> Errno {
    match errno {
        Errno(libc::ENOENT) => Errno(libc::ESRCH),
        other => other,
    }
}

/// The task of that id and start time, in its own pid namespace, which has to be ours.
pub(crate) fn visible(id: i32, at: u64) -> Result<i32> {
    let here = unless_short(proc::start_time(id))? == Some(at)
        && unless_short(proc::innermost_id(id).map(Some))? == Some(id);
    if here { Ok(id) } else { Err(Errno(libc::EOPNOTSUPP)) }
}

/// Whether the process of that id has a thread with this inode. Where it is not visible here, it cannot be
/// known, and that is no proof.
fn has_thread(process: i32, inode: u64) -> Result<bool> {
    for thread in proc::threads(process)? {
        match pidfd::open_thread(thread).and_then(|thread| pidfd::inode(thread.as_fd())) {
            Ok(found) if found == Some(inode) => return Ok(true),
            Err(errno @ Errno(libc::EMFILE | libc::ENFILE)) => return Err(errno),
            _ => {}
        }
    }
    Ok(false)
}
