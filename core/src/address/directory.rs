//! Socket files, by which a sender in another network namespace finds an inbox.
//!
//! The receiver's root is not ours: who rules there can plant what leads out of it or never answers. So it is
//! looked at from a descriptor, and in memory alone. What is found proves nothing; who listens there is proven
//! as ever.

use super::name::{Identity, Name, Whom, name};
use super::network::unless_short;
use super::proc;
use super::recipient::Recipient;
use crate::signal::Signal;
use crate::sys::fd::PrivateFd;
use crate::sys::{Errno, Result, environment, path};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where a sender looks whatever it is told, in this order. Receivers listen in the first one untold, too.
pub(crate) const KNOWN: [&CStr; 2] = [c"/run/sendfd", c"/dev/shm"];

/// What the environment names; an empty path stands for none. A relative one would be another one for each
/// process, and is not taken.
pub(crate) fn of_environment() -> Result<Option<CString>> {
    let named = environment::variable(c"SENDFD_DIR")?;
    Ok(named.filter(|path| path.is_empty() || path.to_bytes().starts_with(b"/")))
}

/// The name of a socket file: that of the inbox, in one level.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileName([u8; FileName::MOST]);

impl FileName {
    /// A name of the protocol, what makes it a temporary one, and the zero byte at its end are shorter.
    const MOST: usize = 80;

    pub(crate) fn of(name: &Name) -> FileName {
        let mut bytes = [0; FileName::MOST];
        for (place, byte) in bytes.iter_mut().zip(name.as_bytes()) {
            *place = if *byte == b'/' { b'.' } else { *byte };
        }
        FileName(bytes)
    }

    /// Another name, hidden and hard to guess.
    pub(crate) fn temporary(&self) -> FileName {
        const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut digits = [b'.'; 14];
        let mut left = since.as_nanos();
        for place in &mut digits[1..] {
            *place = DIGITS[(left % 32) as usize];
            left /= 32;
        }
        let mut bytes = [0; FileName::MOST];
        let text = b".".iter().chain(self.as_c_str().to_bytes()).chain(&digits);
        bytes.iter_mut().zip(text).for_each(|(place, byte)| *place = *byte);
        FileName(bytes)
    }

    pub(crate) fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}

/// Hands `attempt` each socket file that can be the inbox of `to`, until one is the right one: in its own root,
/// and then in ours.
pub(crate) fn search<T>(
    (to, whom): (&Recipient<'_>, Whom),
    signal: Signal,
    mut attempt: impl FnMut(&PrivateFd) -> Result<Option<T>>,
) -> Result<Option<T>> {
    let file_names = names(to, signal, whom)?;
    let owners = owners(to)?;
    let mut look = |directory: &PrivateFd, open: Open, in_root_of: Option<i32>| {
        for name in file_names.iter().flatten() {
            let found = unless_short(open(directory.as_fd(), name.as_c_str()).map(Some))?;
            if let Some(file) = found
                && can_be_theirs(&file, owners, in_root_of)?
                && let Some(right) = attempt(&file)?
            {
                return Ok(Some(right));
            }
        }
        Ok(None)
    };
    if let Some((root, task)) = root(to)? {
        for place in KNOWN {
            let directory = path::directory_under(root.as_fd(), place);
            if let Some(directory) = unless_short(directory.map(Some))?
                && let Some(right) = look(&directory, path::entry_under, Some(task))?
            {
                return Ok(Some(right));
            }
        }
    }
    let named = of_environment()?;
    for place in named.as_deref().into_iter().filter(|path| !path.is_empty()).chain(KNOWN) {
        if let Some(directory) = unless_short(path::directory(place).map(Some))?
            && let Some(right) = look(&directory, path::entry, None)?
        {
            return Ok(Some(right));
        }
    }
    Ok(None)
}

type Open = fn(BorrowedFd<'_>, &CStr) -> Result<PrivateFd>;

/// With each of the identities under which it may listen.
fn names(to: &Recipient<'_>, signal: Signal, whom: Whom) -> Result<[Option<FileName>; 2]> {
    let file_name = |identity: Identity| FileName::of(&name(identity, signal, whom));
    let newest = to.identity()?;
    let oldest = unless_short(to.old_identity().map(Some))?.filter(|oldest| *oldest != newest);
    Ok([Some(file_name(newest)), oldest.map(file_name)])
}

/// The root directory of the task, or that of another thread of its process if it is the first and has ended; and
/// whose it is.
fn root(to: &Recipient<'_>) -> Result<Option<(PrivateFd, i32)>> {
    const MOST_THREADS: usize = 16;
    let of = |task| unless_short(proc::root(task).map(|root| Some((root, task))));
    if to.id() <= 0 {
        return Ok(None);
    }
    match proc::root(to.id()) {
        Err(Errno(libc::ENOENT)) => {}
        root => return unless_short(root.map(|root| Some((root, to.id())))),
    }
    for thread in proc::threads(to.id())?.into_iter().take(MOST_THREADS) {
        if let Some(found) = of(thread)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The users of the task, where they are shown.
fn owners(to: &Recipient<'_>) -> Result<Option<[u32; 4]>> {
    if to.id() <= 0 { Ok(None) } else { unless_short(proc::uids(to.id()).map(Some)) }
}

/// Whether that is a socket that the task has made, or root for it. Somebody else's could only be in the way.
///
/// KERNEL: numbers are compared as our user namespace shows them. All users that have none in it are shown as
/// the overflow uid, and pass for one another; the root of the receiver's user namespace is, for us, a user
/// like others, unless it is ours as well.
fn can_be_theirs(
    file: &PrivateFd,
    owners: Option<[u32; 4]>,
    in_root_of: Option<i32>,
) -> Result<bool> {
    let Some(known) = unless_short(path::known(file.as_fd()).map(Some))? else { return Ok(false) };
    let owned = |owners: [u32; 4]| known.uid == 0 || owners.contains(&known.uid);
    if !known.is_socket || !owners.is_none_or(owned) {
        return Ok(false);
    }
    in_root_of.map_or(Ok(true), |task| answers(task, known.mount))
}

/// File systems that ask nobody else whether a socket may be connected to.
const ANSWER: [&str; 10] =
    ["tmpfs", "ramfs", "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "bcachefs", "zfs"];

/// Whether a connection by a file of that mount is sure not to wait.
///
/// KERNEL: `connect` asks the file system for the permission, though the socket is in memory. FUSE then waits for
/// whoever serves it, and nothing but SIGKILL ends that. So does an overlay over FUSE, which the root of a user
/// namespace can mount.
fn answers(task: i32, mount: u64) -> Result<bool> {
    let kind = unless_short(proc::file_system(task, mount))?;
    match kind.as_deref() {
        Some("overlay") => {
            let same = unless_short(proc::shares_user_namespace(task).map(Some))?;
            Ok(same.unwrap_or(false))
        }
        Some(kind) => Ok(ANSWER.contains(&kind)),
        None => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_is_the_address_in_one_level() {
        let flat = |identity| FileName::of(&name(identity, Signal::DEFAULT, Whom::Own));
        assert_eq!(flat(Identity::Inode(74524)).as_c_str(), c"sendfd.1.74524.50");
        let longest = flat(Identity::Started { id: i32::MIN, at: u64::MAX });
        assert_eq!(longest.as_c_str(), c"sendfd.1.-2147483648.18446744073709551615.50");
    }

    #[test]
    fn a_temporary_name_is_that_of_one_moment() {
        let name = FileName::of(&name(Identity::Inode(74524), Signal::DEFAULT, Whom::Own));
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
        let before = now();
        let temporary = name.temporary();
        let text = temporary.as_c_str().to_str().expect("ASCII");
        let digits = text.strip_prefix(".sendfd.1.74524.50.").expect("hidden, and the name");
        assert_eq!(digits.len(), 13);
        let digit = |digit| u128::from(char::to_digit(digit, 32).expect("a digit"));
        let moment = digits.chars().rev().fold(0, |number, next| number * 32 + digit(next));
        assert!(before <= moment && moment <= now(), "{text}");
    }
}
