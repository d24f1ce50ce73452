//! What is to be sent: opened as the words on the command line say.

use crate::failure::{Failure, Result, Status};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use std::fs::{OpenOptions, symlink_metadata};
use std::io;
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

/// Descriptors to be sent: those that the program was started with, and those that it has opened.
#[derive(Debug)]
pub struct Opened {
    pub numbers: Vec<RawFd>,
    /// The addresses of listeners whose port was for the kernel to choose.
    pub chosen: Vec<String>,
    /// Open as long as this is there.
    pub owned: Vec<OwnedFd>,
}

/// Opens all of `words`; `deadline` is for those that have to wait for somebody else.
pub fn open(words: &[String], deadline: Option<Instant>) -> Result<Opened> {
    let mut opened = Opened { numbers: Vec::new(), chosen: Vec::new(), owned: Vec::new() };
    // Before anything is opened here and gets a number that was meant.
    for number in words.iter().filter_map(|word| word.strip_prefix("fd:")) {
        check_number(number)?;
    }
    for word in words {
        if let Some(number) = word.strip_prefix("fd:") {
            opened.numbers.push(parse_number(number)?);
            continue;
        }
        let fd = open_one(word, deadline, &mut opened.chosen)?;
        opened.numbers.push(fd.as_raw_fd());
        opened.owned.push(fd);
    }
    Ok(opened)
}

fn parse_number(number: &str) -> Result<RawFd> {
    let parsed = number.parse().ok().filter(|number| *number >= 0);
    parsed.ok_or_else(|| usage(format!("fd:{number}: a descriptor's number is 0 or more")))
}

fn check_number(text: &str) -> Result<()> {
    let number = parse_number(text)?;
    // Where there is no `/proc`, the kernel says so when it is sent.
    let there = symlink_metadata(format!("/proc/self/fd/{number}")).is_ok();
    if there || symlink_metadata("/proc/self/fd").is_err() {
        return Ok(());
    }
    let hint =
        format!("fd:{number}: no such descriptor is open: redirect it, as in `{number}<FILE`");
    Err(Failure::new(Status::Refused, hint))
}

fn open_one(word: &str, deadline: Option<Instant>, chosen: &mut Vec<String>) -> Result<OwnedFd> {
    let failed = |error: io::Error| failed(word, &error);
    let parts: Vec<&str> = word.splitn(3, ':').collect();
    match parts[..] {
        ["file", ..] => open_file(&word["file:".len()..]).map_err(failed),
        ["listen", "tcp", address] => {
            let listener = TcpListener::bind(address).map_err(failed)?;
            if address.ends_with(":0") {
                chosen.push(listener.local_addr().map_err(failed)?.to_string());
            }
            Ok(listener.into())
        }
        ["listen", "unix", path] => UnixListener::bind(path).map(Into::into).map_err(failed),
        ["connect", "tcp", address] => {
            connect_tcp(address, deadline).map(Into::into).map_err(failed)
        }
        ["connect", "unix", path] => connect_unix(path, deadline).map_err(failed),
        _ => Err(usage(format!(
            "{word}: not fd:N, file:PATH[:r|w|rw|a], listen:tcp:HOST:PORT, listen:unix:PATH, \
             connect:tcp:HOST:PORT or connect:unix:PATH"
        ))),
    }
}

fn open_file(text: &str) -> io::Result<OwnedFd> {
    let mut options = OpenOptions::new();
    let (path, mode) = match text.rsplit_once(':') {
        Some((path, mode @ ("r" | "w" | "rw" | "a"))) => (path, mode),
        _ => (text, "r"),
    };
    match mode {
        "w" => options.write(true).create(true).truncate(true),
        "rw" => options.read(true).write(true).create(true).truncate(false),
        "a" => options.append(true).create(true),
        _ => options.read(true),
    };
    options.open(path).map(Into::into)
}

fn connect_tcp(address: &str, deadline: Option<Instant>) -> io::Result<TcpStream> {
    let Some(deadline) = deadline else { return TcpStream::connect(address) };
    let mut last = io::Error::other("no address of that name");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, left(deadline)) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn connect_unix(path: &str, deadline: Option<Instant>) -> io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // KERNEL: it bounds the wait for a place in a full backlog, too.
    set_socket_timeout(&socket, Timeout::Send, deadline.map(left))?;
    match connect(&socket, &SocketAddrUnix::new(path)?) {
        Err(rustix::io::Errno::AGAIN) => return Err(io::ErrorKind::TimedOut.into()),
        connected => connected?,
    }
    set_socket_timeout(&socket, Timeout::Send, None)?;
    Ok(socket)
}

/// Not nothing, which would stand for no limit.
fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

fn usage(message: String) -> Failure {
    Failure::new(Status::Usage, message)
}

fn failed(word: &str, error: &io::Error) -> Failure {
    let (status, hint) = match error.kind() {
        io::ErrorKind::TimedOut => (Status::TimedOut, ": a longer --timeout?"),
        io::ErrorKind::ConnectionRefused => (Status::NobodyThere, ": nobody listens there"),
        io::ErrorKind::AddrInUse if word.starts_with("listen:unix:") => {
            (Status::Refused, ": remove the file if nobody listens there any more")
        }
        io::ErrorKind::AddrInUse => {
            (Status::Refused, ": somebody listens there already; see `ss -ltnp`")
        }
        _ => (Status::Refused, ""),
    };
    Failure::new(status, format_args!("{word}: {error}{hint}"))
}
