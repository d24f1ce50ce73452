//! The thread that keeps descriptors open in a table of its own.

use super::own_table;
use super::refusal;
use super::shared::{CLOSES, COPIED, KEEPS, Shared, What};
use crate::sys::{Errno, Result};
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr::NonNull;

/// Enough for a few calls; the C library adds what its thread-local storage takes.
const STACK: usize = 64 << 10;

/// Starts a thread that nobody joins, and that no signal of the program's goes to.
pub(super) fn start(shared: NonNull<Shared>) -> Result<()> {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the pointer is to a set that the call fills.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: a set that is filled, and room for another one; it fails for other actions only.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
    let mut started = create(shared, Some(STACK));
    if started == libc::EINVAL {
        // The program has more thread-local storage than that.
        started = create(shared, None);
    }
    // SAFETY: filled above; the set that was in force is not wanted.
    unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut());
    }
    if started == 0 { Ok(()) } else { Err(Errno(started)) }
}

/// An error number, or 0.
fn create(shared: NonNull<Shared>, stack: Option<usize>) -> c_int {
    let mut thread = MaybeUninit::<libc::pthread_t>::uninit();
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: the pointer is to a struct that the call fills.
    let failed = unsafe { libc::pthread_attr_init(attributes.as_mut_ptr()) };
    if failed != 0 {
        return failed;
    }
    let attributes = attributes.as_mut_ptr();
    // SAFETY: initialized above; the state is a valid one.
    unsafe { libc::pthread_attr_setdetachstate(attributes, libc::PTHREAD_CREATE_DETACHED) };
    if let Some(stack) = stack {
        // SAFETY: initialized above; it fails for sizes only that are less than the least.
        unsafe { libc::pthread_attr_setstacksize(attributes, stack) };
    }
    let argument = shared.as_ptr().cast::<c_void>();
    // SAFETY: initialized attributes, and an argument that lives until the thread lets go of it.
    let created = unsafe { libc::pthread_create(thread.as_mut_ptr(), attributes, keep, argument) };
    // SAFETY: initialized above, and not used again.
    unsafe { libc::pthread_attr_destroy(attributes) };
    created
}

/// The thread.
extern "C" fn keep(argument: *mut c_void) -> *mut c_void {
    if let Some(shared) = NonNull::new(argument.cast::<Shared>()) {
        // SAFETY: this thread is one of its users, until it lets go of it below.
        let known = unsafe { shared.as_ref() };
        if let Ok(table) = own_table::take(known.numbers()) {
            if matches!(known.what, What::Descriptors) {
                known.enter(COPIED);
            }
            table.close_all_but(known.numbers());
            if let (What::FirstMessage(fds), [socket]) = (known.what, known.numbers())
                && refusal::install_first_message(*socket, fds)
            {
                known.note_refused();
            }
            if known.keep() {
                known.wait_while(KEEPS);
            }
        } else {
            known.enter(CLOSES);
            known.close();
        }
        Shared::let_go(shared);
    }
    // What is left in the table is closed by a task that exits.
    std::ptr::null_mut()
}
