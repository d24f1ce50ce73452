//! The text that names one inbox on this machine, in every namespace.

use super::name::{self, Identity, Whom};
use crate::error::{Call, Error, Result};
use crate::signal::Signal;
use std::fmt;
use std::str::FromStr;

/// The address of one inbox, as text: `sendfd.1/<inode>/<signal number>`.
///
/// It is no secret and gives no permission. It may go over any channel, such as an environment variable, to
/// a sender that need not see the receiver's pid; who listens under it is proven by the inode.
///
/// ```
/// use sendfd_core::{Address, Outgoing, QuietInbox, Signal};
///
/// let inbox = QuietInbox::open(Signal::new(56)?)?;
/// let text = inbox.address()?.to_string();
/// let address: Address = text.parse()?;
/// Outgoing::from_raw(&[0]).send(address, address.signal())?;
/// assert_eq!(inbox.recv(None)?.fds.len(), 1);
/// # Ok::<(), sendfd_core::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address {
    identity: Identity,
    signal: Signal,
}

impl Address {
    /// Bytes of the longest address, and one for the zero with which C ends it.
    pub const MAX: usize = 64;

    /// Its bytes, which are ASCII.
    #[must_use]
    pub fn to_bytes(self) -> impl AsRef<[u8]> {
        name::name(self.identity, self.signal, Whom::Own)
    }

    pub(crate) fn new(identity: Identity, signal: Signal) -> Address {
        Address { identity, signal }
    }

    /// The signal number of the inbox.
    #[must_use]
    pub fn signal(self) -> Signal {
        self.signal
    }

    pub(crate) fn identity(self) -> Identity {
        self.identity
    }
}

impl FromStr for Address {
    type Err = Error;

    /// # Errors
    /// `EINVAL`: that is no address.
    fn from_str(text: &str) -> Result<Address> {
        let parsed = || {
            let (identity, signo) = text.strip_prefix(name::PREFIX)?.split_once('/')?;
            let identity = match identity.split_once('.') {
                None => Identity::Inode(number(identity)?),
                Some((id, at)) => Identity::Started {
                    id: i32::try_from(number(id)?).ok().filter(|id| *id > 0)?,
                    at: number(at)?,
                },
            };
            let signal = Signal::new(i32::try_from(number(signo)?).ok()?).ok()?;
            Some(Address { identity, signal })
        };
        parsed().ok_or_else(|| Error::new(Call::Address, libc::EINVAL))
    }
}

/// In decimal, and in one way only: without a sign and without zeros in front.
fn number(digits: &str) -> Option<u64> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    digits.parse().ok().filter(|_| plain || digits == "0")
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}/{}", name::PREFIX, self.identity, self.signal.number())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for identity in [
            Identity::Inode(1),
            Identity::Inode(u64::MAX),
            Identity::Started { id: 7, at: 285_039 },
            Identity::Started { id: i32::MAX, at: u64::MAX },
        ] {
            let address = Address::new(identity, Signal::DEFAULT);
            let text = address.to_string();
            assert_eq!(
                text.as_bytes(),
                name::name(identity, Signal::DEFAULT, Whom::Own).as_bytes()
            );
            assert_eq!(text.parse(), Ok(address));
            assert!(text.len() < Address::MAX);
        }
    }

    #[test]
    fn nothing_else_is_an_address() {
        for text in [
            "",
            "sendfd.1",
            "sendfd.1/",
            "sendfd.1//50",
            "sendfd.1/7/",
            "sendfd.1/7/9",
            "sendfd.1/7/50/",
            "sendfd.1/7/50/guests",
            "sendfd.1/7/50 ",
            " sendfd.1/7/50",
            "sendfd.2/7/50",
            "sendfd.1/+7/50",
            "sendfd.1/07/50",
            "sendfd.1/7/050",
            "sendfd.1/0.5/50",
            "sendfd.1/-1.5/50",
            "sendfd.1/7./50",
            "sendfd.1/7.1.1/50",
            "sendfd.1/18446744073709551616/50",
        ] {
            assert_eq!(text.parse::<Address>().map_err(|e| e.errno()), Err(libc::EINVAL), "{text}");
        }
    }
}
