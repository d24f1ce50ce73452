//! A peer that speaks the protocol by hand, well or badly; and what the process has open.

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, UnixCredentials,
    connect, sendmsg, socket,
};
use sendfd_core::{Info, Signal};
use std::fs::File;
use std::io::{IoSlice, PipeReader};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::{fs, io};

/// A connection, and a descriptor of its own by which its parcels are recognized.
pub(crate) struct Peer {
    socket: OwnedFd,
    token: PipeReader,
    pub(crate) inode: u64,
}

impl Peer {
    /// `None`: too many wait to be accepted.
    pub(crate) fn connect(name: &[u8]) -> Option<Peer> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket =
            socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).expect("a socket");
        let address = UnixAddr::new_abstract(name).expect("the name of an inbox");
        match connect(socket.as_raw_fd(), &address) {
            Ok(()) => {}
            Err(Errno::EAGAIN) => return None,
            Err(errno) => panic!("connect: {errno}"),
        }
        let (token, _) = io::pipe().expect("a pipe");
        let inode = inode_of(token.as_raw_fd());
        Some(Peer { socket, token, inode })
    }

    /// Whether the message has been queued. `split`: as two control messages; `credentials`: with
    /// one more that says who we are.
    pub(crate) fn send(&self, bytes: &[u8], nfds: usize, split: bool, credentials: bool) -> bool {
        let (socket, token) = (self.socket.as_raw_fd(), self.token.as_raw_fd());
        send_on(socket, token, bytes, nfds, split, credentials)
    }
}

/// The same on any socket, with `nfds` times the descriptor `token`.
pub(crate) fn send_on(
    socket: RawFd,
    token: RawFd,
    bytes: &[u8],
    nfds: usize,
    split: bool,
    credentials: bool,
) -> bool {
    let fds = vec![token; nfds];
    let (first, second) = fds.split_at(if split { nfds / 2 } else { nfds });
    let us = UnixCredentials::new();
    let mut control = Vec::new();
    if credentials {
        control.push(ControlMessage::ScmCredentials(&us));
    }
    for part in [first, second].into_iter().filter(|part| !part.is_empty()) {
        control.push(ControlMessage::ScmRights(part));
    }
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    let parts = [IoSlice::new(bytes)];
    let parts = if bytes.is_empty() { &parts[..0] } else { &parts[..] };
    sendmsg::<UnixAddr>(socket, parts, &control, flags, None).is_ok()
}

/// The name under which this process's inbox for `signal` listens.
pub(crate) fn name_of_own_inbox(signal: Signal) -> Vec<u8> {
    let end = format!("/{}", signal.number());
    let ours: Vec<String> = open_files();
    let table = fs::read_to_string("/proc/self/net/unix").expect("the table of sockets");
    let found = table.lines().find_map(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let name = words.get(7)?.strip_prefix('@')?;
        let here = ours.contains(&format!("socket:[{}]", words[6]));
        (here && name.starts_with("sendfd.1/") && name.ends_with(&end)).then(|| name.into())
    });
    found.expect("an inbox that listens")
}

/// What the descriptors of this process stand for.
fn open_files() -> Vec<String> {
    let entries = fs::read_dir("/proc/self/fd").expect("/proc");
    let target = |entry: io::Result<fs::DirEntry>| fs::read_link(entry.ok()?.path()).ok();
    entries.filter_map(target).map(|path| path.to_string_lossy().into_owned()).collect()
}

/// How many descriptors this process has open.
pub(crate) fn count_open() -> usize {
    fs::read_dir("/proc/self/fd").expect("/proc").count()
}

pub(crate) fn inode_of(fd: RawFd) -> u64 {
    fs::metadata(format!("/proc/self/fd/{fd}")).expect("an open descriptor").ino()
}

/// Checks that a received descriptor is the token of `inode`, and closes it.
pub(crate) fn take_token(fd: OwnedFd, inode: u64) {
    let found = File::from(fd).metadata().expect("an open descriptor").ino();
    assert_eq!(found, inode, "the descriptors of a parcel come from one sender");
}

pub(crate) fn check_credentials(info: Info, signal: Signal) {
    let us = UnixCredentials::new();
    assert_eq!((info.pid, info.uid, info.gid), (us.pid(), us.uid(), us.gid()));
    assert_eq!(info.signo, signal.number());
}
