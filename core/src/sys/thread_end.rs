//! What is done when a thread ends.

use super::{Errno, Result};
use std::ffi::c_void;
use std::sync::atomic::{AtomicU32, Ordering};

/// Runs `run` when the calling thread ends: always the same one. ENOMEM: it cannot be arranged.
///
/// It is a destructor of `pthread_key_create` and not one of thread-local storage: that is destroyed
/// earlier, and, where there is no memory, cannot be arranged without the process being aborted. Where
/// `exit` is called it is not run: the process ends.
pub(crate) fn at_thread_end(run: fn()) -> Result<()> {
    // SAFETY: a key that exists, and a value that is a plain pointer.
    match unsafe { libc::pthread_setspecific(key()?, run as *const c_void) } {
        0 => Ok(()),
        _ => Err(Errno(libc::ENOMEM)),
    }
}

/// Made at the first use: a process has few of them.
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
    // SAFETY: the value is what `at_thread_end` has set, which is such a function.
    let run = unsafe { std::mem::transmute::<*mut c_void, fn()>(run) };
    run();
}
