//! The path of a UNIX listener, which libuv removes when the handle that bound it is closed.
//!
//! The functions of libuv are looked up when they are needed: not every runtime that loads addons has them.

use napi::Result;
use napi::bindgen_prelude::Env;
use napi::sys;
use napi_derive::napi;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::mem::transmute;
use std::ptr::{NonNull, null_mut};

const UV_NAMED_PIPE: c_int = 7;

/// ABI: of `uv_pipe_t` in libuv 1 where pointers have 64 bits. Its last field is the path.
const SIZE: usize = 264;

type OnHandle = unsafe extern "C" fn(handle: *mut c_void, argument: *mut c_void);

/// What is needed of libuv.
#[derive(Clone, Copy)]
struct Uv {
    version: unsafe extern "C" fn() -> c_uint,
    handle_size: unsafe extern "C" fn(kind: c_int) -> usize,
    handle_get_type: unsafe extern "C" fn(handle: *const c_void) -> c_int,
    fileno: unsafe extern "C" fn(handle: *const c_void, fd: *mut c_int) -> c_int,
    walk: unsafe extern "C" fn(of: *mut sys::uv_loop_s, callback: OnHandle, argument: *mut c_void),
}

struct Search {
    uv: Uv,
    fd: c_int,
    found: bool,
}

/// Lets the path stay when the listener with this descriptor is closed. False: nothing can be done here.
#[napi(catch_unwind)]
pub fn keep_path(env: Env, fd: i32) -> Result<bool> {
    let Some(uv) = Uv::of_this_program() else { return Ok(false) };
    // SAFETY: takes nothing.
    let major = unsafe { (uv.version)() } >> 16;
    // SAFETY: takes a number.
    let size = unsafe { (uv.handle_size)(UV_NAMED_PIPE) };
    if major != 1 || size != SIZE || cfg!(not(target_pointer_width = "64")) {
        return Ok(false);
    }
    let uv_loop = env.get_uv_event_loop()?;
    let mut search = Search { uv, fd, found: false };
    // SAFETY: the loop of this thread; the argument lives until this returns.
    unsafe { (uv.walk)(uv_loop, forget_path, (&raw mut search).cast()) };
    Ok(search.found)
}

unsafe extern "C" fn forget_path(handle: *mut c_void, search: *mut c_void) {
    // SAFETY: what `keep_path` has passed, which nobody else refers to meanwhile.
    let search = unsafe { &mut *search.cast::<Search>() };
    // SAFETY: a handle of the loop.
    if unsafe { (search.uv.handle_get_type)(handle) } != UV_NAMED_PIPE {
        return;
    }
    let mut fd = -1;
    // SAFETY: a handle of the loop, and room for a number.
    let error = unsafe { (search.uv.fileno)(handle, &raw mut fd) };
    if error != 0 || fd != search.fd {
        return;
    }
    let path = handle.cast::<*mut c_char>().wrapping_byte_add(SIZE - size_of::<*mut c_char>());
    // SAFETY: the last field of a uv_pipe_t, whose layout was made sure of. libuv knows it to be null
    // where nothing was bound; what it pointed to is not freed any more.
    unsafe { path.write(null_mut()) };
    search.found = true;
}

/// A function of this program, by its name and as the type that is asked for.
macro_rules! function {
    ($name:literal) => {{
        let address = lookup($name)?;
        // SAFETY: not null, and of that signature as long as there is libuv 1.
        unsafe { transmute::<NonNull<c_void>, _>(address) }
    }};
}

impl Uv {
    #[allow(clippy::missing_transmute_annotations, reason = "each field says its type")]
    fn of_this_program() -> Option<Uv> {
        Some(Uv {
            version: function!(c"uv_version"),
            handle_size: function!(c"uv_handle_size"),
            handle_get_type: function!(c"uv_handle_get_type"),
            fileno: function!(c"uv_fileno"),
            walk: function!(c"uv_walk"),
        })
    }
}

fn lookup(name: &CStr) -> Option<NonNull<c_void>> {
    unsafe extern "C" {
        fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    }
    // SAFETY: null stands for the whole program (RTLD_DEFAULT); a string that ends in zero.
    NonNull::new(unsafe { dlsym(null_mut(), name.as_ptr()) })
}
