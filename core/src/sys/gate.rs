//! The gate between threads that open descriptors and threads that fork.
//!
//! Guarantees: while a fork is under way no descriptor is opened by the library, so the child's copy of
//! the table of descriptors (`table.rs`) is exact. Nobody waits here for ever, whatever a lock of the
//! program's, a handler of `pthread_atfork` or a jump out of a signal handler does: after a quarter of a
//! second a fork goes ahead, and so does a thread that opens; what is lost then is only exactness.
//!
//! Nothing that can block is done behind the gate: no close of a socket, no wait.

use super::futex::{self, Patience};
use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// From the top: a bit while a thread forks, or wants to; a bit once somebody has waited for that fork as
/// long as anybody does, for it may wait for us; the round; how many threads are inside.
static WORD: AtomicU32 = AtomicU32::new(0);
const FORKING: u32 = 1 << 31;
const GIVEN_UP: u32 = 1 << 30;
const INSIDE: u32 = (1 << 15) - 1;
const ROUND: u32 = !(FORKING | GIVEN_UP | INSIDE);

/// The thread that forks, which may open descriptors itself in a handler: nobody else is told by it.
static FORKER: AtomicUsize = AtomicUsize::new(0);

/// While it exists, a fork in another thread waits.
#[derive(Debug)]
pub(super) struct Pass {
    /// Those of an earlier round count no more.
    round: u32,
}

/// Waits until no other thread is forking.
pub(super) fn pass() -> Pass {
    let mut patience = Patience::new();
    loop {
        let word = WORD.load(Ordering::Relaxed);
        if word & (FORKING | GIVEN_UP) == FORKING && FORKER.load(Ordering::Relaxed) != this_thread()
        {
            if !patience.wait(&WORD, word) {
                exchange(word, word | GIVEN_UP);
            }
            continue;
        }
        let entered =
            WORD.compare_exchange_weak(word, word + 1, Ordering::Acquire, Ordering::Relaxed);
        if entered.is_ok() {
            return Pass { round: word & ROUND };
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut word = WORD.load(Ordering::Relaxed);
        while word & ROUND == self.round {
            let left =
                WORD.compare_exchange_weak(word, word - 1, Ordering::Release, Ordering::Relaxed);
            match left {
                Ok(_) => {
                    if word & FORKING != 0 && word & INSIDE == 1 {
                        futex::wake_all(&WORD);
                    }
                    return;
                }
                Err(now) => word = now,
            }
        }
    }
}

/// Lets nobody in any more, and waits for those inside.
pub(super) fn shut() {
    let mut patience = Patience::new();
    let mut waits = true;
    loop {
        let word = WORD.load(Ordering::Relaxed);
        if waits && word & FORKING != 0 {
            waits = patience.wait(&WORD, word);
        } else if exchange(word, (word | FORKING) & !GIVEN_UP) {
            break;
        }
    }
    FORKER.store(this_thread(), Ordering::Relaxed);
    let mut patience = Patience::new();
    loop {
        let word = WORD.load(Ordering::Acquire);
        if word & INSIDE == 0 {
            return;
        }
        // Whoever has not come out by then has jumped out, or holds what keeps us from waiting.
        if !patience.wait(&WORD, word) && exchange(word, next_round(word) | FORKING) {
            return;
        }
    }
}

/// Lets everybody in again.
pub(super) fn open() {
    FORKER.store(0, Ordering::Relaxed);
    WORD.fetch_and(!(FORKING | GIVEN_UP), Ordering::Release);
    futex::wake_all(&WORD);
}

/// In a child: those who were inside are not there.
pub(super) fn begin_anew() {
    FORKER.store(0, Ordering::Relaxed);
    WORD.store(next_round(WORD.load(Ordering::Relaxed)), Ordering::Release);
}

fn exchange(from: u32, to: u32) -> bool {
    WORD.compare_exchange(from, to, Ordering::Acquire, Ordering::Relaxed).is_ok()
}

/// An open gate with nobody inside, whose passes are not mixed up with those from before.
fn next_round(word: u32) -> u32 {
    (word & ROUND).wrapping_add(INSIDE + 1) & ROUND
}

/// Tells the threads that live at the same time apart, without a system call.
fn this_thread() -> usize {
    thread_local! { static HERE: Cell<u8> = const { Cell::new(0) } }
    HERE.with(|here| std::ptr::from_ref(here).addr())
}
