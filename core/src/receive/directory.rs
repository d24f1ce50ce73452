//! A directory in which an inbox listens as well.

use super::bound::Bound;
use crate::address::Name;
use crate::sys::{Errno, Result};
use std::path::Path;

/// A socket there, under the name as a file name; none where there is no directory to listen in.
///
/// `asked` is what [`Options::directory`](super::options::Options) says.
pub(super) fn bind(asked: Option<&Path>, _name: Name) -> Result<Option<Bound>> {
    match asked {
        Some(path) if !path.as_os_str().is_empty() => Err(Errno(libc::EOPNOTSUPP)),
        _ => Ok(None),
    }
}
