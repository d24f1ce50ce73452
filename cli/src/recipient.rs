//! Whom something is for, as it is named: by a pid, or by the address of an inbox.

use crate::args::Allow;
use crate::failure::{self, Failure};
use sendfd_core::{Address, Options, Target, Task};
use std::fmt::{self, Display};
use std::str::FromStr;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum To {
    Task(Task),
    Address(Address),
}

impl To {
    pub fn target(self) -> Target<'static> {
        match self {
            To::Task(task) => Target::Task(task),
            To::Address(address) => Target::Address(address),
        }
    }

    /// The signal number of the inbox, where `said` is what the command line says.
    pub fn signo(self, said: i32) -> i32 {
        match self {
            To::Task(_) => said,
            To::Address(address) => address.signal().number(),
        }
    }

    /// In the middle of a sentence.
    pub fn who(self) -> String {
        match self {
            To::Task(task) => format!("process {}", task.id()),
            To::Address(address) => format!("whoever has the address {address}"),
        }
    }

    /// For what a failure says.
    pub fn failure(self, said: i32) -> impl Fn(sendfd_core::Error) -> Failure {
        failure::of(self.who(), self.signo(said))
    }
}

impl FromStr for To {
    type Err = String;

    fn from_str(text: &str) -> Result<To, String> {
        let no = |_| "neither a pid nor an address, as `sendfd ls --json` shows it".to_owned();
        match text.parse() {
            Ok(pid) => Task::new(pid)
                .map(To::Task)
                .map_err(|_| "a pid is a number greater than 0".to_owned()),
            Err(_) => text.parse().map(To::Address).map_err(no),
        }
    }
}

impl Display for To {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            To::Task(task) => write!(f, "{}", task.id()),
            To::Address(address) => write!(f, "{address}"),
        }
    }
}

impl Allow {
    /// With which an inbox is opened.
    pub fn options(&self) -> Options<'_> {
        Options { uids: &self.allow_user, gids: &self.allow_group, ..Options::default() }
    }
}
