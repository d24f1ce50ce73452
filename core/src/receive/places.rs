//! Where an inbox listens.

use super::bound::Bound;
use super::directory;
use super::options::Options;
use crate::address::{self, Identity, Whom};
use crate::signal::Signal;
use crate::sys::{Errno, Result};

/// Sockets that are bound to all names of the inbox: those for its own users first. With `guests` there
/// are some for guests.
pub(super) fn bind(
    identity: Identity,
    signal: Signal,
    options: Options<'_>,
    guests: bool,
) -> Result<Vec<Bound>> {
    let mut bound = Vec::new();
    for whom in [Whom::Own, Whom::Guests] {
        if whom == Whom::Guests && !guests {
            break;
        }
        let name = address::name(identity, signal, whom);
        bound.try_reserve(2).map_err(|_| Errno(libc::ENOMEM))?;
        bound.push(Bound::bind(name, whom)?);
        bound.extend(directory::bind(options.directory, name, whom)?);
    }
    Ok(bound)
}
