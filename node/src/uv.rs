//! Waiting for a descriptor in Node's own event loop: libuv's `uv_poll_t`. Here, and in `pipe`, is the
//! only unsafe code of this package.
//!
//! Guarantees: the handle belongs to the loop of its environment (each worker has its own); it is
//! freed by libuv's close callback alone; an environment that ends closes its handles first.
//!
//! The functions of libuv are exported by the `node` program itself.

pub mod pipe;

use crate::poll::Interest;
use napi::bindgen_prelude::{Env, Function};
use napi::{JsValue, Result, Status, check_status, sys};
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{NonNull, null_mut};
use std::rc::Rc;

const UV_POLL: c_int = 8;
const UV_READABLE: c_int = 1;
const UV_WRITABLE: c_int = 2;
/// An epoll set, of which nobody can be disconnected, never reports it.
const UV_DISCONNECT: c_int = 4;

type OnEvent = extern "C" fn(handle: *mut c_void, status: c_int, events: c_int);
type OnClose = extern "C" fn(handle: *mut c_void);

unsafe extern "C" {
    fn uv_handle_size(kind: c_int) -> usize;
    fn uv_poll_init(of: *mut sys::uv_loop_s, handle: *mut c_void, fd: c_int) -> c_int;
    fn uv_poll_start(handle: *mut c_void, events: c_int, callback: OnEvent) -> c_int;
    fn uv_handle_set_data(handle: *mut c_void, data: *mut c_void);
    fn uv_handle_get_data(handle: *const c_void) -> *mut c_void;
    fn uv_close(handle: *mut c_void, callback: OnClose);
    fn uv_ref(handle: *mut c_void);
    fn uv_unref(handle: *mut c_void);
}

/// Calls a function of JavaScript whenever a descriptor is as wanted. Closed when dropped.
#[derive(Debug)]
pub(crate) struct Poll {
    /// Empty once the handle is being closed, by whomever.
    handle: Rc<Cell<Option<NonNull<Handle>>>>,
    /// Starting again for the same would cost two system calls in libuv.
    waits_for: Cell<Option<Interest>>,
}

/// What libuv's handle and the environment refer to; on the heap until the close callback.
struct Handle {
    /// A `uv_poll_t`, whose size is known at run time.
    uv: Box<[u64]>,
    callback: Callback,
    hook: sys::napi_async_cleanup_hook_handle,
    owner: Rc<Cell<Option<NonNull<Handle>>>>,
}

/// A function of JavaScript and where to call it. May be copied while its handle is not closed.
#[derive(Clone, Copy)]
struct Callback {
    env: sys::napi_env,
    function: sys::napi_ref,
    context: sys::napi_async_context,
}

impl Poll {
    /// Waits for nothing at first. `fd` must stay open until this is closed.
    pub(crate) fn new(
        env: Env,
        fd: BorrowedFd<'_>,
        callback: &Function<'_, (), ()>,
    ) -> Result<Poll> {
        let uv_loop = env.get_uv_event_loop()?;
        // SAFETY: takes a number.
        let size = unsafe { uv_handle_size(UV_POLL) };
        let mut handle = Box::new(Handle {
            uv: vec![0; size.div_ceil(8)].into(),
            callback: Callback { env: env.raw(), function: null_mut(), context: null_mut() },
            hook: null_mut(),
            owner: Rc::default(),
        });
        if let Err(error) = handle.callback.refer_to(callback) {
            handle.release();
            return Err(error);
        }
        // SAFETY: the loop of this thread, room for a uv_poll_t, an open descriptor.
        let error = unsafe { uv_poll_init(uv_loop, handle.as_uv(), fd.as_raw_fd()) };
        if error != 0 {
            handle.release();
            return Err(failed("uv_poll_init", error));
        }
        let owner = Rc::clone(&handle.owner);
        let handle = NonNull::from(Box::leak(handle));
        owner.set(Some(handle));
        let poll = Poll { handle: owner, waits_for: Cell::new(None) };
        // SAFETY: leaked above; freed by the close callback alone, which cannot have run yet.
        let at = unsafe { &mut *handle.as_ptr() };
        // SAFETY: an initialized handle.
        unsafe { uv_handle_set_data(at.as_uv(), handle.as_ptr().cast()) };
        let argument = handle.as_ptr().cast();
        // SAFETY: a live environment; `argument` lives until the close callback removes the hook.
        check_status!(unsafe {
            sys::napi_add_async_cleanup_hook(env.raw(), Some(on_end), argument, &raw mut at.hook)
        })?;
        Ok(poll)
    }

    pub(crate) fn wait_for(&self, interest: Interest) -> Result<()> {
        if self.waits_for.replace(Some(interest)) == Some(interest) {
            return Ok(());
        }
        let events = match interest {
            Interest::Readable => UV_READABLE,
            Interest::Writable => UV_WRITABLE,
            Interest::Nothing => UV_DISCONNECT,
        };
        self.with(|uv| {
            // SAFETY: an initialized handle that is not being closed.
            let error = unsafe { uv_poll_start(uv, events, on_event) };
            if error == 0 { Ok(()) } else { Err(failed("uv_poll_start", error)) }
        })
        .unwrap_or(Ok(()))
    }

    /// Whether an open handle keeps the process alive.
    pub(crate) fn keep_alive(&self, yes: bool) {
        self.with(|uv| {
            if yes {
                // SAFETY: an initialized handle that is not being closed.
                unsafe { uv_ref(uv) };
            } else {
                // SAFETY: an initialized handle that is not being closed.
                unsafe { uv_unref(uv) };
            }
        });
    }

    fn with<T>(&self, call: impl FnOnce(*mut c_void) -> T) -> Option<T> {
        self.handle.get().map(|mut handle| {
            // SAFETY: alive while the cell holds it; only this thread, its loop's, gets here.
            let handle = unsafe { handle.as_mut() };
            call(handle.as_uv())
        })
    }
}

impl Drop for Poll {
    fn drop(&mut self) {
        if let Some(mut handle) = self.handle.get() {
            // SAFETY: alive while the cell holds it; only this thread, its loop's, gets here.
            unsafe { handle.as_mut() }.close();
        }
    }
}

impl Handle {
    fn as_uv(&mut self) -> *mut c_void {
        self.uv.as_mut_ptr().cast()
    }

    /// Asks libuv to close; it will call back, once, from the loop.
    fn close(&mut self) {
        if self.owner.take().is_some() {
            // SAFETY: an initialized handle, which was not being closed: the cell still held it.
            unsafe { uv_close(self.as_uv(), on_close) };
        }
    }

    fn release(&mut self) {
        let Callback { env, function, context } = self.callback;
        if !function.is_null() {
            // SAFETY: made in this environment, which waits for its cleanup hooks.
            unsafe { sys::napi_delete_reference(env, function) };
        }
        if !context.is_null() {
            // SAFETY: made in this environment, which waits for its cleanup hooks.
            unsafe { sys::napi_async_destroy(env, context) };
        }
        if !self.hook.is_null() {
            // SAFETY: added at the start, removed here alone. The environment may end now.
            unsafe { sys::napi_remove_async_cleanup_hook(self.hook) };
        }
    }
}

impl Callback {
    /// Keeps the function, and makes the context in which it will be called.
    fn refer_to(&mut self, callback: &Function<'_, (), ()>) -> Result<()> {
        let function = callback.raw();
        // SAFETY: a live environment and a function in it.
        check_status!(unsafe {
            sys::napi_create_reference(self.env, function, 1, &raw mut self.function)
        })?;
        let (name, mut resource_name) = (c"sendfd", null_mut());
        // SAFETY: a live environment, a string of that length.
        check_status!(unsafe {
            sys::napi_create_string_utf8(self.env, name.as_ptr(), 6, &raw mut resource_name)
        })?;
        // SAFETY: a live environment and a string in it; no resource of our own.
        check_status!(unsafe {
            sys::napi_async_init(self.env, null_mut(), resource_name, &raw mut self.context)
        })
    }

    /// Calls the function. What it throws becomes an uncaught exception, as from any event.
    fn call(self) {
        let (mut function, mut global, mut result) = (null_mut(), null_mut(), null_mut());
        // SAFETY: a live environment and a reference in it; a handle scope is open.
        unsafe { sys::napi_get_reference_value(self.env, self.function, &raw mut function) };
        // SAFETY: a live environment; a handle scope is open.
        unsafe { sys::napi_get_global(self.env, &raw mut global) };
        // SAFETY: values of this environment, no arguments.
        let status = unsafe {
            sys::napi_make_callback(
                self.env,
                self.context,
                global,
                function,
                0,
                std::ptr::null(),
                &raw mut result,
            )
        };
        if status == sys::Status::napi_pending_exception {
            let mut thrown = null_mut();
            // SAFETY: a live environment, in which an exception is pending.
            unsafe { sys::napi_get_and_clear_last_exception(self.env, &raw mut thrown) };
            // SAFETY: a live environment and a value in it.
            unsafe { sys::napi_fatal_exception(self.env, thrown) };
        }
    }
}

extern "C" fn on_event(uv: *mut c_void, _status: c_int, _events: c_int) {
    // SAFETY: libuv passes the handle that was started.
    let handle = unsafe { uv_handle_get_data(uv) }.cast::<Handle>();
    // SAFETY: set at the start, and alive until the close callback, which comes after this one. It is
    // copied because the function may close the handle.
    let callback = unsafe { (*handle).callback };
    let mut scope = null_mut();
    // SAFETY: a live environment.
    let opened = unsafe { sys::napi_open_handle_scope(callback.env, &raw mut scope) };
    if opened == sys::Status::napi_ok {
        callback.call();
        // SAFETY: opened above.
        unsafe { sys::napi_close_handle_scope(callback.env, scope) };
    }
}

extern "C" fn on_close(uv: *mut c_void) {
    // SAFETY: libuv passes the handle that was closed.
    let handle = unsafe { uv_handle_get_data(uv) }.cast::<Handle>();
    // SAFETY: leaked at the start; libuv calls this once and does not use the handle any more.
    let mut handle = unsafe { Box::from_raw(handle) };
    handle.release();
}

unsafe extern "C" fn on_end(_: sys::napi_async_cleanup_hook_handle, handle: *mut c_void) {
    // SAFETY: alive until the close callback, which removes this hook.
    unsafe { &mut *handle.cast::<Handle>() }.close();
}

fn failed(call: &str, error: c_int) -> napi::Error {
    napi::Error::new(Status::GenericFailure, format!("{call}: error {error}"))
}
