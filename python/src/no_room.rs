//! A table without room for what has come: said at once, then no more than once a second.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// For so long it is not said again.
const SAID: Duration = Duration::from_secs(1);

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

pub(crate) fn is_errno(errno: i32) -> bool {
    [libc::EMFILE, libc::ENFILE].contains(&errno)
}
