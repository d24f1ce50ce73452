//! The signals of an inbox and the thread that they go to.
//!
//! Guarantees: the signals can never kill, not even when they arrive late or in another image after
//! `exec`; other threads are never signalled; the thread gets its mask back.
//!
//! KERNEL: a signal that is both ignored and blocked is queued all the same.

use crate::mailbox::Inner;
use crate::signal::Signal;
use crate::sys::ids::{self, Uids};
use crate::sys::{Errno, Result, signal, socket};
use std::cell::{Cell, RefCell};
use std::os::fd::BorrowedFd;
use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};

/// The number that the kernel falls back to when the signal queue is full.
pub(crate) const OVERFLOW: i32 = libc::SIGIO;

/// Which signal a thread is told by, and as which user the sockets were armed.
#[derive(Debug)]
pub(crate) struct Bell {
    signo: i32,
    thread: i32,
    uids: Uids,
    /// A signal of our own is pending.
    pub(crate) rung: bool,
}

impl Bell {
    /// Rings for the calling thread.
    pub(crate) fn here(signal: Signal) -> Bell {
        Bell { signo: signal.number(), thread: ids::thread(), uids: ids::uids(), rung: false }
    }

    pub(crate) fn thread(&self) -> i32 {
        self.thread
    }

    /// Everything that arrives on the socket from now on queues a signal.
    pub(crate) fn arm(&self, socket: BorrowedFd<'_>) -> Result<()> {
        socket::arm(socket, self.thread, self.signo)
    }

    /// Queues a signal of our own, if none is pending.
    pub(crate) fn ring(&mut self) {
        if !self.rung {
            self.rung = true;
            signal::ring(self.signo);
        }
    }

    pub(crate) fn uid_has_changed(&self) -> bool {
        self.uids != ids::uids()
    }

    pub(crate) fn note_uid(&mut self) {
        self.uids = ids::uids();
    }
}

/// A thread of this process, past or present. Unlike a tid, never used again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Owner(u64);

impl Owner {
    pub(crate) fn this_thread() -> Owner {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        thread_local! { static THIS: Cell<u64> = const { Cell::new(0) } }
        THIS.with(|this| {
            if this.get() == 0 {
                this.set(NEXT.fetch_add(1, Ordering::Relaxed));
            }
            Owner(this.get())
        })
    }
}

/// The signalling inboxes of a thread.
struct Bells {
    open: Vec<Hung>,
    overflow_was_blocked: bool,
}

struct Hung {
    signo: i32,
    was_blocked: bool,
    generation: u32,
    inbox: Weak<Inner>,
}

thread_local! {
    static BELLS: RefCell<Bells> =
        const { RefCell::new(Bells { open: Vec::new(), overflow_was_blocked: false }) };
}

/// KERNEL: signals of a thread that is gone arrive nowhere, while its sockets would go on to accept
/// mail. So a thread that exits closes its inboxes.
impl Drop for Bells {
    fn drop(&mut self) {
        for inbox in self.open.iter().filter_map(|hung| hung.inbox.upgrade()) {
            inbox.close();
        }
    }
}

/// Makes the calling thread ready for `signal`: blocked and ignored, it and SIGIO.
///
/// EADDRINUSE: the thread has an inbox for that number already; the two could not tell their
/// signals apart.
pub(crate) fn hang(signal: Signal, generation: u32) -> Result<()> {
    let signo = signal.number();
    BELLS.with_borrow_mut(|bells| {
        bells.open.retain(|hung| hung.generation == generation);
        // Another thread has closed it, which could not give this one its mask back.
        while let Some(closed) = bells.open.iter().find(|hung| hung.inbox.strong_count() == 0) {
            take_down_from(bells, closed.signo, generation);
        }
        if bells.open.iter().any(|hung| hung.signo == signo) {
            return Err(Errno(libc::EADDRINUSE));
        }
        // Blocked first: with another thread's default action it could kill in between.
        let [was_blocked, overflow_was_blocked] = signal::block([signo, OVERFLOW])?;
        if bells.open.is_empty() {
            bells.overflow_was_blocked = overflow_was_blocked;
        }
        bells.open.push(Hung { signo, was_blocked, generation, inbox: Weak::new() });
        signal::ignore_if_default(signo)
            .and_then(|()| signal::ignore_if_default(OVERFLOW))
            .inspect_err(|_| take_down_from(bells, signo, generation))
    })
}

/// Says whose signals these are, once there is an inbox.
pub(crate) fn name_inbox(signal: Signal, inbox: Weak<Inner>) {
    BELLS.with_borrow_mut(|bells| {
        if let Some(hung) = bells.open.iter_mut().find(|hung| hung.signo == signal.number()) {
            hung.inbox = inbox;
        }
    });
}

/// Gives the thread back its mask, after taking back what is pending.
pub(crate) fn take_down(signal: Signal, generation: u32) {
    // A thread that is about to end has closed its inboxes already, and needs no mask.
    let _ = BELLS.try_with(|bells| {
        take_down_from(&mut bells.borrow_mut(), signal.number(), generation);
    });
}

fn take_down_from(bells: &mut Bells, signo: i32, generation: u32) {
    let here = |hung: &Hung| hung.signo == signo && hung.generation == generation;
    let Some(index) = bells.open.iter().position(here) else { return };
    let hung = bells.open.swap_remove(index);
    while signal::dequeue(&signal::Set::of(&[signo])).is_some() {}
    if !hung.was_blocked {
        signal::unblock(signo);
    }
    if bells.open.is_empty() {
        while signal::dequeue(&signal::Set::of(&[OVERFLOW])).is_some() {}
        if !bells.overflow_was_blocked {
            signal::unblock(OVERFLOW);
        }
    }
}

/// An overflow was dequeued for one inbox; it may have concerned the others of this thread.
pub(crate) fn pass_on_overflow(signal: Signal) {
    BELLS.with_borrow(|bells| {
        for hung in bells.open.iter().filter(|hung| hung.signo != signal.number()) {
            if let Some(inbox) = hung.inbox.upgrade() {
                inbox.ring_if_readable();
            }
        }
    });
}
