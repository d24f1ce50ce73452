//! How older kernels look to a program; see `tests/c-tools`.

use crate::compile::Compiler;
use crate::run::Command;
use std::ffi::OsString;

pub(crate) struct Older {
    pub(crate) name: &'static str,
    answers: &'static [&'static str],
    has_inodes: bool,
    /// All, unless given.
    programs: Option<&'static [&'static str]>,
}

pub(crate) const OLDER: [Older; 3] = [
    Older {
        name: "old_kernel",
        // Before 5.3 (the first two) and 6.5 (`SO_PEERPIDFD`).
        answers: &["pidfd_open=ENOSYS", "pidfd_send_signal=ENOSYS", "getsockopt/77=ENOPROTOOPT"],
        has_inodes: true,
        programs: None,
    },
    Older {
        name: "no_inodes",
        // From 5.3 to 6.4: there are pidfds, but not of threads, of peers, or of senders.
        answers: &[
            "pidfd_open/128=EINVAL",
            "getsockopt/77=ENOPROTOOPT",
            "setsockopt/76=ENOPROTOOPT",
        ],
        has_inodes: false,
        programs: Some(&WHO_IS_WHO),
    },
    Older {
        name: "peer_pidfds",
        // From 6.5 to 6.8: there are those of peers and of senders as well, without inodes.
        answers: &["pidfd_open/128=EINVAL"],
        has_inodes: false,
        programs: Some(&WHO_IS_WHO),
    },
];

/// Programs about whom a parcel is for and whom it is from; the rest of the library asks for no pidfd.
const WHO_IS_WHO: [&str; 26] = [
    "address",
    "admission",
    "admission_doubt",
    "claim",
    "credentials",
    "errors_send",
    "fork",
    "hostile",
    "identity",
    "kept",
    "kept_refused",
    "links",
    "namespaces",
    "namespaces_changes",
    "network",
    "odd_processes",
    "outbox",
    "outbox_open",
    "outbox_process",
    "promises_address",
    "promises_mailbox",
    "requests",
    "requests_places",
    "surplus",
    "surroundings",
    "threads",
];

impl Older {
    pub(crate) fn runs(&self, program: &str) -> bool {
        self.programs.is_none_or(|programs| programs.contains(&program))
    }

    /// The same, on such a kernel.
    pub(crate) fn command(&self, compiler: &Compiler, plain: Command) -> Result<Command, String> {
        let mut options: Vec<OsString> = self.answers.iter().map(OsString::from).collect();
        if !self.has_inodes {
            options.extend(["-l".into(), compiler.no_inodes()?.into()]);
        }
        options.push("--".into());
        Ok(plain.on_top_of(&compiler.refuse()?, options))
    }
}
