//! What a panic does in the C library: one message on standard error, and the end of the process.
//!
//! The Makefile links these in the place of std's own handlers. Those can print a backtrace, and what they
//! need to read debug information is more code than all the rest of the library.

use std::ffi::c_int;
use std::fmt::{self, Write};

/// In the place of std's `rust_begin_unwind`.
#[unsafe(no_mangle)]
extern "Rust" fn sendfd_panicked(info: &core::panic::PanicInfo<'_>) -> ! {
    end(format_args!("{info}"))
}

/// In the place of `__rust_alloc_error_handler`.
#[unsafe(no_mangle)]
extern "Rust" fn sendfd_out_of_memory(size: usize, _align: usize) -> ! {
    end(format_args!("no memory for {size} bytes"))
}

/// In the place of `rust_eh_personality`: nothing is unwound by a panic. Where the C library unwinds a thread that
/// ends, it goes on past us, as `_URC_CONTINUE_UNWIND` says.
#[unsafe(no_mangle)]
extern "C" fn sendfd_personality() -> c_int {
    8
}

/// In the place of `_Unwind_Resume`, which a personality that lets nothing be cleaned up never leads to.
#[unsafe(no_mangle)]
extern "C" fn sendfd_never_resumed() -> ! {
    end(format_args!("unwinding was resumed"))
}

/// Neither allocates nor panics, since it can be what did that has brought us here.
fn end(what: fmt::Arguments<'_>) -> ! {
    let mut message = Message { text: [0; Message::MOST], len: 0 };
    // What does not fit is cut off.
    let _ = writeln!(message, "libsendfd: {what}");
    // SAFETY: so many bytes have been written there.
    unsafe { libc::write(libc::STDERR_FILENO, message.text.as_ptr().cast(), message.len) };
    // SAFETY: takes no arguments.
    unsafe { libc::abort() }
}

struct Message {
    text: [u8; Message::MOST],
    len: usize,
}

impl Message {
    const MOST: usize = 1024;
}

impl Write for Message {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        for (place, byte) in self.text.iter_mut().skip(self.len).zip(more.bytes()) {
            *place = byte;
            self.len += 1;
        }
        Ok(())
    }
}
