//! Where an inbox listens.

use super::bound::Bound;
use super::directory;
use super::options::Options;
use crate::address::{self, Identity};
use crate::signal::Signal;
use crate::sys::{Errno, Result};

/// Sockets that are bound to all names of the inbox, in the order in which they are asked.
pub(super) fn bind(identity: Identity, signal: Signal, options: Options<'_>) -> Result<Vec<Bound>> {
    if options.anyone || !options.uids.is_empty() || !options.gids.is_empty() {
        return Err(Errno(libc::EOPNOTSUPP));
    }
    let name = address::name(identity, signal);
    let mut bound = Vec::new();
    bound.try_reserve_exact(2).map_err(|_| Errno(libc::ENOMEM))?;
    bound.push(Bound::bind(name)?);
    bound.extend(directory::bind(options.directory, name)?);
    Ok(bound)
}
