//! What is done when a thread ends.

use super::cancel::Uncancelled;
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

/// One more than the key.
static KEY: AtomicU32 = AtomicU32::new(0);

/// Made at the first use: a process has few of them.
fn key() -> Result<libc::pthread_key_t> {
    match KEY.load(Ordering::Acquire) {
        0 => make_key(),
        existing => Ok(existing - 1),
    }
}

/// Another thread may be at it, too: what it has made is used then.
fn make_key() -> Result<libc::pthread_key_t> {
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
    // A thread that ends can still be cancelled.
    let _uncancelled = Uncancelled::begin();
    // SAFETY: the value is what `at_thread_end` has set, which is such a function.
    let run = unsafe { std::mem::transmute::<*mut c_void, fn()>(run) };
    run();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_whoever_is_first_is_used() {
        let key = key();
        assert!(key.is_ok());
        // More than a process can have: what is made in vain is given back.
        for _ in 0..2000 {
            assert_eq!(make_key(), key);
        }
        assert_eq!(super::key(), key);
    }

    #[test]
    fn it_is_done_once_in_the_thread_that_ends() {
        static ENDED: AtomicU32 = AtomicU32::new(0);
        let ended = || {
            ENDED.fetch_add(1, Ordering::Relaxed);
        };
        let ends = move || [(), ()].map(|()| at_thread_end(ended));
        for threads in 1..4 {
            let arranged = std::thread::spawn(ends).join().expect("a thread");
            assert_eq!(arranged, [Ok(()), Ok(())]);
            assert_eq!(ENDED.load(Ordering::Relaxed), threads);
        }
    }
}
