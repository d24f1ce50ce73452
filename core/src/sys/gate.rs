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
                    if word & (FORKING | INSIDE) == FORKING | 1 {
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
    await_those_inside();
}

fn await_those_inside() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::alone::is_alone;
    use crate::sys::ids;
    use std::sync::mpsc::{self, Receiver};
    use std::time::{Duration, Instant};

    const LONG: Duration = Duration::from_secs(20);

    fn is_forking() -> bool {
        WORD.load(Ordering::Relaxed) & FORKING != 0
    }

    fn round() -> u32 {
        WORD.load(Ordering::Relaxed) & ROUND
    }

    /// Runs it in another thread, which is given back with what tells that it is done.
    fn elsewhere(run: impl FnOnce() + Send + 'static) -> (i32, Receiver<Instant>) {
        let (tell_thread, thread) = mpsc::channel();
        let (tell_end, end) = mpsc::channel();
        std::thread::spawn(move || {
            let _ = tell_thread.send(ids::thread());
            run();
            let _ = tell_end.send(Instant::now());
        });
        (thread.recv().expect("it begins"), end)
    }

    /// Waits until the thread sleeps at the gate; when it was seen last that it did not yet, if it was.
    fn await_sleep(thread: i32) -> Option<Instant> {
        let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
        let sleeps = format!("{} {:p} {operation:#x} ", libc::SYS_futex, &raw const WORD);
        let mut awake = None;
        loop {
            let now = Instant::now();
            let call = std::fs::read_to_string(format!("/proc/self/task/{thread}/syscall"));
            if call.is_ok_and(|call| call.starts_with(&sleeps)) {
                return awake;
            }
            awake = Some(now);
        }
    }

    /// Whether a thread that `waits` for the gate goes on by a wake-up when `opens` has run, and not at the
    /// end of the 10 ms that it sleeps at once.
    fn is_woken(waits: fn(), opens: impl Fn(), before: impl Fn()) -> bool {
        (0..500).any(|_| {
            before();
            let (thread, end) = elsewhere(waits);
            let awake = await_sleep(thread);
            let opened = Instant::now();
            opens();
            let end = end.recv_timeout(LONG).expect("it goes on");
            // Otherwise it may have slept for most of the time before.
            awake.is_some_and(|awake| opened - awake < Duration::from_millis(2))
                && end - opened < Duration::from_millis(6)
        })
    }

    #[test]
    fn who_waits_for_the_gate_is_woken() {
        if !is_alone("sys::gate::tests::who_waits_for_the_gate_is_woken") {
            return;
        }
        let inside = Cell::new(None);
        let shuts = || {
            shut();
            open();
        };
        assert!(is_woken(shuts, || drop(inside.take()), || inside.set(Some(pass()))));
        assert!(is_woken(|| drop(pass()), open, shut));
    }

    #[test]
    fn nobody_waits_for_ever() {
        if !is_alone("sys::gate::tests::nobody_waits_for_ever") {
            return;
        }
        // A fork goes ahead though somebody is inside, and that one counts no more.
        let (inside, before, begun) = (pass(), round(), Instant::now());
        elsewhere(shut).1.recv_timeout(LONG).expect("it gives up");
        assert!(begun.elapsed() >= Duration::from_millis(100), "it has not waited");
        assert!(is_forking());
        assert_ne!(round(), before);
        drop(inside);
        assert_eq!(WORD.load(Ordering::Relaxed) & INSIDE, 0);
        open();
        // Somebody goes in though another thread forks; from then on nobody waits for it.
        shut();
        let begun = Instant::now();
        elsewhere(|| drop(pass())).1.recv_timeout(LONG).expect("it gives up");
        assert!(begun.elapsed() >= Duration::from_millis(100), "it has not waited");
        assert!(is_forking() && WORD.load(Ordering::Relaxed) & GIVEN_UP != 0);
        let begun = Instant::now();
        let passes = || (0..100).for_each(|_| drop(pass()));
        elsewhere(passes).1.recv_timeout(LONG).expect("it does not wait");
        assert!(begun.elapsed() < Duration::from_secs(2));
        // Another fork goes ahead as well, and is waited for.
        elsewhere(shut).1.recv_timeout(LONG).expect("it gives up");
        assert!(is_forking() && WORD.load(Ordering::Relaxed) & GIVEN_UP == 0);
        open();
        assert!(!is_forking());
    }

    #[test]
    fn a_round_has_no_passes_of_others() {
        assert_eq!((FORKING | GIVEN_UP) & (ROUND | INSIDE) | ROUND & INSIDE, 0);
        assert_eq!(FORKING | GIVEN_UP | ROUND | INSIDE, u32::MAX);
        let mut word = 0;
        for round in 1..1 << 15 {
            word = next_round(word | FORKING | GIVEN_UP | 7);
            assert_eq!(word, round << 15);
        }
        assert_eq!(next_round(word), 0);
    }

    #[test]
    fn a_child_finds_it_open_and_nobody_inside() {
        if !is_alone("sys::gate::tests::a_child_finds_it_open_and_nobody_inside") {
            return;
        }
        let (inside, before) = (pass(), round());
        WORD.fetch_or(FORKING | GIVEN_UP, Ordering::Relaxed);
        begin_anew();
        assert_eq!(WORD.load(Ordering::Relaxed), next_round(before));
        drop(inside);
        assert_eq!(WORD.load(Ordering::Relaxed), next_round(before));
        drop(pass());
        assert_eq!(WORD.load(Ordering::Relaxed), next_round(before));
    }

    #[test]
    fn threads_are_told_apart() {
        let other = std::thread::spawn(this_thread);
        assert_eq!(this_thread(), this_thread());
        assert_ne!(this_thread(), other.join().expect("a thread"));
    }
}
