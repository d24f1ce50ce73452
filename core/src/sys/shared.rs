//! Values on the heap whose allocation can fail: std's `Arc` and `Box` abort the process.

use super::{Errno, Result};
use std::alloc::{Layout, alloc};
use std::mem::{ManuallyDrop, MaybeUninit, offset_of};
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A box of `value`. ENOMEM: there is no memory, and it is dropped.
pub(crate) fn boxed<T>(value: T) -> Result<Box<T>> {
    const { assert!(size_of::<T>() > 0) };
    // SAFETY: a layout of at least one byte.
    let place = NonNull::new(unsafe { alloc(Layout::new::<T>()) }.cast::<T>());
    let place = place.ok_or(Errno(libc::ENOMEM))?;
    // SAFETY: allocated for a value of this type.
    unsafe { place.write(value) };
    // SAFETY: allocated as Box does it, and filled.
    Ok(unsafe { Box::from_raw(place.as_ptr()) })
}

/// What std's `Arc` is.
#[derive(Debug)]
pub(crate) struct Shared<T>(NonNull<Counted<T>>);

/// What std's `Weak` is.
#[derive(Debug)]
pub(crate) struct Weak<T>(NonNull<Counted<T>>);

/// Counters and value begin in one line of memory, in which no other one stands: whoever takes a share touches no
/// second one for it, and threads that use others do not take it from each other.
#[derive(Debug)]
#[repr(C, align(64))]
struct Counted<T> {
    strong: AtomicUsize,
    /// One for all strong ones together.
    weak: AtomicUsize,
    value: ManuallyDrop<T>,
}

// SAFETY: as for `Arc`: whoever has one can get at the value, and may be the one to drop it.
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: the same.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}
// SAFETY: the same.
unsafe impl<T: Send + Sync> Send for Weak<T> {}
// SAFETY: the same.
unsafe impl<T: Send + Sync> Sync for Weak<T> {}

impl<T> Shared<T> {
    /// So far from the beginning of a line of memory the value begins.
    pub(crate) const OFFSET: usize = offset_of!(Counted<T>, value);

    pub(crate) fn new(value: T) -> Result<Shared<T>> {
        // First, for what is in a ManuallyDrop would not be dropped with it.
        let room = boxed(MaybeUninit::uninit())?;
        let counted = Box::write(
            room,
            Counted {
                strong: AtomicUsize::new(1),
                weak: AtomicUsize::new(1),
                value: ManuallyDrop::new(value),
            },
        );
        Ok(Shared(NonNull::from(Box::leak(counted))))
    }

    pub(crate) fn ptr_eq(&self, other: &Shared<T>) -> bool {
        self.0 == other.0
    }

    pub(crate) fn downgrade(&self) -> Weak<T> {
        self.counted().weak.fetch_add(1, Ordering::Relaxed);
        Weak(self.0)
    }

    fn counted(&self) -> &Counted<T> {
        // SAFETY: alive as long as there is one of these.
        unsafe { self.0.as_ref() }
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.counted().value
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Shared<T> {
        self.counted().strong.fetch_add(1, Ordering::Relaxed);
        Shared(self.0)
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        if self.counted().strong.fetch_sub(1, Ordering::Release) == 1 {
            // Not a fence: ThreadSanitizer does not know what one means.
            self.counted().strong.load(Ordering::Acquire);
            // Of all strong ones; dropped behind the value.
            let _last = Weak(self.0);
            // SAFETY: a place within what is allocated; the counters beside it may be in use.
            let value = unsafe { &raw mut (*self.0.as_ptr()).value };
            // SAFETY: this was the last that leads to the value, and nobody upgrades from zero.
            let value = unsafe { &mut *value };
            // SAFETY: the same; it is not used again.
            unsafe { ManuallyDrop::drop(value) };
        }
    }
}

impl<T> Weak<T> {
    /// `None`: the value is gone.
    pub(crate) fn upgrade(&self) -> Option<Shared<T>> {
        let more = |strong: usize| (strong > 0).then(|| strong + 1);
        let strong = &self.counted().strong;
        strong.fetch_update(Ordering::Acquire, Ordering::Relaxed, more).ok()?;
        Some(Shared(self.0))
    }

    fn counted(&self) -> &Counted<T> {
        // SAFETY: allocated as long as there is one of these.
        unsafe { self.0.as_ref() }
    }
}

impl<T> Drop for Weak<T> {
    fn drop(&mut self) {
        if self.counted().weak.fetch_sub(1, Ordering::Release) == 1 {
            self.counted().weak.load(Ordering::Acquire);
            // SAFETY: from `boxed`, and nobody has it any more; the value has been dropped.
            drop(unsafe { Box::from_raw(self.0.as_ptr()) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::memory::scarce::held;
    use std::cell::Cell;
    use std::sync::atomic::AtomicU32;

    struct Counts<'a>(&'a Cell<u32>);

    impl Drop for Counts<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }

    #[test]
    fn a_value_is_dropped_once_with_the_last_that_shares_it() {
        let (dropped, before) = (Cell::new(0), held());
        let one = Shared::new(Counts(&dropped)).expect("memory");
        let (other, weak) = (one.clone(), one.downgrade());
        assert!(one.ptr_eq(&other));
        drop(one);
        assert_eq!(dropped.get(), 0);
        drop(weak.upgrade().expect("it is there"));
        assert_eq!(dropped.get(), 0);
        drop(other);
        assert_eq!(dropped.get(), 1);
        assert!(weak.upgrade().is_none());
        assert_eq!(held(), before + 1);
        drop(weak);
        assert_eq!((dropped.get(), held()), (1, before));
    }

    #[test]
    fn threads_share_it() {
        let shared = Shared::new(AtomicU32::new(0)).expect("memory");
        let weak = shared.downgrade();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let (shared, weak) = (shared.clone(), &weak);
                scope.spawn(move || {
                    for _ in 0..100 {
                        let again = weak.upgrade().expect("it is there");
                        again.clone().fetch_add(1, Ordering::Relaxed);
                    }
                    drop(shared);
                });
            }
        });
        assert_eq!(shared.load(Ordering::Relaxed), 400);
    }
}
