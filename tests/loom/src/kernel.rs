//! As much of a kernel as `sys/fork.rs` calls: descriptors, a page that a child finds wiped, handlers
//! of `fork`. Its own lock is std's: a kernel gives no order to what the threads do in their memory.

use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::lazy_static;
use crate::{Errno, Result};
use std::collections::BTreeSet;
use std::ffi::{c_int, c_void};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) use ::libc::{
    EMFILE, MADV_WIPEONFORK, MAP_ANONYMOUS, MAP_FAILED, MAP_PRIVATE, PROT_READ, PROT_WRITE,
};

pub(crate) type RawFd = c_int;
pub(crate) type Handler = extern "C" fn();

#[derive(Default)]
struct State {
    open: BTreeSet<RawFd>,
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
        assert!(kernel().open.remove(&self.0), "closed twice");
    }
}

/// The lowest number that is free.
pub(crate) fn open() -> Result<OwnedFd> {
    let mut kernel = kernel();
    let fd = (3..).find(|fd| !kernel.open.contains(fd)).ok_or(Errno(EMFILE))?;
    kernel.open.insert(fd);
    Ok(OwnedFd(fd))
}

pub(crate) fn close(fd: RawFd) -> c_int {
    assert!(kernel().open.remove(&fd), "closed twice");
    0
}

pub(crate) fn open_now() -> Vec<RawFd> {
    kernel().open.iter().copied().collect()
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

pub(crate) fn mmap(_: *mut c_void, _: usize, _: c_int, _: c_int, _: c_int, _: i64) -> *mut c_void {
    let page: &'static AtomicU32 = Box::leak(Box::new(AtomicU32::new(0)));
    kernel().page = Some(page);
    (&raw const *page).cast_mut().cast()
}

pub(crate) fn madvise(_: *mut c_void, _: usize, _: c_int) -> c_int {
    0
}

/// What a raw `clone` does to the page of the child, which is this process from here on.
pub(crate) fn wipe() {
    let page = kernel().page.expect("mapped with the first descriptor");
    page.store(0, Ordering::SeqCst);
}
