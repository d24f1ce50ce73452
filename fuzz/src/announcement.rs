//! Signals of every sort, real ones and made-up ones, claimed from an inbox that has mail or has none.
//!
//! Promised: whatever a signal says, every parcel is handed out once and in order for each connection;
//! and while mail is left after a claim, a further signal is pending.

use crate::Bytes;
use crate::peer::{self, Peer, check_credentials, count_open, inode_of, take_token};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal as Named};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use sendfd_core::{Announcement, Inbox, Info, Parcel, Signal};
use std::cell::RefCell;
use std::io::{PipeWriter, Write};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;
use std::{fs, io};

const NUMBER: i32 = 42;
const MOST_OPS: usize = 64;
const PEERS: usize = 3;

struct Bench {
    inbox: Inbox,
    name: Vec<u8>,
    /// Reads the signals that are really pending.
    pending: SignalFd,
    /// A pipe under the number of a signalfd: what is read there can be anything.
    forged: (SignalFd, PipeWriter),
}

impl Bench {
    fn open() -> Bench {
        let signal = Signal::new(NUMBER).expect("a real-time signal");
        let inbox = Inbox::open(signal).expect("an inbox");
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let pending = SignalFd::with_flags(&both(), flags).expect("a signalfd");
        let forged = SignalFd::with_flags(&SigSet::empty(), flags).expect("a signalfd");
        let (reader, writer) = io::pipe().expect("a pipe");
        nix::unistd::dup2(reader.as_raw_fd(), forged.as_raw_fd()).expect("a number that is open");
        Bench { inbox, name: peer::name_of_own_inbox(signal), pending, forged: (forged, writer) }
    }

    fn forge(&mut self, signo: u32, code: i32, fd: i32, rest: u8) -> siginfo {
        let mut bytes = [rest; size_of::<siginfo>()];
        bytes[0..4].copy_from_slice(&signo.to_ne_bytes());
        bytes[8..12].copy_from_slice(&code.to_ne_bytes());
        bytes[20..24].copy_from_slice(&fd.to_ne_bytes());
        let (signalfd, pipe) = &mut self.forged;
        pipe.write_all(&bytes).expect("room in the pipe");
        let info = signalfd.read_signal().expect("what was written").expect("all of it");
        assert_eq!((info.ssi_signo, info.ssi_code, info.ssi_fd), (signo, code, fd));
        info
    }

    fn a_signal_is_pending(&self) -> bool {
        let mut asked = [PollFd::new(self.pending.as_fd(), PollFlags::POLLIN)];
        poll(&mut asked, PollTimeout::ZERO).expect("poll") == 1
    }
}

/// The inbox's signal and SIGIO. nix has no names for real-time signals, but a set can be read.
fn both() -> SigSet {
    let blocked = SigSet::thread_get_mask().expect("the mask of this thread");
    assert!(blocked.contains(Named::SIGIO), "the inbox has blocked both");
    blocked
}

thread_local! { static BENCH: RefCell<Option<Bench>> = const { RefCell::new(None) } }

struct Talk {
    peer: Peer,
    sent: u32,
    received: u32,
}

/// Each byte chooses what is done; its operands follow.
pub fn announcement(input: &[u8]) {
    BENCH.with_borrow_mut(|bench| {
        let bench = bench.get_or_insert_with(Bench::open);
        let before = count_open();
        let mut round = Round { bench, talks: Vec::new() };
        let mut input = Bytes(input);
        for _ in 0..MOST_OPS {
            if input.is_empty() {
                break;
            }
            round.step(&mut input);
        }
        round.finish();
        assert_eq!(count_open(), before, "descriptors were left open");
    });
}

struct Round<'a> {
    bench: &'a mut Bench,
    talks: Vec<Talk>,
}

impl Round<'_> {
    fn step(&mut self, input: &mut Bytes<'_>) {
        let op = input.u8();
        match op & 7 {
            0..=2 => self.send(usize::from(op >> 3) % PEERS, 1 + usize::from(op >> 6)),
            3 | 4 => self.claim_forged(op, input),
            5 => {
                if let Some(info) = self.bench.pending.read_signal().expect("a signalfd") {
                    self.claim(&info, op >> 3 & 1 != 0);
                }
            }
            6 => drop(self.receive()),
            _ => {
                if let Some(place) =
                    (!self.talks.is_empty()).then(|| usize::from(op >> 3) % self.talks.len())
                {
                    self.hang_up(place);
                }
            }
        }
    }

    fn send(&mut self, place: usize, nfds: usize) {
        if place >= self.talks.len() {
            let Some(peer) = Peer::connect(&self.bench.name) else { return };
            self.talks.push(Talk { peer, sent: 0, received: 0 });
        }
        let place = place.min(self.talks.len() - 1);
        let talk = &mut self.talks[place];
        let message =
            [b"sndf\x01\0", &[nfds as u8, 0, 4, 0, 0, 0, 0, 0, 0, 0][..], &talk.sent.to_le_bytes()];
        if talk.peer.send(&message.concat(), nfds, false, false) {
            talk.sent += 1;
        }
    }

    fn claim_forged(&mut self, op: u8, input: &mut Bytes<'_>) {
        let signo = match op >> 3 & 3 {
            0 => input.u32(),
            1 => libc::SIGIO as u32,
            _ => NUMBER as u32,
        };
        let code = match input.u8() {
            0 => i32::from_ne_bytes(input.array()),
            code => i32::from(code.cast_signed() % 8),
        };
        let fd = match input.u8() {
            0 => i32::from_ne_bytes(input.array()),
            which => self.some_socket(which),
        };
        let info = self.bench.forge(signo, code, fd, op);
        self.claim(&info, op >> 5 & 1 != 0);
    }

    /// The inbox's own sockets have high numbers: its listener, and one for each connection.
    fn some_socket(&self, which: u8) -> RawFd {
        let entries = fs::read_dir("/proc/self/fd").expect("/proc");
        let mut numbers: Vec<RawFd> =
            entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
        numbers.sort_unstable();
        numbers[numbers.len() - 1 - usize::from(which) % numbers.len().min(8)]
    }

    fn claim(&mut self, info: &siginfo, single: bool) {
        let announcement = Announcement::from_signalfd(info);
        let claimed = if single {
            let one = self.bench.inbox.claim(announcement);
            one.map(|(fd, info, reply)| Parcel { fds: vec![fd], data: Vec::new(), info, reply })
        } else {
            self.bench.inbox.claim_parcel(announcement)
        };
        let ours = info.ssi_signo == NUMBER as u32 || info.ssi_signo == libc::SIGIO as u32;
        match claimed {
            Ok(parcel) => self.arrived(parcel, !single),
            Err(error) => match error.errno() {
                libc::EAGAIN => assert!(ours),
                libc::EMSGSIZE => {
                    assert!(single && error.parcel().is_some_and(|info| info.nfds > 1))
                }
                libc::EINVAL => return assert!(!ours),
                _ => panic!("{error}"),
            },
        }
        let left = self.talks.iter().any(|talk| talk.received < talk.sent);
        assert!(!left || self.bench.a_signal_is_pending(), "mail is left, and nothing tells of it");
    }

    fn receive(&mut self) -> bool {
        match self.bench.inbox.recv(Some(Duration::ZERO)) {
            Ok(parcel) => self.arrived(parcel, true),
            Err(error) => {
                assert_eq!(error.errno(), libc::EAGAIN, "{error}");
                let left = self.talks.iter().any(|talk| talk.received < talk.sent);
                assert!(!left, "a parcel was overlooked");
                return false;
            }
        }
        true
    }

    fn arrived(&mut self, Parcel { fds, data, info, .. }: Parcel, whole: bool) {
        let Info { nfds, len, .. } = info;
        check_credentials(info, self.bench.inbox.signal());
        let inode = inode_of(fds[0].as_raw_fd());
        let talk = self.talks.iter_mut().find(|talk| talk.peer.inode == inode);
        let talk = talk.expect("a descriptor that one of the peers has sent");
        assert_eq!((nfds as usize, len), (fds.len(), 4));
        assert!(!whole || data == talk.received.to_le_bytes(), "out of order");
        talk.received += 1;
        assert!(talk.received <= talk.sent);
        fds.into_iter().for_each(|fd| take_token(fd, inode));
    }

    /// Once everything from there has been received, so that the order can still be checked.
    fn hang_up(&mut self, place: usize) {
        while self.talks[place].received < self.talks[place].sent && self.receive() {}
        self.talks.remove(place);
    }

    fn finish(&mut self) {
        while self.receive() {}
        self.talks.clear();
        while self.receive() {}
    }
}
