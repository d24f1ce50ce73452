//! Cancellation of threads (`pthread_cancel`): in the midst of a call it would leave locks held and
//! descriptors open.

use std::ffi::c_int;
use std::marker::PhantomData;

unsafe extern "C" {
    /// The libc crate has it not.
    fn pthread_setcancelstate(state: c_int, ret_before: *mut c_int) -> c_int;
}
/// glibc and musl agree.
const PTHREAD_CANCEL_DISABLE: c_int = 1;

/// While it exists, the calling thread is not cancelled; a request stays pending.
#[derive(Debug)]
pub(crate) struct Uncancelled {
    before: c_int,
    not_send: PhantomData<*const ()>,
}

impl Uncancelled {
    pub(crate) fn begin() -> Uncancelled {
        Uncancelled { before: set(PTHREAD_CANCEL_DISABLE), not_send: PhantomData }
    }

    /// In `wait`, the thread can be cancelled as it could before.
    pub(crate) fn except_in<T>(&self, wait: impl FnOnce() -> T) -> T {
        set(self.before);
        let result = wait();
        set(PTHREAD_CANCEL_DISABLE);
        result
    }
}

impl Drop for Uncancelled {
    fn drop(&mut self) {
        set(self.before);
    }
}

/// The state before.
fn set(state: c_int) -> c_int {
    let mut before = 0;
    // SAFETY: the pointer is to an integer that the call fills; it fails for other states only.
    unsafe { pthread_setcancelstate(state, &raw mut before) };
    before
}
