//! Taking one parcel from an accepted link: look first, then consume.

use crate::parcel::{Info, Parcel};
use crate::reply::Reply;
use crate::signal::Signal;
use crate::sys::message::{self, Credentials, Rights, Waits};
use crate::sys::{Errno, Result, fd, release};
use crate::wire::{HEADER, Header, Malformed};
use crate::{MAX_DATA, MAX_FDS};
use std::cmp::Ordering;
use std::io::IoSliceMut;
use std::mem;
use std::os::fd::{BorrowedFd, OwnedFd};

/// What the caller has room for.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    least_fds: usize,
    most_fds: usize,
    most_bytes: usize,
    /// So many of them are wanted.
    bytes: usize,
    /// It is to become a [`Parcel`], which has memory of its own.
    parcel: bool,
}

impl Room {
    /// For whatever comes, as a [`Parcel`].
    pub(crate) const ANY: Room = Room { parcel: true, ..Room::of(MAX_FDS, MAX_DATA) };

    /// For one descriptor. Bytes that come with it are not wanted.
    pub(crate) const ONE: Room = Room { least_fds: 1, bytes: 0, ..Room::of(1, MAX_DATA) };

    /// For so many descriptors and bytes at most.
    pub(crate) const fn of(fds: usize, bytes: usize) -> Room {
        let bytes = if bytes < MAX_DATA { bytes } else { MAX_DATA };
        Room { least_fds: 0, most_fds: fds, most_bytes: bytes, bytes, parcel: false }
    }

    /// Bytes that are wanted, at most.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn holds(&self, nfds: u32, len: u32) -> bool {
        let (fds, bytes) = (nfds as usize, len as usize);
        self.least_fds <= fds && fds <= self.most_fds && bytes <= self.most_bytes
    }
}

/// Where a parcel lies until it is handed over.
#[derive(Debug)]
pub(crate) struct Unpacked {
    header: [u8; HEADER],
    data: Vec<u8>,
    pub(crate) rights: Rights,
    /// What is known of the parcel that was taken, or refused, last.
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
        if room.bytes > self.data.len() { self.grow(room.bytes) } else { Ok(()) }
    }

    #[cold]
    fn grow(&mut self, bytes: usize) -> Result<()> {
        let more = bytes.saturating_sub(self.data.len());
        self.data.try_reserve_exact(more).map_err(|_| Errno(libc::ENOMEM))?;
        self.data.resize(bytes, 0);
        Ok(())
    }

    /// The bytes of the parcel that was taken last.
    pub(crate) fn data(&self) -> &[u8] {
        &self.data[..self.info.len as usize]
    }

    /// So many bytes on the wire.
    pub(crate) fn size(&self) -> usize {
        HEADER + self.info.len as usize
    }

    #[cold]
    pub(crate) fn kept(&self, Refusal { errno, has_parcel }: Refusal) -> Kept {
        Kept { errno, info: has_parcel.then_some(self.info) }
    }

    /// To be called while the parcel can still be left where it is.
    #[cold]
    fn reserve(&mut self, nfds: u32, len: u32) -> Result<()> {
        let (fds, data) = &mut self.vectors;
        fds.try_reserve_exact(nfds as usize)
            .and_then(|()| data.try_reserve_exact(len as usize))
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
    /// A parcel has been consumed; its content is unpacked.
    Parcel,
    /// There is none at the moment.
    Nothing,
    /// The link has come to its end, or what came is no parcel. It must be closed.
    End,
    /// The end came up before a parcel that is there. It can be taken now.
    Hidden,
    /// The peer speaks another version. The link must be closed.
    OtherVersion,
}

/// Why nothing was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Refusal {
    pub(crate) errno: Errno,
    /// It is about the first parcel, which stays where it is: [`Unpacked::info`] tells of it.
    pub(crate) has_parcel: bool,
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Refusal {
        Refusal { errno, has_parcel: false }
    }
}

/// The same for whoever does not see what is unpacked.
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
#[inline(always)]
#[allow(clippy::inline_always, reason = "every parcel goes through it")]
pub(crate) fn take(
    (link, process): (BorrowedFd<'_>, Option<i32>),
    signal: Signal,
    room: &Room,
    unpacked: &mut Unpacked,
) -> std::result::Result<Taken, Refusal> {
    let data_room = room.bytes.min(unpacked.data.len());
    let parts = &mut [
        IoSliceMut::new(&mut unpacked.header),
        IoSliceMut::new(&mut unpacked.data[..data_room]),
    ];
    let count = if data_room == 0 { 1 } else { 2 };
    let mut tries = 0;
    let look = loop {
        tries += 1;
        match message::peek(link, &mut parts[..count], &mut unpacked.rights) {
            Ok(look) => break look,
            Err(errno) if is_passing(errno) && tries == 1 => {}
            Err(Errno(libc::EAGAIN)) => return Ok(Taken::Nothing),
            Err(Errno(libc::ECONNRESET)) => return Ok(Taken::End),
            Err(errno) => return Err(errno.into()),
        }
    };
    let header = match Header::decode(&unpacked.header, look.len) {
        Ok(header) => header,
        Err(malformed) => {
            let has_rights = has_brought_any(&unpacked.rights, look.rights_cut);
            unpacked.rights.close();
            return Ok(match malformed {
                Malformed::Nonsense if look.len == 0 && !has_rights => end_of(link, look.is_signed),
                Malformed::Nonsense => Taken::End,
                Malformed::OtherVersion => Taken::OtherVersion,
            });
        }
    };
    // KERNEL: with a message, root may name any process, and so may a plain user in a pid namespace of
    // its own; who has connected was recorded by the kernel. No sender of ours uses the link of another.
    let lies_about_itself = look.is_signed && process.is_some_and(|pid| pid != look.sender.pid);
    let answerable = || unpacked.rights.last().is_some_and(Reply::is_possible);
    let came = unpacked.rights.len().cmp(&header.rights());
    let is_as_it_says = match came {
        Ordering::Less => look.rights_cut,
        Ordering::Equal => !header.reply || answerable(),
        Ordering::Greater => false,
    };
    if lies_about_itself || look.too_many_rights || !is_as_it_says {
        unpacked.rights.close();
        return Ok(Taken::End);
    }
    let Credentials { pid, uid, gid } = look.sender;
    let Header { nfds, len, .. } = header;
    unpacked.info = Info { signo: signal.number(), pid, uid, gid, nfds, len, id: 0 };
    let errno = if !room.holds(header.nfds, header.len) {
        Some(Errno(libc::EMSGSIZE))
    } else if came == Ordering::Less {
        // KERNEL: it says that some could not be installed, and not why.
        let refused = fd::table_has_room(link) && release::is_refused(link, header.rights());
        Some(Errno(if refused { libc::EACCES } else { libc::EMFILE }))
    } else {
        let reserved = if room.parcel { unpacked.reserve(header.nfds, header.len) } else { Ok(()) };
        reserved.and_then(|()| discard(link)).err()
    };
    match errno {
        None => {
            let reply = if header.reply { unpacked.rights.take_last() } else { None };
            unpacked.reply = reply.map(Reply::at);
            Ok(Taken::Parcel)
        }
        Some(errno) => {
            unpacked.rights.close();
            Err(Refusal { errno, has_parcel: true })
        }
    }
}

/// Whether descriptors came, some of which may have been cut off.
#[cold]
fn has_brought_any(rights: &Rights, cut: bool) -> bool {
    rights.len() > 0 || cut
}

/// KERNEL: a queue is looked at first, and then whether the peer is gone. A message that came in between is
/// hidden by the end, which nobody has signed; once that is there, none comes any more.
#[cold]
#[inline(never)]
fn end_of(link: BorrowedFd<'_>, is_signed: bool) -> Taken {
    if !is_signed && message::waits(link) == Ok(Waits::Message) {
        Taken::Hidden
    } else {
        Taken::End
    }
}

/// KERNEL: one ECONNRESET may stand in front of messages that are still queued.
fn is_passing(errno: Errno) -> bool {
    matches!(errno, Errno(libc::ECONNRESET | libc::EINTR))
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "every parcel goes through it")]
fn discard(link: BorrowedFd<'_>) -> Result<()> {
    match message::discard(link) {
        Err(errno) if is_passing(errno) => discard_after_all(link),
        discarded => discarded,
    }
}

#[cold]
fn discard_after_all(link: BorrowedFd<'_>) -> Result<()> {
    message::discard(link)
}
