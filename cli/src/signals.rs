//! The signals that tell this process to end.

use crate::failure::{Failure, Result, Status};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::{emulate_default_handler, pipe};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Becomes readable at SIGTERM, and at SIGINT unless that is ignored, as it is for what a script runs in the
/// background.
#[derive(Debug)]
pub struct EndSignal {
    readable: UnixStream,
    which: Arc<AtomicUsize>,
}

impl EndSignal {
    pub fn watch() -> Result<EndSignal> {
        let failed =
            |error: io::Error| Failure::new(Status::Refused, format_args!("sigaction: {error}"));
        let (readable, written) = UnixStream::pair().map_err(failed)?;
        let which = Arc::new(AtomicUsize::new(0));
        let ignored = ignored_signals();
        for signo in [SIGTERM, SIGINT] {
            if ignored >> (signo - 1) & 1 == 0 {
                let written = written.try_clone().map_err(failed)?;
                let number = signo.unsigned_abs() as usize;
                signal_hook::flag::register_usize(signo, Arc::clone(&which), number)
                    .map_err(failed)?;
                pipe::register(signo, written).map_err(failed)?;
            }
        }
        Ok(EndSignal { readable, which })
    }

    /// Ends as it would have without this, so that a shell sees by what.
    pub fn end_by_it(&self) {
        let number = self.which.load(Ordering::Relaxed);
        if let Ok(signo @ 1..) = i32::try_from(number) {
            let _ = emulate_default_handler(signo);
        }
    }
}

impl AsFd for EndSignal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.readable.as_fd()
    }
}

fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
