//! The signal mask of a thread that has inboxes with notifications.
//!
//! Guarantees: the signals can never kill, not even when they arrive late or in another image after
//! `exec`; other threads are never signalled; the thread gets its mask back.
//!
//! KERNEL: a signal that is both ignored and blocked is queued all the same.

use crate::signal::Signal;
use crate::sys::thread_end::at_thread_end;
use crate::sys::{Errno, Result, pending, signal};
use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicU64, Ordering};

/// The number that the kernel falls back to when the signal queue is full.
pub(crate) const OVERFLOW: i32 = libc::SIGIO;

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

/// What a thread's signals belong to.
pub(crate) trait Notified {
    /// Whether it is still there.
    fn is_open(&self) -> bool;

    /// The thread ends, and its signals with it.
    fn thread_ends(&self);

    /// An overflow was dequeued for another one of this thread: mail of this one may stand behind it.
    fn overflow_was_dequeued(&self);
}

/// The signals that this thread has blocked for what it has opened.
struct Mask {
    blocked: Vec<Blocked>,
    overflow_was_blocked: bool,
}

struct Blocked {
    signo: i32,
    before: bool,
    generation: u32,
    notified: Option<Box<dyn Notified>>,
}

impl Blocked {
    fn is_in_use(&self) -> bool {
        self.notified.as_ref().is_some_and(|notified| notified.is_open())
    }
}

thread_local! {
    // Without a destructor, so that it is there as long as the thread is: handlers of `atexit` and
    // destructors of `pthread_key_create` may open and close inboxes, too.
    static MASK: RefCell<ManuallyDrop<Mask>> = const {
        RefCell::new(ManuallyDrop::new(Mask { blocked: Vec::new(), overflow_was_blocked: false }))
    };
}

/// KERNEL: signals of a thread that is gone arrive nowhere, while its sockets would go on to accept
/// mail.
fn thread_ends() {
    let blocked = MASK.with_borrow_mut(|mask| std::mem::take(&mut mask.blocked));
    for blocked in blocked {
        if let Some(notified) = blocked.notified {
            notified.thread_ends();
        }
    }
}

/// Makes the calling thread ready for `signal`: blocked and ignored, it and SIGIO.
///
/// EADDRINUSE: the thread has an inbox for that number already; the two could not tell their
/// signals apart.
pub(crate) fn block(signal: Signal, generation: u32) -> Result<()> {
    let signo = signal.number();
    at_thread_end(thread_ends)?;
    MASK.with_borrow_mut(|mask| {
        let mask: &mut Mask = mask;
        mask.blocked.retain(|blocked| blocked.generation == generation);
        // Another thread has closed it, which could not give this one its mask back.
        while let Some(closed) = mask.blocked.iter().find(|blocked| !blocked.is_in_use()) {
            restore_in(mask, closed.signo, generation);
        }
        if mask.blocked.iter().any(|blocked| blocked.signo == signo) {
            return Err(Errno(libc::EADDRINUSE));
        }
        mask.blocked.try_reserve(1).map_err(|_| Errno(libc::ENOMEM))?;
        // Blocked first: with another thread's default action it could kill in between.
        let [before, overflow_was_blocked] = signal::block([signo, OVERFLOW])?;
        if mask.blocked.is_empty() {
            mask.overflow_was_blocked = overflow_was_blocked;
        }
        mask.blocked.push(Blocked { signo, before, generation, notified: None });
        signal::ignore_if_default(signo)
            .and_then(|()| signal::ignore_if_default(OVERFLOW))
            .inspect_err(|_| restore_in(mask, signo, generation))
    })
}

/// Says whom these signals notify, once it is there.
pub(crate) fn assign(signal: Signal, notified: Box<dyn Notified>) {
    MASK.with_borrow_mut(|mask| {
        let blocked = mask.blocked.iter_mut().find(|blocked| blocked.signo == signal.number());
        if let Some(blocked) = blocked {
            blocked.notified = Some(notified);
        }
    });
}

/// Gives the thread back its mask, after taking back what is pending of the library's.
pub(crate) fn restore(signal: Signal, generation: u32) {
    MASK.with_borrow_mut(|mask| restore_in(mask, signal.number(), generation));
}

fn restore_in(mask: &mut Mask, signo: i32, generation: u32) {
    let here = |blocked: &Blocked| blocked.signo == signo && blocked.generation == generation;
    let Some(index) = mask.blocked.iter().position(here) else { return };
    let blocked = mask.blocked.swap_remove(index);
    pending::take_back(signo).put_back();
    if !blocked.before {
        signal::unblock(signo);
    }
    if mask.blocked.is_empty() {
        pending::take_back(OVERFLOW).put_back();
        if !mask.overflow_was_blocked {
            signal::unblock(OVERFLOW);
        }
    }
}

/// An overflow was dequeued for `signal`; it may have concerned what else this thread has opened.
#[cold]
pub(crate) fn pass_on_overflow(signal: Signal) {
    MASK.with_borrow(|mask| {
        for blocked in mask.blocked.iter().filter(|blocked| blocked.signo != signal.number()) {
            if let Some(notified) = &blocked.notified {
                notified.overflow_was_dequeued();
            }
        }
    });
}
