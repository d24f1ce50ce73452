//! A table without room for what has come: said at once, then no more than once a second.

use crate::arguments::Timeout;
use pyo3::prelude::*;
use sendfd_core::Error;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// For so long it is not said again.
const SAID: Duration = Duration::from_secs(1);

/// KERNEL: nothing tells when a table has room again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The parcels that were said to have no room, and when.
#[derive(Default)]
pub(crate) struct NoRoom(Mutex<Vec<(u64, Instant)>>);

impl NoRoom {
    /// Whether it has not been said of late; from now on it has.
    pub(crate) fn is_news(&self, parcel: u64) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.retain(|(_, at)| at.elapsed() < SAID);
        let news = said.iter().all(|(other, _)| *other != parcel);
        if news {
            said.push((parcel, Instant::now()));
        }
        news
    }
}

pub(crate) fn is_meant_by(error: &Error) -> bool {
    [libc::EMFILE, libc::ENFILE].contains(&error.errno())
}

/// By Python's own function, since that is what gevent and eventlet replace.
pub(crate) fn pause(py: Python<'_>, left: Timeout) -> PyResult<()> {
    let pause = left.0.map_or(LOOK_AGAIN, |left| left.min(LOOK_AGAIN));
    py.import("time")?.call_method1("sleep", (pause.as_secs_f64(),)).map(drop)
}
