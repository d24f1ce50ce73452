//! What a descriptor is, for people. Asks nothing that a file system, or whoever sent it, could delay.

use crate::output::clean;
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::net::{AddressFamily, SocketAddrAny, SocketType, sockopt};
use rustix::net::{getpeername, getsockname};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};

/// The word for its kind, and what else is known of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Description {
    pub kind: &'static str,
    pub detail: String,
}

impl Description {
    pub fn text(&self) -> String {
        if self.detail.is_empty() {
            self.kind.to_owned()
        } else {
            format!("{} {}", self.kind, self.detail)
        }
    }

    pub fn json(&self) -> Value {
        json!({ "kind": self.kind, "detail": self.detail })
    }
}

/// What all of them are, in words.
pub fn text_of(descriptions: &[Description]) -> String {
    descriptions.iter().map(Description::text).collect::<Vec<_>>().join(", ")
}

pub fn all<F: AsFd>(fds: &[F]) -> Vec<Description> {
    fds.iter().map(describe).collect()
}

/// The link in `/proc` tells without a question to the file system, which `fstat` would be.
pub fn describe(fd: impl AsFd) -> Description {
    let fd = fd.as_fd();
    let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    let link = link.map(|link| link.to_string_lossy().into_owned()).unwrap_or_default();
    let (kind, detail) = if link.starts_with("socket:") {
        return socket(fd);
    } else if link.starts_with("pipe:") {
        let way = match access(fd) {
            "w" => "write end",
            "rw" => "both ends",
            _ => "read end",
        };
        ("pipe", way.to_owned())
    } else if let Some(name) = link.strip_prefix("anon_inode:") {
        match name.trim_matches(['[', ']']) {
            "pidfd" => ("pidfd", String::new()),
            other => ("anonymous", other.to_owned()),
        }
    } else if let Some(name) = link.strip_prefix("/memfd:") {
        ("memory", name.trim_end_matches(" (deleted)").to_owned())
    } else if link.starts_with("/dmabuf:") {
        ("dmabuf", String::new())
    } else if link.starts_with("/dev/") && !link.starts_with("/dev/shm/") {
        ("device", format!("{link} ({})", access(fd)))
    } else if link.starts_with('/') {
        ("file", format!("{link} ({})", access(fd)))
    } else {
        ("descriptor", link)
    };
    Description { kind, detail: clean(&detail) }
}

fn access(fd: impl AsFd) -> &'static str {
    match fcntl_getfl(fd) {
        Ok(flags) if flags.contains(OFlags::PATH) => "path only",
        Ok(flags) => match flags & OFlags::ACCMODE {
            OFlags::WRONLY if flags.contains(OFlags::APPEND) => "a",
            OFlags::WRONLY => "w",
            OFlags::RDWR => "rw",
            _ => "r",
        },
        Err(_) => "?",
    }
}

fn socket(fd: impl AsFd) -> Description {
    let fd = fd.as_fd();
    let domain = sockopt::socket_domain(fd).ok();
    let stream = sockopt::socket_type(fd) == Ok(SocketType::STREAM);
    let datagram = sockopt::socket_type(fd) == Ok(SocketType::DGRAM);
    let listens = sockopt::socket_acceptconn(fd) == Ok(true);
    let kind = match domain {
        Some(AddressFamily::INET | AddressFamily::INET6) if stream && listens => "tcp-listener",
        Some(AddressFamily::INET | AddressFamily::INET6) if stream => "tcp",
        Some(AddressFamily::INET | AddressFamily::INET6) if datagram => "udp",
        Some(AddressFamily::UNIX) if listens => "unix-listener",
        Some(AddressFamily::UNIX) => "unix",
        _ => "socket",
    };
    let [here, there] =
        [getsockname(fd).ok(), getpeername(fd).ok().flatten()].map(|name| name.and_then(shown));
    let detail = match (here, there) {
        (Some(here), _) if listens => format!("on {here}"),
        (Some(here), Some(there)) => format!("{here} to {there}"),
        (Some(here), None) => format!("at {here}"),
        (None, Some(there)) => format!("to {there}"),
        (None, None) => String::new(),
    };
    Description { kind, detail: clean(&detail) }
}

fn shown(address: SocketAddrAny) -> Option<String> {
    match address.address_family() {
        AddressFamily::UNIX => {
            let address = rustix::net::SocketAddrUnix::try_from(address).ok()?;
            let path = address.path().map(|path| path.to_string_lossy().into_owned());
            let name = || Some(format!("@{}", String::from_utf8_lossy(address.abstract_name()?)));
            path.filter(|path| !path.is_empty()).or_else(name)
        }
        _ => SocketAddr::try_from(address).ok().map(|address| address.to_string()),
    }
}
