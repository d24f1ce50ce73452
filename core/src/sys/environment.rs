//! What the environment of the process says.

use super::{Errno, Result};
use std::ffi::{CStr, CString, c_char};

unsafe extern "C" {
    fn secure_getenv(name: *const c_char) -> *mut c_char;
}

/// A variable; `None` also where the process has got privileges by an exec, for then the environment is not
/// of those who answer for it. ENOMEM: there is no memory for a copy.
///
/// A program must not change its environment while another thread calls the library, as for `getenv`.
pub(crate) fn variable(name: &CStr) -> Result<Option<CString>> {
    // SAFETY: a string that ends with a zero byte.
    let value = unsafe { secure_getenv(name.as_ptr()) };
    if value.is_null() {
        return Ok(None);
    }
    // SAFETY: a string that ends with a zero byte, and does not change before it is copied.
    let value = unsafe { CStr::from_ptr(value) }.to_bytes();
    let mut copy = Vec::new();
    copy.try_reserve_exact(value.len().saturating_add(1)).map_err(|_| Errno(libc::ENOMEM))?;
    copy.extend_from_slice(value);
    Ok(CString::new(copy).ok())
}
