//! Messages of every sort, over several connections, to a quiet inbox and to one with signals.
//!
//! Promised: what is well-formed arrives, whole and in order for each connection, up to its first
//! message that is not; that one closes the connection. Nothing else arrives. Nothing stays open.

use crate::peer::{self, Peer, check_credentials, count_open, inode_of, take_token};
use crate::{Bytes, MAX_DATA, MAX_FDS};
use sendfd_core::{Error, Inbox, Info, Mailbox, QuietInbox, Signal};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

const NOW: Option<Duration> = Some(Duration::ZERO);
const QUIET: i32 = 40;
const SIGNALLING: i32 = 41;
const MOST_OPS: usize = 48;
const MOST_PEERS: usize = 8;

struct Inboxes {
    quiet: (QuietInbox, Vec<u8>),
    signalling: (Inbox, Vec<u8>),
}

impl Inboxes {
    fn open() -> Inboxes {
        let [quiet, signalling] =
            [QUIET, SIGNALLING].map(|number| Signal::new(number).expect("a real-time signal"));
        let quiet = (QuietInbox::open(quiet).expect("an inbox"), quiet);
        let signalling = (Inbox::open(signalling).expect("an inbox"), signalling);
        Inboxes {
            quiet: (quiet.0, peer::name_of_own_inbox(quiet.1)),
            signalling: (signalling.0, peer::name_of_own_inbox(signalling.1)),
        }
    }
}

thread_local! { static INBOXES: RefCell<Option<Inboxes>> = const { RefCell::new(None) } }

/// What is to become of a message.
#[derive(PartialEq, Debug)]
pub(crate) enum Verdict {
    Parcel { nfds: usize, data: Vec<u8> },
    OtherVersion,
    Nonsense,
}

/// By the words of `docs/protocol.md`.
pub(crate) fn judge(message: &[u8], came: usize) -> Verdict {
    let Some((header, data)) = message.split_at_checked(16) else { return Verdict::Nonsense };
    if &header[..4] != b"sndf" {
        return Verdict::Nonsense;
    }
    if header[4..6] != [1, 0] {
        return Verdict::OtherVersion;
    }
    let nfds = usize::from(u16::from_le_bytes([header[6], header[7]]));
    let len = u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize;
    let counts = nfds == came && nfds <= MAX_FDS && len == data.len();
    // Where the flag for an answer is set, what came is never a place for one.
    if counts && len <= MAX_DATA && header[12..] == [0; 4] {
        Verdict::Parcel { nfds, data: data.to_vec() }
    } else {
        Verdict::Nonsense
    }
}

struct Talk {
    /// None once it is closed from this side.
    peer: Option<Peer>,
    inode: u64,
    expected: VecDeque<Verdict>,
    /// Something was not well-formed; what follows is lost.
    over: bool,
}

/// The first byte chooses the inbox; each further one what is done, and its operands follow.
pub fn message(input: &[u8]) {
    INBOXES.with_borrow_mut(|inboxes| {
        let inboxes = inboxes.get_or_insert_with(Inboxes::open);
        let mut input = Bytes(input);
        let (mailbox, name): (&Mailbox, _) = match input.u8() & 1 {
            0 => (&inboxes.quiet.0, &inboxes.quiet.1),
            _ => (&inboxes.signalling.0, &inboxes.signalling.1),
        };
        let before = count_open();
        let mut round = Round { mailbox, name, talks: Vec::new(), current: [None; 4] };
        for _ in 0..MOST_OPS {
            if input.is_empty() {
                break;
            }
            round.step(&mut input);
        }
        round.finish();
        // What is turned away is released by a thread, in whose table the peers' ends are for a moment.
        let deadline = Instant::now() + Duration::from_secs(5);
        while count_open() != before && Instant::now() < deadline {
            round.finish();
        }
        assert_eq!(count_open(), before, "descriptors were left open");
    });
}

struct Round<'a> {
    mailbox: &'a Mailbox,
    name: &'a [u8],
    talks: Vec<Talk>,
    current: [Option<usize>; 4],
}

impl Round<'_> {
    fn step(&mut self, input: &mut Bytes<'_>) {
        let op = input.u8();
        let slot = usize::from(op & 3);
        match op >> 2 & 7 {
            0..=4 => self.send(slot, input),
            5 | 6 => drop(self.receive(input)),
            _ => {
                if let Some(talk) = self.current[slot].take() {
                    self.talks[talk].peer = None;
                }
            }
        }
    }

    fn send(&mut self, slot: usize, input: &mut Bytes<'_>) {
        let (message, nfds, flags) = compose(input);
        if self.current[slot].is_none() && self.talks.len() < MOST_PEERS {
            let Some(peer) = Peer::connect(self.name) else { return };
            let inode = peer.inode;
            let peer = Some(peer);
            self.talks.push(Talk { peer, inode, expected: VecDeque::new(), over: false });
            self.current[slot] = Some(self.talks.len() - 1);
        }
        let Some(place) = self.current[slot] else { return };
        let verdict = judge(&message, nfds);
        if matches!(verdict, Verdict::Parcel { nfds: 0, .. }) {
            // Nothing would tell it from one like it that somebody else has sent.
            let alike =
                |(other, talk): (usize, &Talk)| other != place && talk.expected.contains(&verdict);
            if self.talks.iter().enumerate().any(alike) {
                return;
            }
        }
        let talk = &mut self.talks[place];
        let Some(peer) = &talk.peer else { return };
        let queued = peer.send(&message, nfds, flags & 1 != 0, flags & 2 != 0);
        if queued && !talk.over {
            talk.over = !matches!(verdict, Verdict::Parcel { .. });
            talk.expected.push_back(verdict);
        }
    }

    /// Whether there was anything.
    fn receive(&mut self, input: &mut Bytes<'_>) -> bool {
        let mode = input.u8();
        let failed = match mode & 3 {
            0 => match self.mailbox.recv_one(NOW) {
                Ok((fd, info, _)) => return self.arrived(vec![fd], None, info),
                Err(error) => self.explain(error, 1..=1, usize::MAX, mode & 4 != 0),
            },
            1 => {
                let (max_fds, max_len) = (usize::from(input.u8()), usize::from(input.u16()));
                let (mut fds, mut data) = (vec![-7; max_fds], vec![0xA5; max_len]);
                match self.mailbox.recv_into(&mut fds, &mut data, NOW) {
                    Ok((info, _)) => return self.arrived_in(&fds, &data, info),
                    Err(error) => {
                        assert!(fds.iter().all(|fd| *fd == -7) && data.iter().all(|b| *b == 0xA5));
                        self.explain(error, 0..=max_fds, max_len, mode & 4 != 0)
                    }
                }
            }
            _ => match self.mailbox.recv(NOW) {
                Ok(parcel) => return self.arrived(parcel.fds, Some(parcel.data), parcel.info),
                Err(error) => self.explain(error, 0..=MAX_FDS, usize::MAX, false),
            },
        };
        failed != libc::EAGAIN
    }

    fn arrived(&mut self, fds: Vec<OwnedFd>, data: Option<Vec<u8>>, info: Info) -> bool {
        check_credentials(info, self.mailbox.signal());
        let inode = fds.first().map(|fd| inode_of(fd.as_raw_fd()));
        let talk = self.talk_of(inode, info, data.as_deref());
        let Some(Verdict::Parcel { nfds, data: sent }) = talk.expected.pop_front() else {
            panic!("something else was to come from there");
        };
        assert_eq!((fds.len(), nfds), (nfds, info.nfds as usize));
        assert_eq!(sent.len(), info.len as usize);
        assert!(data.is_none_or(|data| data == sent));
        fds.into_iter()
            .zip(inode.into_iter().cycle())
            .for_each(|(fd, inode)| take_token(fd, inode));
        true
    }

    fn arrived_in(&mut self, fds: &[RawFd], data: &[u8], info: Info) -> bool {
        let (came, rest) = fds.split_at(info.nfds as usize);
        assert!(
            rest.iter().all(|fd| *fd == -7) && data[info.len as usize..].iter().all(|b| *b == 0xA5)
        );
        let inodes: Vec<u64> = came.iter().map(|fd| inode_of(*fd)).collect();
        came.iter().for_each(|fd| nix::unistd::close(*fd).expect("an open descriptor"));
        assert!(inodes.iter().all(|inode| *inode == inodes[0]));
        let talk = self.talk_of(inodes.first().copied(), info, Some(&data[..info.len as usize]));
        let verdict = talk.expected.pop_front();
        let got = Verdict::Parcel { nfds: came.len(), data: data[..info.len as usize].to_vec() };
        assert_eq!(verdict, Some(got));
        check_credentials(info, self.mailbox.signal());
        true
    }

    /// Whose parcel this is: its descriptors tell. Of one that has none, any peer's next one like it.
    fn talk_of(&mut self, inode: Option<u64>, info: Info, bytes: Option<&[u8]>) -> &mut Talk {
        let next_is_like_it = |talk: &Talk| match talk.expected.front() {
            Some(Verdict::Parcel { nfds: 0, data }) => {
                data.len() == info.len as usize && bytes.is_none_or(|bytes| bytes == data)
            }
            _ => false,
        };
        let talk = self.talks.iter_mut().find(|talk| match inode {
            Some(inode) => talk.inode == inode,
            None => next_is_like_it(talk),
        });
        talk.expect("a parcel that one of the peers has sent")
    }

    /// `discard`: what does not fit is thrown away, if it is clear whose it is.
    fn explain(
        &mut self,
        error: Error,
        room: RangeInclusive<usize>,
        max_len: usize,
        discard: bool,
    ) -> i32 {
        let heads = || self.talks.iter().map(|talk| talk.expected.front());
        match error.errno() {
            libc::EAGAIN => {
                let lost = heads().flatten().any(|head| *head != Verdict::Nonsense);
                assert!(!lost, "a message was overlooked");
                self.talks.iter_mut().for_each(|talk| talk.expected.clear());
            }
            libc::EPROTO => {
                let place = heads().position(|head| head == Some(&Verdict::OtherVersion));
                self.talks[place.expect("no other version was spoken")].expected.pop_front();
            }
            libc::EMSGSIZE => {
                let info = error.parcel().expect("the counts of what did not fit");
                let (nfds, len) = (info.nfds as usize, info.len as usize);
                assert!(!room.contains(&nfds) || len > max_len);
                let is_it = |head: Option<&Verdict>| matches!(head, Some(Verdict::Parcel { nfds: n, data }) if (*n, data.len()) == (nfds, len));
                let places: Vec<usize> = (0..self.talks.len())
                    .filter(|place| is_it(self.talks[*place].expected.front()))
                    .collect();
                assert!(!places.is_empty(), "no such message was sent");
                if let [place] = places[..]
                    && discard
                {
                    self.mailbox.discard(info.id).expect("it was just told of");
                    self.talks[place].expected.pop_front();
                    let again = self.mailbox.discard(info.id).expect_err("it is gone");
                    assert_eq!(again.errno(), libc::EAGAIN);
                }
            }
            _ => panic!("{error}"),
        }
        error.errno()
    }

    fn finish(&mut self) {
        self.talks.iter_mut().for_each(|talk| talk.peer = None);
        while self.receive(&mut Bytes(&[2])) {}
    }
}

/// Mostly right, so that what is wrong is wrong in one place.
pub(crate) fn compose(input: &mut Bytes<'_>) -> (Vec<u8>, usize, u8) {
    let (wrong, flags, count) = (input.u8(), input.u8(), input.u8());
    let nfds =
        usize::from(if count < 0xE0 { count % 5 } else { count - 3 }.max(u8::from(wrong == 0)));
    let data = match flags >> 2 & 3 {
        0 => Vec::new(),
        1 => vec![flags; usize::from(input.u16())],
        2 => vec![flags; MAX_DATA + usize::from(input.u8() & 1)],
        _ => {
            let len = input.u8();
            input.slice(len.into()).to_vec()
        }
    };
    let mut header = Vec::from(*b"sndf\x01\0");
    header.extend(u16::try_from(nfds).expect("at most 252").to_le_bytes());
    header.extend(u32::try_from(data.len()).expect("at most 65537").to_le_bytes());
    header.extend([0; 4]);
    let mut message = [header, data].concat();
    match wrong & 7 {
        1 => {
            let (place, change) = (input.u8() & 15, input.u8());
            message[usize::from(place)] ^= change;
        }
        2 => message[6..8].copy_from_slice(&input.array::<2>()),
        3 => message[8..12].copy_from_slice(&input.array::<4>()),
        4 => message.truncate(input.u8().into()),
        5 => message = input.slice(40).to_vec(),
        6 => message[4..6].copy_from_slice(&input.array::<2>()),
        _ => {}
    }
    (message, nfds, flags)
}
