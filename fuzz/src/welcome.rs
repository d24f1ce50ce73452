//! What a receiver says, well or badly, to a guest that waits to be let in.
//!
//! Promised: one message lets it in, and nothing else does; the guest does not wait, takes no descriptor in, and
//! nothing more can be said to it then. Nothing stays open.

use crate::Bytes;
use crate::peer::{count_open, send_on};
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, bind, listen, recv, socket,
};
use nix::unistd::{Uid, geteuid, seteuid};
use sendfd_core::{Address, Outbox, Outgoing, QuietInbox, Signal};
use std::cell::RefCell;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::time::Duration;

const NOW: Option<Duration> = Some(Duration::ZERO);
const NUMBER: i32 = 43;
/// Neither root nor anybody that this process is otherwise.
const GUEST: u32 = 1_000_043;
/// As `docs/protocol.md` has it.
const WELCOME: [u8; 16] = *b"sndf\x01\0\0\0\0\0\0\0\x02\0\0\0";

thread_local! { static NAMES: RefCell<Option<Names>> = const { RefCell::new(None) } }

/// The names of an inbox, where nobody listens but we.
struct Names {
    address: Address,
    own: UnixListener,
    guests: UnixListener,
}

impl Names {
    fn open() -> Names {
        let signal = Signal::new(NUMBER).expect("a real-time signal");
        let inbox = QuietInbox::open(signal).expect("an inbox");
        let address = inbox.address().expect("one of this process");
        drop(inbox);
        let [own, guests] = ["", "/guests"].map(|end| listener(&format!("{address}{end}")));
        Names { address, own, guests }
    }

    /// Connects as a guest; the connection by the other name, which was in vain, is closed.
    fn connect(&self) -> (Outbox, OwnedFd) {
        let signal = Signal::new(NUMBER).expect("a real-time signal");
        let outbox = as_guest(|| Outbox::open(self.address, signal, NOW)).expect("an outbox");
        drop(accepted(&self.own));
        (outbox, accepted(&self.guests))
    }
}

fn listener(name: &str) -> UnixListener {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).expect("a socket");
    let name = UnixAddr::new_abstract(name.as_bytes()).expect("a short name");
    bind(socket.as_raw_fd(), &name).expect("a free name");
    listen(&socket, Backlog::new(4).expect("a small number")).expect("a bound socket");
    socket.into()
}

/// As std has it, which does not mind what kind of socket that is.
fn accepted(listener: &UnixListener) -> OwnedFd {
    listener.accept().expect("a connection").0.into()
}

fn as_guest<T>(work: impl FnOnce() -> T) -> T {
    seteuid(Uid::from_raw(GUEST)).expect("root may");
    let done = work();
    seteuid(Uid::from_raw(0)).expect("it is the real one");
    done
}

/// Whether this process can have a guest: it takes root to be two users.
pub fn can_be_a_guest() -> bool {
    geteuid().is_root()
}

/// The first byte says how many messages come and whether the connection is closed then; they follow.
pub fn welcome(input: &[u8]) {
    if !can_be_a_guest() {
        return;
    }
    NAMES.with_borrow_mut(|names| {
        let names = names.get_or_insert_with(Names::open);
        let before = count_open();
        let mut input = Bytes(input);
        let how = input.u8();
        let (outbox, link) = names.connect();
        let (token, _) = io::pipe().expect("a pipe");
        let say = |message: &[u8], nfds, split, credentials| {
            send_on(link.as_raw_fd(), token.as_raw_fd(), message, nfds, split, credentials)
        };
        let mut let_in = None;
        for _ in 0..how & 3 {
            let (message, nfds, flags) = compose(&mut input);
            if say(&message, nfds, flags & 1 != 0, flags & 2 != 0) {
                let_in.get_or_insert(message == WELCOME && nfds == 0);
            }
        }
        let send = || as_guest(|| outbox.send(Outgoing::from_raw(&[]).data(b"!")));
        let closed = how & 4 != 0;
        if closed {
            drop(link);
            let errno = send().expect_err("nobody is there").errno();
            assert_eq!(errno, if let_in == Some(true) { libc::EPIPE } else { libc::EPERM });
            drop((outbox, token));
            return assert_open(before);
        }
        for _ in 0..2 {
            let sent = send().map_err(|error| error.errno());
            let mut bytes = [0; 32];
            let arrived = recv(link.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT);
            match let_in {
                Some(true) => {
                    assert_eq!((sent, arrived), (Ok(()), Ok(17)));
                    assert_eq!((&bytes[..4], bytes[16]), (&b"sndf"[..], b'!'));
                    assert!(!say(&WELCOME, 1, false, false), "something more can be said");
                }
                Some(false) => assert_eq!(sent, Err(libc::EPERM)),
                None => assert_eq!(sent, Err(libc::EAGAIN)),
            }
            assert!(let_in == Some(true) || arrived.is_err(), "it has sent uninvited");
        }
        drop((outbox, link, token));
        assert_open(before);
    });
}

fn assert_open(count: usize) {
    assert_eq!(count_open(), count, "descriptors were left open");
}

/// Mostly what lets in, or nearly.
fn compose(input: &mut Bytes<'_>) -> (Vec<u8>, usize, u8) {
    let (wrong, flags, count) = (input.u8(), input.u8(), input.u8());
    let mut message = Vec::from(WELCOME);
    match wrong & 7 {
        1 => {
            let (place, change) = (input.u8() & 15, input.u8());
            message[usize::from(place)] ^= change;
        }
        2 => message.truncate(usize::from(input.u8() & 15)),
        3 => {
            let len = input.u8();
            message.extend(input.slice(len.into()));
        }
        4 => message = input.slice(40).to_vec(),
        5 => message.resize(4096, flags),
        _ => {}
    }
    (message, if flags & 4 == 0 { 0 } else { usize::from(count % 5) }, flags)
}
