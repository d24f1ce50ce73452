//! Answers of every sort to a request, from whoever holds the place for them.
//!
//! Promised: a well-formed one arrives whole; of anything else, of none, and of a place that is closed, the
//! asker is told. Nothing stays open.

use crate::Bytes;
use crate::message::{Verdict, compose, judge};
use crate::peer::{check_credentials, count_open, inode_of, send_on, take_token};
use sendfd_core::{Outbox, Outgoing, QuietInbox, Reply, Signal, Task};
use std::cell::RefCell;
use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

const NOW: Option<Duration> = Some(Duration::ZERO);
const NUMBER: i32 = 42;

thread_local! {
    static BOTH: RefCell<Option<(QuietInbox, Outbox)>> = const { RefCell::new(None) };
}

fn open() -> (QuietInbox, Outbox) {
    let signal = Signal::new(NUMBER).expect("a real-time signal");
    let inbox = QuietInbox::open(signal).expect("an inbox");
    let outbox = Outbox::open(Task::this_process(), signal, NOW).expect("an outbox");
    // From now on its connection is accepted.
    outbox.send(Outgoing::from_raw(&[])).expect("an empty queue has room");
    inbox.recv(NOW).expect("what was sent");
    (inbox, outbox)
}

/// The first byte says how many messages are put on the place, whether it is closed then, and whether the
/// asker goes without a look. The messages follow.
pub fn answer(input: &[u8]) {
    BOTH.with_borrow_mut(|both| {
        let (inbox, outbox) = both.get_or_insert_with(open);
        let before = count_open();
        let mut input = Bytes(input);
        let how = input.u8();
        let answer =
            outbox.ask(Outgoing::from_raw(&[]).data(b"?")).expect("an empty queue has room");
        let reply = inbox.recv(NOW).expect("the request").reply.expect("it is one");
        let (token, _) = io::pipe().expect("a pipe");
        let inode = inode_of(token.as_raw_fd());
        let mut first = None;
        for _ in 0..how & 3 {
            let (message, nfds, flags) = compose(&mut input);
            let (split, credentials) = (flags & 1 != 0, flags & 2 != 0);
            if send_on(reply.as_raw_fd(), token.as_raw_fd(), &message, nfds, split, credentials) {
                first.get_or_insert_with(|| judge(&message, nfds));
            }
        }
        let place = Some(reply).filter(|_| how & 4 == 0);
        if how & 8 == 0 {
            match answer.recv(NOW) {
                Ok(parcel) => {
                    check_credentials(parcel.info, outbox.signal());
                    let nfds = parcel.fds.len();
                    parcel.fds.into_iter().for_each(|fd| take_token(fd, inode));
                    assert_eq!(first, Some(Verdict::Parcel { nfds, data: parcel.data }));
                    assert!(parcel.reply.is_none());
                }
                Err(error) => assert_eq!(error.errno(), errno_of(first.as_ref(), place.as_ref())),
            }
        }
        drop((answer, place, token));
        assert_eq!(count_open(), before, "descriptors were left open");
    });
}

fn errno_of(first: Option<&Verdict>, place: Option<&Reply>) -> i32 {
    match (first, place) {
        (Some(Verdict::OtherVersion), _) => libc::EPROTO,
        (Some(Verdict::Nonsense), _) | (None, None) => libc::ECONNRESET,
        (None, Some(_)) => libc::EAGAIN,
        (Some(Verdict::Parcel { .. }), _) => panic!("a good answer is not given"),
    }
}
