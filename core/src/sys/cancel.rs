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
        let mut before = 0;
        // SAFETY: the pointer is to an integer that the call fills; it cannot fail.
        unsafe { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &raw mut before) };
        Uncancelled { before, not_send: PhantomData }
    }
}

impl Drop for Uncancelled {
    fn drop(&mut self) {
        let mut ours = 0;
        // SAFETY: as above; the state is the one that the thread had.
        unsafe { pthread_setcancelstate(self.before, &raw mut ours) };
    }
}
