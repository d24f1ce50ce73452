//! Taking one parcel from an accepted link: look first, then consume.

use crate::parcel::{Info, Parcel};
use crate::reply::Reply;
use crate::signal::Signal;
use crate::sys::message::{self, Credentials, Rights};
use crate::sys::{Errno, Result, fd, release};
use crate::wire::{HEADER, Header, Malformed};
use crate::{MAX_DATA, MAX_FDS};
use std::io::IoSliceMut;
use std::mem;
use std::ops::RangeInclusive;
use std::os::fd::{BorrowedFd, OwnedFd};

/// What the caller has room for.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    /// So many descriptors, neither more nor fewer.
    pub(crate) fds: RangeInclusive<usize>,
    /// `None`: bytes are not wanted.
    pub(crate) bytes: Option<usize>,
    /// It is to become a [`Parcel`], which has memory of its own.
    pub(crate) parcel: bool,
}

impl Room {
    /// For whatever comes, as a [`Parcel`].
    pub(crate) const ANY: Room = Room { fds: 0..=MAX_FDS, bytes: Some(MAX_DATA), parcel: true };

    pub(crate) fn holds(&self, nfds: u32, len: u32) -> bool {
        self.fds.contains(&(nfds as usize)) && self.bytes.is_none_or(|bytes| len as usize <= bytes)
    }
}

/// Where a parcel lies until it is handed over.
#[derive(Debug)]
pub(crate) struct Unpacked {
    header: [u8; HEADER],
    data: Vec<u8>,
    pub(crate) rights: Rights,
    /// What is known of the parcel that was taken last.
    pub(crate) info: Info,
    /// Where an answer to it is awaited.
    pub(crate) reply: Option<Reply>,
    /// Empty, with room for the parcel that was taken last if it is to become a [`Parcel`].
    vectors: (Vec<OwnedFd>, Vec<u8>),
}

impl Unpacked {
    /// With room for so many bytes.
    pub(crate) fn new(bytes: usize) -> Result<Unpacked> {
        let bytes = bytes.min(MAX_DATA);
        let mut data = Vec::new();
        data.try_reserve_exact(bytes).map_err(|_| Errno(libc::ENOMEM))?;
        data.resize(bytes, 0);
        Ok(Unpacked {
            header: [0; HEADER],
            data,
            rights: Rights::new(),
            info: NOTHING,
            reply: None,
            vectors: (Vec::new(), Vec::new()),
        })
    }

    /// Makes room for the bytes that a caller wants: most want none. ENOMEM: there is no memory.
    pub(crate) fn make_room(&mut self, room: &Room) -> Result<()> {
        let bytes = room.bytes.unwrap_or(0).min(MAX_DATA);
        if bytes > self.data.len() {
            self.data
                .try_reserve_exact(bytes - self.data.len())
                .map_err(|_| Errno(libc::ENOMEM))?;
            self.data.resize(bytes, 0);
        }
        Ok(())
    }

    /// The bytes of the parcel that was taken last.
    pub(crate) fn data(&self) -> &[u8] {
        &self.data[..self.info.len as usize]
    }

    /// To be called while the parcel can still be left where it is.
    fn reserve(&mut self, header: Header) -> Result<()> {
        let (fds, data) = &mut self.vectors;
        fds.try_reserve_exact(header.nfds as usize)
            .and_then(|()| data.try_reserve_exact(header.len as usize))
            .map_err(|_| Errno(libc::ENOMEM))
    }

    /// The parcel that was taken last, which was to become one.
    pub(crate) fn parcel(&mut self) -> Parcel {
        let (mut fds, mut data) = mem::take(&mut self.vectors);
        self.rights.take(&mut fds);
        data.extend_from_slice(self.data());
        Parcel { fds, data, info: self.info, reply: self.reply.take() }
    }
}

/// Before anything was taken.
const NOTHING: Info = Info { signo: 0, pid: 0, uid: 0, gid: 0, nfds: 0, len: 0, id: 0 };

/// What became of the attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Taken {
    /// A parcel of so many bytes on the wire has been consumed; its content is unpacked.
    Parcel(usize),
    /// There is none at the moment.
    Nothing,
    /// The link has come to its end, or what came is no parcel. It must be closed.
    End,
    /// The peer speaks another version. The link must be closed.
    OtherVersion,
}

/// Why a parcel stays where it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Kept {
    pub(crate) errno: Errno,
    pub(crate) info: Option<Info>,
}

impl From<Errno> for Kept {
    fn from(errno: Errno) -> Kept {
        Kept { errno, info: None }
    }
}

/// Takes the first parcel of a link, which `process` has connected, if there is one and there is room
/// for it. It has no id yet.
pub(crate) fn take(
    (link, process): (BorrowedFd<'_>, Option<i32>),
    signal: Signal,
    room: &Room,
    unpacked: &mut Unpacked,
) -> std::result::Result<Taken, Kept> {
    let data_room = room.bytes.unwrap_or(0).min(unpacked.data.len());
    let look = once_more(|| {
        let mut parts = [
            IoSliceMut::new(&mut unpacked.header),
            IoSliceMut::new(&mut unpacked.data[..data_room]),
        ];
        let count = if data_room == 0 { 1 } else { 2 };
        message::peek(link, &mut parts[..count], &mut unpacked.rights)
    });
    let look = match look {
        Ok(look) => look,
        Err(Errno(libc::EAGAIN)) => return Ok(Taken::Nothing),
        Err(Errno(libc::ECONNRESET)) => return Ok(Taken::End),
        Err(errno) => return Err(errno.into()),
    };
    let header = match Header::decode(&unpacked.header, look.len) {
        Ok(header) => header,
        Err(malformed) => {
            unpacked.rights.close();
            return Ok(match malformed {
                Malformed::Nonsense => Taken::End,
                Malformed::OtherVersion => Taken::OtherVersion,
            });
        }
    };
    let came = unpacked.rights.len();
    let claimed = header.rights();
    let answerable = || unpacked.rights.last().is_some_and(Reply::is_possible);
    // KERNEL: with a message, root may name any process, and so may a plain user in a pid namespace of
    // its own; who has connected was recorded by the kernel. No sender of ours uses the link of another.
    let lies_about_itself =
        look.credentials.zip(process).is_some_and(|(sender, process)| sender.pid != process);
    if lies_about_itself
        || look.too_many_rights
        || came > claimed
        || (came < claimed && !look.rights_cut)
        || (header.reply && came == claimed && !answerable())
    {
        unpacked.rights.close();
        return Ok(Taken::End);
    }
    unpacked.info = describe(signal, header, look.credentials);
    let errno = if !room.holds(header.nfds, header.len) {
        Some(Errno(libc::EMSGSIZE))
    } else if came < claimed {
        // KERNEL: it says that some could not be installed, and not why.
        let refused = fd::table_has_room(link) && release::is_refused(link, claimed);
        Some(Errno(if refused { libc::EACCES } else { libc::EMFILE }))
    } else {
        let reserved = if room.parcel { unpacked.reserve(header) } else { Ok(()) };
        reserved.and_then(|()| once_more(|| message::discard(link))).err()
    };
    match errno {
        None => {
            let reply = if header.reply { unpacked.rights.take_last() } else { None };
            unpacked.reply = reply.map(Reply::at);
            Ok(Taken::Parcel(look.len))
        }
        Some(errno) => {
            unpacked.rights.close();
            Err(Kept { errno, info: Some(unpacked.info) })
        }
    }
}

/// KERNEL: one ECONNRESET may stand in front of messages that are still queued.
fn once_more<T>(mut call: impl FnMut() -> Result<T>) -> Result<T> {
    match call() {
        Err(Errno(libc::ECONNRESET | libc::EINTR)) => call(),
        result => result,
    }
}

fn describe(signal: Signal, header: Header, sender: Option<Credentials>) -> Info {
    // KERNEL: what it says itself of a sender it did not record.
    let unknown = Credentials { pid: 0, uid: 65534, gid: 65534 };
    let Credentials { pid, uid, gid } = sender.unwrap_or(unknown);
    Info { signo: signal.number(), pid, uid, gid, nfds: header.nfds, len: header.len, id: 0 }
}
