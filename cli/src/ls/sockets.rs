//! The sockets of inboxes, as the kernel lists them for this network namespace.

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};
use rustix::net::{recv, send, socket_with};
use std::io;

const PREFIX: &[u8] = b"sendfd.1/";

/// A socket with the name of an inbox.
#[derive(Debug, PartialEq, Eq)]
pub struct Socket {
    /// Without the zero byte of abstract names.
    pub name: String,
    pub listens: bool,
    /// What waits in it, where the kernel tells: bytes, or, of one that listens, connections.
    pub waiting: u32,
    /// Its user, where the kernel tells.
    pub uid: Option<u32>,
}

/// All that there are, but for connections that nobody has accepted yet. Where the kernel cannot be asked, what `/proc` says, which knows no queues.
pub fn all() -> io::Result<Vec<Socket>> {
    ask_kernel().or_else(|_| Ok(from_proc(&std::fs::read("/proc/net/unix")?)))
}

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const REQUEST_AND_DUMP: u16 = 0x301;
const SHOW_NAME_QUEUE_AND_USER: u32 = 0x01 | 0x10 | 0x40;
const HEADER: usize = 16;
const MESSAGE: usize = 16;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const LISTEN: u8 = 10;

fn ask_kernel() -> io::Result<Vec<Socket>> {
    let flags = SocketFlags::CLOEXEC;
    let socket =
        socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(netlink::SOCK_DIAG))?;
    send(&socket, &request(), SendFlags::empty())?;
    let mut found = Vec::new();
    let mut buffer = vec![0_u8; 64 << 10];
    loop {
        let (_, length) = recv(&socket, &mut buffer[..], RecvFlags::empty())?;
        let mut rest = &buffer[..length];
        while rest.len() >= HEADER {
            let size = (number(rest, 0) as usize).clamp(HEADER, rest.len());
            match u16::from_ne_bytes([rest[4], rest[5]]) {
                DONE => return Ok(found),
                ERROR => return Err(io::Error::other("refused")),
                _ => found.extend(parse(&rest[HEADER..size])),
            }
            rest = &rest[size.next_multiple_of(4).min(rest.len())..];
        }
    }
}

/// For all Unix sockets, in whatever state.
fn request() -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(40_u32.to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(REQUEST_AND_DUMP.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([1, 0, 0, 0]);
    bytes.extend(u32::MAX.to_ne_bytes());
    bytes.extend(0_u32.to_ne_bytes());
    bytes.extend(SHOW_NAME_QUEUE_AND_USER.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes
}

fn number(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
    word.map_or(0, u32::from_ne_bytes)
}

/// A `unix_diag_msg` and its attributes.
fn parse(message: &[u8]) -> Option<Socket> {
    let listens = *message.get(2)? == LISTEN;
    let (mut name, mut waiting, mut uid) = (None, 0, None);
    let mut rest = message.get(MESSAGE..)?;
    while rest.len() >= 4 {
        let size = usize::from(u16::from_ne_bytes([rest[0], rest[1]])).clamp(4, rest.len());
        let value = &rest[4..size];
        match u16::from_ne_bytes([rest[2], rest[3]]) {
            0 => name = inbox_name(value.strip_prefix(b"\0")?),
            4 => waiting = number(value, 0),
            7 => uid = Some(number(value, 0)),
            _ => {}
        }
        rest = &rest[size.next_multiple_of(4).min(rest.len())..];
    }
    Some(Socket { name: name?, listens, waiting, uid })
}

fn inbox_name(name: &[u8]) -> Option<String> {
    name.starts_with(PREFIX).then(|| String::from_utf8(name.to_vec()).ok())?
}

/// KERNEL: a connection that nobody has accepted has no inode; `sock_diag` leaves those out. State 01 is a socket without a peer, and the flag `__SO_ACCEPTCON` says that it listens.
fn from_proc(table: &[u8]) -> Vec<Socket> {
    let lines = table.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| {
            let line = std::str::from_utf8(line).ok()?;
            let mut words = line.split_ascii_whitespace();
            let flags = u32::from_str_radix(words.nth(3)?, 16).ok()?;
            let inode = words.nth(2)?;
            let name = inbox_name(words.next()?.strip_prefix('@')?.as_bytes())?;
            if inode == "0" {
                return None;
            }
            Some(Socket { name, listens: flags & 0x10000 != 0, waiting: 0, uid: None })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_in_proc_is_understood() {
        let table = b"Num       RefCount Protocol Flags    Type St Inode Path\n\
            ffff8b84c2e3: 00000002 00000000 00010000 0005 01 21021 @sendfd.1/1234/50\n\
            ffff8b84c2e4: 00000003 00000000 00000000 0005 03 21022 @sendfd.1/1234/50\n\
            ffff8b84c2e5: 00000003 00000000 00000000 0005 02 0 @sendfd.1/1234/50\n\
            ffff8b84c2e5: 00000003 00000000 00000000 0001 03 21023 /run/systemd/notify\n\
            ffff8b84c2e6: 00000003 00000000 00000000 0001 03 21024\n";
        let socket = |listens| Socket {
            name: "sendfd.1/1234/50".to_owned(),
            listens,
            waiting: 0,
            uid: None,
        };
        assert_eq!(from_proc(table), [socket(true), socket(false)]);
    }

    #[test]
    fn the_kernel_and_proc_tell_of_the_same() {
        use rustix::net::{SocketAddrUnix, bind, listen};
        let name = format!("sendfd.1/test{}/50", std::process::id());
        let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None)
            .expect("a socket");
        bind(&socket, &SocketAddrUnix::new_abstract_name(name.as_bytes()).expect("short"))
            .expect("free");
        listen(&socket, 4).expect("bound");
        let ours = |all: Vec<Socket>| {
            all.into_iter().filter(|socket| socket.name == name).collect::<Vec<_>>()
        };
        let told = ours(ask_kernel().expect("sock_diag"));
        let read = ours(from_proc(&std::fs::read("/proc/net/unix").expect("proc")));
        assert_eq!(told.len(), 1);
        assert!(told[0].listens && told[0].uid == Some(rustix::process::geteuid().as_raw()));
        assert_eq!(read, [Socket { uid: None, ..told.into_iter().next().expect("one") }]);
    }
}
