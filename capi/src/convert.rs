//! Between C values and those of the core.

use libc::{c_char, c_int, c_void, timespec};
use sendfd_core::{Error, MAX_DATA, MAX_FDS, Outgoing};
use std::alloc::{Layout, alloc};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// Answers a negative errno, and sets errno to it.
pub(crate) fn fail(errno: c_int) -> c_int {
    // SAFETY: takes no arguments.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: the place is valid for the life of the calling thread.
    unsafe { place.write(errno) };
    -errno
}

/// What C gets for a result of the core.
pub(crate) fn answer(result: Result<c_int, Error>) -> c_int {
    result.unwrap_or_else(|error| fail(error.errno()))
}

/// Hands `value` to C by way of `ret`; it comes back by `Box::from_raw`. ENOMEM: there is no memory; it is dropped.
///
/// # Safety
/// `ret` is valid for writing.
pub(crate) unsafe fn give<T>(value: T, ret: *mut *mut T) -> c_int {
    const { assert!(size_of::<T>() > 0) };
    // SAFETY: a layout of at least one byte.
    let place = unsafe { alloc(Layout::new::<T>()) }.cast::<T>();
    if place.is_null() {
        return fail(libc::ENOMEM);
    }
    // SAFETY: allocated for a value of this type.
    unsafe { place.write(value) };
    // SAFETY: as the caller promises.
    unsafe { ret.write(place) };
    0
}

/// A relative timeout; `None` stands for NULL, which waits for ever.
///
/// # Safety
/// `timeout` is NULL or valid for reading.
pub(crate) unsafe fn duration(timeout: *const timespec) -> Result<Option<Duration>, c_int> {
    // SAFETY: as the caller promises.
    let Some(timeout) = (unsafe { timeout.as_ref() }) else { return Ok(None) };
    let seconds = u64::try_from(timeout.tv_sec).map_err(|_| libc::EINVAL)?;
    match u32::try_from(timeout.tv_nsec) {
        Ok(nanos @ 0..=999_999_999) => Ok(Some(Duration::new(seconds, nanos))),
        _ => Err(libc::EINVAL),
    }
}

/// A parcel of C's arguments.
///
/// # Safety
/// The pointers are valid for what the counts say, or NULL.
pub(crate) unsafe fn parcel<'a>(
    (fds, nfds): (*const c_int, usize),
    (data, len): (*const c_void, usize),
    timeout: *const timespec,
) -> Result<Outgoing<'a>, c_int> {
    // A count that no memory can hold is not looked at.
    if nfds > MAX_FDS {
        return Err(libc::EINVAL);
    }
    if len > MAX_DATA {
        return Err(libc::EMSGSIZE);
    }
    // SAFETY: as the caller promises.
    let timeout = unsafe { duration(timeout) }?;
    // SAFETY: as the caller promises.
    let fds = unsafe { slice(fds, nfds) }?;
    // SAFETY: as the caller promises.
    let data = unsafe { slice(data.cast::<u8>(), len) }?;
    Ok(Outgoing::from_raw(fds).data(data).timeout(timeout))
}

/// A slice of C memory; NULL is fine for none.
///
/// # Safety
/// `len` values can be read from `start`, unless it is NULL.
pub(crate) unsafe fn slice<'a, T>(start: *const T, len: usize) -> Result<&'a [T], c_int> {
    match (start.is_null(), len) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(libc::EINVAL),
        // SAFETY: as the caller promises.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts(start, len) }),
    }
}

/// The same for writing.
///
/// # Safety
/// `len` values can be written from `start` on, unless it is NULL.
pub(crate) unsafe fn slice_mut<'a, T>(start: *mut T, len: usize) -> Result<&'a mut [T], c_int> {
    match (start.is_null(), len) {
        (_, 0) => Ok(&mut []),
        (true, _) => Err(libc::EINVAL),
        // SAFETY: as the caller promises.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts_mut(start, len) }),
    }
}

/// A path; `None` for NULL. ENAMETOOLONG: it is longer than the kernel takes.
///
/// # Safety
/// `start` is NULL, or can be read up to its zero.
pub(crate) unsafe fn path<'a>(start: *const c_char) -> Result<Option<&'a Path>, c_int> {
    const MOST: usize = libc::PATH_MAX as usize;
    if start.is_null() {
        return Ok(None);
    }
    // SAFETY: as the caller promises.
    let len = unsafe { libc::strnlen(start, MOST) };
    // SAFETY: so many bytes have been looked at.
    let bytes = unsafe { std::slice::from_raw_parts(start.cast::<u8>(), len) };
    let path = Path::new(OsStr::from_bytes(bytes));
    if len < MOST { Ok(Some(path)) } else { Err(libc::ENAMETOOLONG) }
}

/// Text that ends with a zero within `most` bytes; `None` for NULL, and for what is no text.
///
/// # Safety
/// `start` is NULL, or can be read up to its zero, or for `most` bytes.
pub(crate) unsafe fn text<'a>(start: *const c_char, most: usize) -> Option<&'a str> {
    if start.is_null() {
        return None;
    }
    // SAFETY: as the caller promises.
    let len = unsafe { libc::strnlen(start, most) };
    // SAFETY: so many bytes have been looked at.
    let bytes = unsafe { std::slice::from_raw_parts(start.cast::<u8>(), len) };
    std::str::from_utf8(bytes).ok().filter(|_| len < most)
}
