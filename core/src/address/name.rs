//! The name under which a task's inbox listens.
//!
//! KERNEL(6.9): the inode of a task's pidfd is unique until the machine stops and the same in every
//! pid namespace. Where there is no pidfs, the id in the task's own pid namespace and its start time
//! have to do.

use super::proc;
use crate::signal::Signal;
use crate::sys::{Errno, Result, ids, pidfd};
use std::fmt::{self, Write};
use std::os::fd::AsFd;

/// What tells a task from all others, past and present.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Identity {
    /// The inode of its pidfd.
    Inode(u64),
    /// Its id in its own pid namespace, and its start time.
    Started { id: i32, at: u64 },
}

impl Identity {
    /// That of the calling process or thread.
    pub(crate) fn own(thread: bool) -> Result<Identity> {
        let opened =
            if thread { pidfd::open_thread(ids::thread()) } else { pidfd::open(ids::process()) };
        if let Some(inode) = if_supported(opened.and_then(|fd| pidfd::inode(fd.as_fd())))?.flatten()
        {
            return Ok(Identity::Inode(inode));
        }
        let (id, path) =
            if thread { (ids::thread(), "thread-self") } else { (ids::process(), "self") };
        let at = proc::start_time(path)?.ok_or(Errno(libc::ESRCH))?;
        Ok(Identity::Started { id, at })
    }
}

/// `None` where the kernel, or a filter in front of it, does not have the call; an error where the
/// call is there and failed.
pub(crate) fn if_supported<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno(
            libc::ENOSYS
            | libc::EPERM
            | libc::EACCES
            | libc::EINVAL
            | libc::ENODEV
            | libc::ENOPROTOOPT
            | libc::EOPNOTSUPP,
        )) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// How every name begins: with the version of the protocol.
pub(crate) const PREFIX: &str = "sendfd.1/";

/// For whom an inbox listens under a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Whom {
    /// Root, and the receiver's own users.
    Own,
    /// Those whom the receiver invites beside these.
    Guests,
}

/// The abstract name of the inbox of that task for that signal.
pub(crate) fn name(identity: Identity, signal: Signal, whom: Whom) -> Name {
    let mut name = Name { bytes: [0; Name::MOST], len: 0 };
    let suffix = match whom {
        Whom::Own => "",
        Whom::Guests => "/guests",
    };
    let written = write!(name, "{PREFIX}{identity}/{}{suffix}", signal.number());
    debug_assert!(written.is_ok(), "it has room for all numbers");
    name
}

/// A name of the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Name {
    bytes: [u8; Name::MOST],
    len: usize,
}

impl Name {
    /// The protocol's longest is shorter.
    const MOST: usize = 64;

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl AsRef<[u8]> for Name {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Write for Name {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.len..self.len + part.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(part.as_bytes());
        self.len += part.len();
        Ok(())
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Identity::Inode(inode) => write!(f, "{inode}"),
            Identity::Started { id, at } => write!(f, "{id}.{at}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_protocol() {
        let name = |identity, whom| {
            let name = name(identity, Signal::DEFAULT, whom);
            String::from_utf8(name.as_bytes().to_vec()).expect("ASCII")
        };
        assert_eq!(name(Identity::Inode(74524), Whom::Own), "sendfd.1/74524/50");
        assert_eq!(name(Identity::Inode(74524), Whom::Guests), "sendfd.1/74524/50/guests");
        let started = Identity::Started { id: 7, at: 285_039 };
        assert_eq!(name(started, Whom::Own), "sendfd.1/7.285039/50");
        let longest = name(Identity::Started { id: i32::MIN, at: u64::MAX }, Whom::Guests);
        assert_eq!(longest, "sendfd.1/-2147483648.18446744073709551615/50/guests");
    }

    #[test]
    fn a_full_table_is_not_taken_for_an_old_kernel() {
        assert_eq!(if_supported::<()>(Err(Errno(libc::ENOSYS))), Ok(None));
        assert_eq!(if_supported::<()>(Err(Errno(libc::EMFILE))), Err(Errno(libc::EMFILE)));
    }
}
