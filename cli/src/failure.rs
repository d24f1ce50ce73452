//! What went wrong: one line, and an exit status.

use serde_json::json;
use std::fmt::Display;
use std::process::ExitCode;

pub type Result<T> = std::result::Result<T, Failure>;

/// What the program ends with, and whoever started it can go by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Status {
    Refused = 1,
    Usage = 2,
    NobodyThere = 3,
    TimedOut = 4,
    Gone = 5,
}

/// Something that could not be done.
#[derive(Debug)]
pub struct Failure {
    pub status: Status,
    /// What is wrong and what to do about it.
    pub message: String,
    /// The call that failed, and how.
    pub call: Option<(String, &'static str)>,
}

impl Failure {
    pub fn new(status: Status, message: impl Display) -> Failure {
        Failure { status, message: message.to_string(), call: None }
    }

    /// Says it in one line on standard error.
    pub fn report(&self, command: &str, json: bool) -> ExitCode {
        let status = self.status as u8;
        let call = self.call.as_ref();
        let line = if json {
            let (call, name) = (call.map(|(call, _)| call), call.map(|(_, name)| name));
            json!({ "error": self.message, "call": call, "errno": name, "status": status })
                .to_string()
        } else {
            let called = call.map(|(call, _)| format!(" [{call}]")).unwrap_or_default();
            format!("sendfd {command}: {}{called}", self.message)
        };
        // Nobody reads it, then.
        let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes());
        ExitCode::from(status)
    }
}

/// A call of the library that failed, as it concerns `who`, such as "process 7", and an inbox.
pub fn of(who: String, signo: i32) -> impl Fn(sendfd_core::Error) -> Failure {
    move |error| {
        let (status, message) = explain(&who, signo, error.name(), error.call());
        let text = error.to_string();
        let end =
            text.find(") = -").map_or(text.len(), |at| at + ") = -".len() + error.name().len());
        let call = text.get(..end).unwrap_or(&text).to_owned();
        let message = message.unwrap_or(text);
        Failure { status, message, call: Some((call, error.name())) }
    }
}

fn explain(who: &str, signo: i32, errno: &str, call: &str) -> (Status, Option<String>) {
    use Status::{Gone, NobodyThere, Refused, TimedOut, Usage};
    let (status, message) = match (errno, call) {
        ("EINVAL", "signal") => {
            (Usage, format!("{signo} is no real-time signal number: try 34 to 64"))
        }
        ("ESRCH", _) => (NobodyThere, format!("there is no {who}: has it ended?")),
        ("ECONNREFUSED", _) => (
            NobodyThere,
            format!(
                "{who} has no inbox for signal {signo}: is it running `sendfd take`? \
                 wait for it with --wait-open"
            ),
        ),
        ("EPERM", "sendfd_outbox_open" | "sendfd_outbox_send" | "sendfd_outbox_request") => (
            Refused,
            format!(
                "{who} is another user's: run sendfd as that user, or as root, or have it opened \
                     with --allow-user"
            ),
        ),
        ("ETIMEDOUT", "sendfd_outbox_open") => (
            TimedOut,
            format!("{who} opened no inbox for signal {signo} in time: a longer --timeout?"),
        ),
        ("EAGAIN" | "ETIMEDOUT", "sendfd_recv") => (
            TimedOut,
            format!(
                "nothing came in time: send something with `sendfd give {}`",
                std::process::id()
            ),
        ),
        ("ETIMEDOUT", "sendfd_outbox_wait_taken") => (
            TimedOut,
            format!(
                "{who} has not taken it in time: it is sent, and waits there as long as it runs"
            ),
        ),
        ("EAGAIN" | "ETIMEDOUT", "sendfd_outbox_request" | "sendfd_answer") => {
            (TimedOut, format!("{who} did not answer in time: is it stopped? a longer --timeout?"))
        }
        ("EAGAIN" | "ETIMEDOUT", _) => (
            TimedOut,
            format!("{who} had no room in time, or did not look who comes: a longer --timeout?"),
        ),
        ("ECONNRESET", "sendfd_outbox_wait_taken") => (
            Gone,
            format!(
                "{who} went without taking it: what was sent is closed; send it to another one"
            ),
        ),
        ("ECONNRESET" | "EPIPE", _) => (
            Gone,
            format!("{who} went without an answer, or does not answer requests: see `sendfd ls`"),
        ),
        ("EADDRINUSE", _) => (
            Refused,
            format!(
                "another user sits on the name of this inbox for signal {signo}: try another --signo"
            ),
        ),
        ("EMFILE" | "ENFILE", _) => (
            Refused,
            "there is no room for the descriptors: raise the limit with `ulimit -n`".to_owned(),
        ),
        ("EACCES", _) => (
            Refused,
            "a security policy of this system keeps this process from getting a descriptor"
                .to_owned(),
        ),
        ("EBADF", _) => (Refused, "a descriptor to be sent is not open".to_owned()),
        ("EMSGSIZE", _) => {
            (Refused, "more than 65536 bytes of data: send them as a file".to_owned())
        }
        ("EINVAL", "sendfd_inbox_open") => (
            Usage,
            "a user or group for all that have no number here, as 65534 is, cannot be allowed"
                .to_owned(),
        ),
        ("EINVAL", _) => (
            Refused,
            "no more than 252 descriptors, and none of io_uring, can be sent at once".to_owned(),
        ),
        ("ETOOMANYREFS", _) => (
            Refused,
            "too many of this user's descriptors wait to be taken: try again later".to_owned(),
        ),
        ("EPROTO", _) => {
            (Refused, format!("{who} speaks another version of the protocol: same release?"))
        }
        _ => return (Refused, None),
    };
    (status, Some(message))
}
