//! Files by path, of which nothing is opened but the place (`O_PATH`).

use super::fd::PrivateFd;
use super::{Errno, Result, check};
use std::ffi::{CStr, c_int, c_long};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// A directory.
pub(crate) fn directory(path: &CStr) -> Result<PrivateFd> {
    PrivateFd::new(|| open_directory(path))
}

/// The same for longer than a call.
pub(crate) fn directory_to_keep(path: &CStr) -> Result<PrivateFd> {
    PrivateFd::new_directory(|| open_directory(path))
}

/// A signal that interrupts it is none of the caller's.
fn open_directory(path: &CStr) -> Result<OwnedFd> {
    loop {
        // SAFETY: a string that ends with a zero byte.
        match owned(unsafe { libc::open(path.as_ptr(), PLACE | libc::O_DIRECTORY) }) {
            Err(Errno(libc::EINTR)) => {}
            opened => return opened,
        }
    }
}

/// What has this name in a directory; a symbolic link is not followed.
pub(crate) fn entry(directory: BorrowedFd<'_>, name: &CStr) -> Result<PrivateFd> {
    let flags = PLACE | libc::O_NOFOLLOW;
    PrivateFd::new(|| {
        loop {
            // SAFETY: a string that ends with a zero byte.
            match owned(unsafe { libc::openat(directory.as_raw_fd(), name.as_ptr(), flags) }) {
                Err(Errno(libc::EINTR)) => {}
                opened => return opened,
            }
        }
    })
}

const PLACE: c_int = libc::O_PATH | libc::O_CLOEXEC;

/// A directory that others rule, seen from their root, out of which no symbolic link leads.
pub(crate) fn directory_under(root: BorrowedFd<'_>, path: &CStr) -> Result<PrivateFd> {
    under(root, path, libc::O_DIRECTORY, libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS)
}

/// What has this name in such a directory, and is in the same file system.
pub(crate) fn entry_under(directory: BorrowedFd<'_>, name: &CStr) -> Result<PrivateFd> {
    let resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_XDEV | libc::RESOLVE_NO_SYMLINKS;
    under(directory, name, libc::O_NOFOLLOW, resolve)
}

/// How often a look is taken anew that something may have disturbed.
const MOST_DISTURBED: u32 = 3;

/// KERNEL(5.12): with `RESOLVE_CACHED` only what is in memory is looked at, and no file system asked, which
/// may not answer. What is not there gives EAGAIN; so does what changes at that moment. A socket that somebody
/// has bound is there, with all that leads to it.
fn under(directory: BorrowedFd<'_>, path: &CStr, flags: c_int, resolve: u64) -> Result<PrivateFd> {
    let how = How {
        flags: u64::from((PLACE | flags).cast_unsigned()),
        mode: 0,
        resolve: resolve | libc::RESOLVE_CACHED,
    };
    let open = || {
        let (at, how) = (directory.as_raw_fd(), &raw const how);
        // SAFETY: a string that ends with a zero byte, and a struct of the layout and size that the call reads.
        unsafe { libc::syscall(libc::SYS_openat2, at, path.as_ptr(), how, size_of::<How>()) }
    };
    PrivateFd::new(|| {
        let mut opened = owned_by_number(open());
        for _ in 0..MOST_DISTURBED {
            if matches!(opened, Err(Errno(libc::EAGAIN))) {
                opened = owned_by_number(open());
            }
        }
        opened
    })
}

/// `struct open_how`.
#[repr(C)]
struct How {
    flags: u64,
    mode: u64,
    resolve: u64,
}

fn owned_by_number(opened: c_long) -> Result<OwnedFd> {
    owned(c_int::try_from(opened).map_err(|_| Errno(libc::EIO))?)
}

fn owned(opened: c_int) -> Result<OwnedFd> {
    let fd = check(opened)?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// What a file is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Status {
    /// What no two files share that exist at the same time.
    pub(crate) identity: (u64, u64),
    pub(crate) is_socket: bool,
    pub(crate) permissions: u32,
    /// As the user namespace of the caller shows it.
    pub(crate) uid: u32,
    pub(crate) names: u64,
}

/// Of an open file.
pub(crate) fn status(file: BorrowedFd<'_>) -> Result<Status> {
    let mut stat = MaybeUninit::<libc::stat64>::uninit();
    // SAFETY: a pointer to a struct that the call fills.
    check(unsafe { libc::fstat64(file.as_raw_fd(), stat.as_mut_ptr()) })?;
    // SAFETY: filled by the successful call above.
    let stat = unsafe { stat.assume_init() };
    Ok(Status::of(&stat))
}

/// Of what has this name in a directory.
pub(crate) fn status_of_entry(directory: BorrowedFd<'_>, name: &CStr) -> Result<Status> {
    let (at, mut stat) = (directory.as_raw_fd(), MaybeUninit::<libc::stat64>::uninit());
    let flags = libc::AT_SYMLINK_NOFOLLOW;
    // SAFETY: a string that ends with a zero byte, and a pointer to a struct that the call fills.
    check(unsafe { libc::fstatat64(at, name.as_ptr(), stat.as_mut_ptr(), flags) })?;
    // SAFETY: filled by the successful call above.
    let stat = unsafe { stat.assume_init() };
    Ok(Status::of(&stat))
}

impl Status {
    #[allow(clippy::unnecessary_cast, reason = "the widths differ between machines")]
    fn of(stat: &libc::stat64) -> Status {
        Status {
            identity: (stat.st_dev as u64, stat.st_ino as u64),
            is_socket: stat.st_mode & libc::S_IFMT == libc::S_IFSOCK,
            permissions: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            names: stat.st_nlink as u64,
        }
    }
}

/// What is known of a file, though its file system may not answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) identity: (u64, u64),
    pub(crate) is_socket: bool,
    pub(crate) uid: u32,
    /// As its mount namespace numbers them.
    pub(crate) mount: u64,
}

/// KERNEL(5.8): with `AT_STATX_DONT_SYNC` FUSE and network file systems tell what they know. `fstatat` does not
/// heed that flag for an open file, and waits.
pub(crate) fn known(file: BorrowedFd<'_>) -> Result<Known> {
    const DONT_SYNC: c_int = 0x4000;
    const TYPE_UID_INODE_MOUNT: u32 = 0x1 | 0x8 | 0x100 | 0x1000;
    let mut found = MaybeUninit::<Statx>::zeroed();
    let (path, flags) = (c"".as_ptr(), libc::AT_EMPTY_PATH | DONT_SYNC);
    let (number, place) = (file.as_raw_fd(), found.as_mut_ptr());
    // SAFETY: a string that ends with a zero byte, and room for what the call fills.
    let asked =
        unsafe { libc::syscall(libc::SYS_statx, number, path, flags, TYPE_UID_INODE_MOUNT, place) };
    if asked != 0 {
        return Err(Errno::last());
    }
    // SAFETY: made of integers, zeroed, and filled by the successful call above.
    let found = unsafe { found.assume_init() };
    Ok(Known {
        identity: (libc::makedev(found.device[0], found.device[1]), found.inode),
        is_socket: libc::mode_t::from(found.mode) & libc::S_IFMT == libc::S_IFSOCK,
        uid: found.uid,
        mount: found.mount,
    })
}

/// `struct statx`. The libc crate has it not for every C library.
#[repr(C)]
struct Statx {
    _mask_and_more: [u32; 5],
    uid: u32,
    _gid: u32,
    mode: u16,
    _pad: u16,
    inode: u64,
    _size_and_more: [u64; 3],
    _times: [u64; 8],
    _special: [u32; 2],
    device: [u32; 2],
    mount: u64,
    _more: [u64; 13],
}

const _: () = assert!(size_of::<Statx>() == 256);

/// `chmod` of what a path leads to.
pub(crate) fn set_permissions(path: &CStr, mode: libc::mode_t) -> Result<()> {
    // SAFETY: a string that ends with a zero byte.
    check(unsafe { libc::chmod(path.as_ptr(), mode) }).map(drop)
}

/// `renameat` within a directory. What had the new name before is gone.
pub(crate) fn rename(directory: BorrowedFd<'_>, from: &CStr, to: &CStr) -> Result<()> {
    let at = directory.as_raw_fd();
    // SAFETY: strings that end with a zero byte.
    check(unsafe { libc::renameat(at, from.as_ptr(), at, to.as_ptr()) }).map(drop)
}

/// `unlinkat`; no directory.
pub(crate) fn unlink(directory: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    // SAFETY: a string that ends with a zero byte.
    check(unsafe { libc::unlinkat(directory.as_raw_fd(), name.as_ptr(), 0) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn a_directory_is_none_but_a_directory() {
        assert!(directory(c"/proc/self").is_ok());
        assert_eq!(directory(c"/proc/self/exe").err(), Some(Errno(libc::ENOTDIR)));
        assert_eq!(directory(c"/proc/self/none").err(), Some(Errno(libc::ENOENT)));
    }

    #[test]
    fn nothing_leads_out_of_a_directory_of_others() {
        let place = std::env::temp_dir().join(format!("sendfd-path-{}", std::process::id()));
        std::fs::create_dir(&place).expect("room");
        std::fs::write(place.join("file"), "").expect("room");
        std::os::unix::fs::symlink(".", place.join("here")).expect("room");
        let theirs = std::ffi::CString::new(place.as_os_str().as_bytes()).expect("no zero byte");
        let (theirs, root) = (directory(&theirs).expect("it is"), directory(c"/").expect("it is"));
        let refusal = |directory: &PrivateFd, name| entry_under(directory.as_fd(), name).err();
        let above = format!("../sendfd-path-{}/file", std::process::id());
        let above = std::ffi::CString::new(above).expect("no zero byte");
        let told = [c"file", c"here/file", c"/proc", &above].map(|name| refusal(&theirs, name));
        std::fs::remove_dir_all(&place).expect("it is there");
        assert_eq!(told[..2], [None, Some(Errno(libc::ELOOP))]);
        // KERNEL: in memory alone, it may be seen only that this is not found in the simplest way.
        for outside in [told[2], told[3], refusal(&root, c"proc")] {
            assert!(matches!(outside, Some(Errno(libc::EXDEV | libc::EAGAIN))), "{outside:?}");
        }
    }
}
