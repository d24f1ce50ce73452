//! Memory that does not come from the allocator, and so neither fails by aborting nor needs a lock
//! that a fork may have caught.

use super::{Errno, Result};
use std::ffi::c_void;
use std::sync::atomic::AtomicU32;

/// A type of which zeros are a valid value.
///
/// # Safety
/// They are.
pub(super) unsafe trait Zeroed: Sync + 'static {}

// SAFETY: integers.
unsafe impl Zeroed for AtomicU32 {}

/// A new value of zeros, in pages of its own.
pub(super) fn zeroed<T: Zeroed>() -> Result<&'static T> {
    const { assert!(align_of::<T>() <= 4096) };
    // SAFETY: a new private mapping at an address of the kernel's choice.
    let pages = unsafe {
        libc::mmap(
            std::ptr::null_mut::<c_void>(),
            size_of::<T>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if pages == libc::MAP_FAILED {
        return Err(Errno::last());
    }
    // SAFETY: mapped, aligned to a page, large enough, of zeros, and never unmapped while in use.
    Ok(unsafe { &*pages.cast::<T>() })
}

/// Unmaps what nobody else has seen.
pub(super) fn give_back<T: Zeroed>(value: &'static T) {
    let pages = std::ptr::from_ref(value).cast_mut().cast::<c_void>();
    // SAFETY: a mapping of `zeroed`, which the caller gives up.
    unsafe { libc::munmap(pages, size_of::<T>()) };
}

/// What a pointer leads to that comes from `zeroed`, or is null.
pub(super) fn shared<T: Zeroed>(pointer: *mut T) -> Option<&'static T> {
    // SAFETY: null, or a mapping that is never given back once it has been published.
    unsafe { pointer.as_ref() }
}

/// Makes the kernel wipe the page of `value` in every child. It can refuse (before Linux 4.14).
pub(super) fn wipe_on_fork<T: Zeroed>(value: &'static T) -> bool {
    let page = std::ptr::from_ref(value).cast_mut().cast::<c_void>();
    // Miri does not know it, and has no children.
    // SAFETY: a mapping of `zeroed`, which begins a page.
    !cfg!(miri) && unsafe { libc::madvise(page, size_of::<T>(), libc::MADV_WIPEONFORK) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_have_other_pages_than_we() {
        let page = zeroed::<AtomicU32>().expect("memory");
        assert_eq!(wipe_on_fork(page), !cfg!(miri));
    }
}

/// An allocator that fails where a test says so.
#[cfg(test)]
pub(crate) mod scarce {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::cell::Cell;

    struct Scarce;

    #[global_allocator]
    static ALLOCATOR: Scarce = Scarce;

    thread_local! {
        static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
        static HELD: Cell<isize> = const { Cell::new(0) };
    }

    /// What this thread has allocated and nobody has given back, less what it has given back of others.
    pub(crate) fn held() -> isize {
        HELD.get()
    }

    fn is_left() -> bool {
        let left = LEFT.get();
        LEFT.set(left.map(|left| left.saturating_sub(1)));
        left != Some(0)
    }

    // SAFETY: the system's allocator, or nothing.
    unsafe impl GlobalAlloc for Scarce {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            if !is_left() {
                return std::ptr::null_mut();
            }
            HELD.set(HELD.get() + 1);
            // SAFETY: as the caller promises.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
            HELD.set(HELD.get() - 1);
            // SAFETY: as the caller promises.
            unsafe { System.dealloc(place, layout) };
        }

        unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            if !is_left() {
                return std::ptr::null_mut();
            }
            // SAFETY: as the caller promises.
            unsafe { System.realloc(place, layout, size) }
        }
    }

    /// Runs `work` while there is memory for so many allocations of this thread.
    pub(crate) fn with<T>(allocations: u32, work: impl FnOnce() -> T) -> T {
        LEFT.set(Some(allocations));
        let done = work();
        LEFT.set(None);
        done
    }
}
