//! A directory in which an inbox listens as well, for senders that its abstract name does not reach.

use super::bound::Bound;
use crate::address::directory::{self, FileName};
use crate::address::{Name, Whom, proc};
use crate::sys::fd::PrivateFd;
use crate::sys::socket::{self, Blocking};
use crate::sys::{Errno, Result, ids, path};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A socket there, under the name as a file name; none where there is no directory to listen in.
///
/// `asked` is what [`Options::directory`](super::options::Options) says. What is wrong with a directory that
/// nobody has asked for is no reason not to open.
pub(super) fn bind(asked: Option<&Path>, name: Name, whom: Whom) -> Result<Option<Bound>> {
    let name = FileName::of(&name);
    if let Some(path) = asked {
        let path = copy(path)?;
        return if path.is_empty() {
            Ok(None)
        } else {
            SocketFile::bind(&path, (name, whom), true).map(Some)
        };
    }
    let named = directory::of_environment()?;
    let path = named.as_deref().unwrap_or(directory::KNOWN[0]);
    if path.is_empty() {
        return Ok(None);
    }
    match SocketFile::bind(path, (name, whom), false) {
        Err(errno) if errno.is_shortage() => Err(errno),
        bound => Ok(bound.ok()),
    }
}

fn copy(path: &Path) -> Result<CString> {
    let mut bytes = Vec::new();
    for part in [path.as_os_str().as_bytes(), b"\0"] {
        bytes.try_reserve_exact(part.len()).map_err(|_| Errno(libc::ENOMEM))?;
        bytes.extend_from_slice(part);
    }
    CString::from_vec_with_nul(bytes).map_err(|_| Errno(libc::EINVAL))
}

/// The name of a socket in a directory, which is taken away when this is dropped, unless it is another's by then.
#[derive(Debug)]
pub(super) struct SocketFile {
    directory: PrivateFd,
    /// Until the socket listens.
    temporary: Option<FileName>,
    name: FileName,
    /// By which our file is told from others.
    identity: (u64, u64),
    /// Whether the inbox is not to be without it.
    is_asked_for: bool,
}

/// How many temporary names are tried that others may have taken.
const TRIES: u32 = 8;

/// Who may send is decided when a connection is accepted.
const FOR_ALL: libc::mode_t = 0o777;

impl SocketFile {
    fn bind(path: &CStr, (name, whom): (FileName, Whom), is_asked_for: bool) -> Result<Bound> {
        let directory = path::directory_to_keep(path)?;
        let socket = PrivateFd::new_out_of_the_way(|| socket::create(Blocking::No))?;
        let temporary = bind_somehow(&socket, &directory, &name)?;
        match let_all_connect(&directory, &temporary) {
            Ok(identity) => {
                let temporary = Some(temporary);
                let file = SocketFile { directory, temporary, name, identity, is_asked_for };
                Ok(Bound::by_file(socket, whom, file))
            }
            Err(errno) => {
                let _ = path::unlink(directory.as_fd(), temporary.as_c_str());
                Err(errno)
            }
        }
    }

    /// Takes its name, now that the socket listens, also from what a process has left that is dead. `false`: it
    /// cannot, and the inbox is to do without it.
    ///
    /// EADDRINUSE: somebody else's file has the name.
    pub(super) fn publish(&mut self) -> Result<bool> {
        let Some(temporary) = &self.temporary else { return Ok(true) };
        let name = self.name.as_c_str();
        match path::rename(self.directory.as_fd(), temporary.as_c_str(), name) {
            Ok(()) => self.temporary = None,
            // KERNEL: EPERM in a directory where everybody takes away only what is his own.
            Err(Errno(libc::EPERM | libc::EISDIR)) if self.is_asked_for => {
                return Err(Errno(libc::EADDRINUSE));
            }
            Err(errno) if self.is_asked_for || errno.is_shortage() => return Err(errno),
            Err(_) => return Ok(false),
        }
        Ok(true)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // In a forked child the directory is closed already.
        let (directory, name) =
            (self.directory.as_fd(), self.temporary.as_ref().unwrap_or(&self.name));
        let found = path::status_of_entry(directory, name.as_c_str());
        if found.is_ok_and(|found| found.identity == self.identity) {
            let _ = path::unlink(directory, name.as_c_str());
        }
    }
}

/// Binds the socket to a temporary name, which is returned.
fn bind_somehow(socket: &PrivateFd, directory: &PrivateFd, name: &FileName) -> Result<FileName> {
    for _ in 0..TRIES {
        let temporary = name.temporary();
        let bind = |path: &CStr| socket::bind_path(socket.as_fd(), path);
        match proc::with_entry(directory.as_raw_fd(), temporary.as_c_str(), bind) {
            Err(Errno(libc::EADDRINUSE)) => {}
            bound => return bound.map(|()| temporary),
        }
    }
    Err(Errno(libc::EADDRINUSE))
}

/// Makes the socket with this name one that everybody may connect to; gives its identity.
///
/// KERNEL: it has been made without what the umask forbids, which belongs to the whole process. `fchmod` on the
/// socket changes that, and not its file.
///
/// EPERM: it is not what was bound. Who owns the directory can put something else in its place.
fn let_all_connect(directory: &PrivateFd, name: &FileName) -> Result<(u64, u64)> {
    let file = path::entry(directory.as_fd(), name.as_c_str())?;
    let status = path::status(file.as_fd())?;
    if !status.is_socket || status.names != 1 || status.uid != ids::effective_uid() {
        return Err(Errno(libc::EPERM));
    }
    if status.permissions & FOR_ALL != FOR_ALL {
        let allow = |path: &CStr| path::set_permissions(path, FOR_ALL);
        proc::with_descriptor(file.as_raw_fd(), allow)?;
    }
    Ok(status.identity)
}
