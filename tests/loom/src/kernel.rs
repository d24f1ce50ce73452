//! As much of a kernel as `sys/fork.rs`, `sys/table.rs` and `sys/gate.rs` call: descriptors, memory, a page
//! that a child finds wiped, handlers of `fork`. Its own lock is std's: a kernel gives no order to what the
//! threads do in their memory.

use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::lazy_static;
use crate::table::Mark;
use crate::{Errno, Result};
use std::collections::BTreeMap;
use std::ffi::c_int;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) use ::libc::{EAGAIN, EBADF, ECONNRESET, EMFILE, ENOBUFS, ENOMEM, EPIPE};

pub(crate) type RawFd = c_int;
pub(crate) type Handler = extern "C" fn();

#[derive(Default)]
struct State {
    /// The inode of what is open under a number.
    open: BTreeMap<RawFd, u32>,
    last_inode: u32,
    page: Option<&'static AtomicU32>,
    handlers: Option<[Handler; 3]>,
}

lazy_static! {
    static ref KERNEL: Mutex<State> = Mutex::new(State::default());
}

fn kernel() -> MutexGuard<'static, State> {
    KERNEL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Closed when it is dropped.
#[derive(Debug)]
pub(crate) struct OwnedFd(RawFd);

impl OwnedFd {
    pub(crate) fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

impl Drop for OwnedFd {
    fn drop(&mut self) {
        fd::close(self.0);
    }
}

/// The lowest number that is free.
pub(crate) fn open() -> Result<(OwnedFd, Mark)> {
    let mut kernel = kernel();
    let fd = (3..).find(|fd| !kernel.open.contains_key(fd)).ok_or(Errno(EMFILE))?;
    kernel.last_inode += 1;
    let inode = kernel.last_inode;
    kernel.open.insert(fd, inode);
    Ok((OwnedFd(fd), Mark::Inode(inode)))
}

pub(crate) fn open_now() -> Vec<RawFd> {
    kernel().open.keys().copied().collect()
}

pub(crate) fn pthread_atfork(
    before: Option<Handler>,
    in_parent: Option<Handler>,
    in_child: Option<Handler>,
) -> c_int {
    kernel().handlers = before.zip(in_parent).zip(in_child).map(|((a, b), c)| [a, b, c]);
    0
}

pub(crate) fn handlers() -> [Handler; 3] {
    kernel().handlers.expect("registered with the first descriptor")
}

/// What `fork` does to the page of the child, which is this process from here on.
pub(crate) fn wipe() {
    let page = kernel().page.expect("mapped with the first descriptor");
    page.store(0, Ordering::SeqCst);
}

/// No thread of a model is cancelled.
pub(crate) struct Uncancelled;

impl Uncancelled {
    pub(crate) fn begin() -> Uncancelled {
        Uncancelled
    }
}

pub(crate) mod fd {
    use super::{EBADF, Errno, Mark, RawFd, Result, kernel};

    pub(crate) fn mark(number: RawFd) -> Result<Mark> {
        kernel().open.get(&number).map(|inode| Mark::Inode(*inode)).ok_or(Errno(EBADF))
    }

    /// No descriptor is one of a directory here.
    pub(crate) fn directory_mark(_: RawFd) -> Result<Mark> {
        Err(Errno(EBADF))
    }

    pub(crate) fn close(number: RawFd) {
        assert!(kernel().open.remove(&number).is_some(), "closed twice");
    }
}

pub(crate) mod epoll {
    /// No descriptor is one here.
    pub(crate) fn has(_: super::RawFd, _: super::RawFd) -> bool {
        false
    }
}

pub(crate) mod ids {
    pub(crate) fn process() -> i32 {
        1
    }
}

pub(crate) mod thread_table {
    /// All threads have the one of the process.
    pub(crate) fn check() -> super::Result<()> {
        Ok(())
    }

    pub(crate) fn begin_anew() {}
}

pub(crate) mod holder {
    /// There is nothing in a socket here.
    pub(crate) struct Holder;

    impl Holder {
        pub(crate) fn start() -> Holder {
            Holder
        }
    }

    impl Drop for Holder {
        fn drop(&mut self) {}
    }

    pub(crate) fn may_hold(_: super::RawFd) -> bool {
        false
    }
}

pub(crate) mod futex {
    use crate::sync::{atomic::AtomicU32, yield_now};

    /// Without an end: a model in which everybody waits finds no order, and fails.
    pub(crate) struct Patience;

    impl Patience {
        pub(crate) fn new() -> Patience {
            Patience
        }

        pub(crate) fn wait(&mut self, _: &AtomicU32, _: u32) -> bool {
            yield_now();
            true
        }
    }

    pub(crate) fn wake_all(_: &AtomicU32) {}
}

pub(crate) mod memory {
    use super::{AtomicU32, Result, kernel};

    /// # Safety
    /// As in the core.
    pub(crate) unsafe trait Zeroed {
        fn zeros() -> Self;
    }

    unsafe impl Zeroed for AtomicU32 {
        fn zeros() -> AtomicU32 {
            AtomicU32::new(0)
        }
    }

    pub(crate) fn zeroed<T: Zeroed>() -> Result<&'static T> {
        Ok(Box::leak(Box::new(T::zeros())))
    }

    pub(crate) fn give_back<T>(value: &'static T) {
        // Miri does not let a box be made of what was shared, as mapped pages can be; it is left there.
        if !cfg!(miri) {
            drop(unsafe { Box::from_raw(std::ptr::from_ref(value).cast_mut()) });
        }
    }

    pub(crate) fn shared<T>(pointer: *mut T) -> Option<&'static T> {
        unsafe { pointer.as_ref() }
    }

    pub(crate) fn wipe_on_fork(page: &'static AtomicU32) -> bool {
        kernel().page = Some(page);
        true
    }
}
