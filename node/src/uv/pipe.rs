//! The path of a UNIX listener, which libuv removes when the handle that bound it is closed.

use napi::Result;
use napi::bindgen_prelude::Env;
use napi::sys;
use napi_derive::napi;
use std::ffi::{c_char, c_int, c_uint, c_void};

const UV_NAMED_PIPE: c_int = 7;

/// ABI: of `uv_pipe_t` in libuv 1 where pointers have 64 bits. Its last field is the path.
const SIZE: usize = 264;

type OnHandle = extern "C" fn(handle: *mut c_void, argument: *mut c_void);

unsafe extern "C" {
    fn uv_version() -> c_uint;
    fn uv_handle_size(kind: c_int) -> usize;
    fn uv_handle_get_type(handle: *const c_void) -> c_int;
    fn uv_fileno(handle: *const c_void, fd: *mut c_int) -> c_int;
    fn uv_walk(of: *mut sys::uv_loop_s, callback: OnHandle, argument: *mut c_void);
}

struct Search {
    fd: c_int,
    found: bool,
}

/// Lets the path stay when the listener with this descriptor is closed. False: nothing can be done here.
#[napi(catch_unwind)]
pub fn keep_path(env: Env, fd: i32) -> Result<bool> {
    // SAFETY: takes nothing.
    let major = unsafe { uv_version() } >> 16;
    // SAFETY: takes a number.
    let size = unsafe { uv_handle_size(UV_NAMED_PIPE) };
    if major != 1 || size != SIZE || cfg!(not(target_pointer_width = "64")) {
        return Ok(false);
    }
    let uv_loop = env.get_uv_event_loop()?;
    let mut search = Search { fd, found: false };
    // SAFETY: the loop of this thread; the argument lives until this returns.
    unsafe { uv_walk(uv_loop, forget_path, (&raw mut search).cast()) };
    Ok(search.found)
}

extern "C" fn forget_path(handle: *mut c_void, search: *mut c_void) {
    // SAFETY: what `keep_path` has passed, which nobody else refers to meanwhile.
    let search = unsafe { &mut *search.cast::<Search>() };
    // SAFETY: a handle of the loop.
    if unsafe { uv_handle_get_type(handle) } != UV_NAMED_PIPE {
        return;
    }
    let mut fd = -1;
    // SAFETY: a handle of the loop, and room for a number.
    let error = unsafe { uv_fileno(handle, &raw mut fd) };
    if error != 0 || fd != search.fd {
        return;
    }
    let path = handle.cast::<*mut c_char>().wrapping_byte_add(SIZE - size_of::<*mut c_char>());
    // SAFETY: the last field of a uv_pipe_t, whose layout was made sure of. libuv knows it to be null
    // where nothing was bound; what it pointed to is not freed any more.
    unsafe { path.write(std::ptr::null_mut()) };
    search.found = true;
}
