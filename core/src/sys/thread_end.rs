//! What is done when a thread ends.

use super::{Errno, Result};
use std::cell::Cell;
use std::ffi::c_void;
use std::sync::atomic::{AtomicU32, Ordering};

struct Guard(Cell<Option<fn()>>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(run) = self.0.get() {
            run();
        }
    }
}

thread_local! { static GUARD: Guard = const { Guard(Cell::new(None)) } }

/// Runs `run` when the calling thread ends: always the same one. ENOMEM: it cannot be arranged.
///
/// `exit` and the end of a thread destroy thread-local storage first, and run handlers of `atexit` and
/// destructors of `pthread_key_create` later. What those arrange is run by such a destructor, and, where
/// `exit` has been called, not at all: the process ends.
pub(crate) fn at_thread_end(run: fn()) -> Result<()> {
    GUARD.try_with(|guard| guard.0.set(Some(run))).or_else(|_| by_key(run))
}

fn by_key(run: fn()) -> Result<()> {
    // SAFETY: a key that exists, and a value that is a plain pointer.
    match unsafe { libc::pthread_setspecific(key()?, run as *const c_void) } {
        0 => Ok(()),
        _ => Err(Errno(libc::ENOMEM)),
    }
}

/// Made at the first use: seldom, and a process has few of them.
fn key() -> Result<libc::pthread_key_t> {
    /// One more than the key.
    static KEY: AtomicU32 = AtomicU32::new(0);
    let existing = KEY.load(Ordering::Acquire);
    if existing > 0 {
        return Ok(existing - 1);
    }
    let mut new: libc::pthread_key_t = 0;
    // SAFETY: the pointer is to a key that the call fills; the destructor is below.
    if unsafe { libc::pthread_key_create(&raw mut new, Some(run_at_end)) } != 0 {
        return Err(Errno(libc::ENOMEM));
    }
    match KEY.compare_exchange(0, new + 1, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Ok(new),
        Err(first) => {
            // SAFETY: made above, and known to nobody else.
            unsafe { libc::pthread_key_delete(new) };
            Ok(first - 1)
        }
    }
}

unsafe extern "C" fn run_at_end(run: *mut c_void) {
    // SAFETY: the value is what `by_key` has set, which is such a function.
    let run = unsafe { std::mem::transmute::<*mut c_void, fn()>(run) };
    run();
}
