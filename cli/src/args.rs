//! What can be said on the command line. The man page and the completions are made from this.

use crate::recipient::To;
use crate::users;
use clap::{Args, Parser, Subcommand, ValueHint};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Hands open descriptors to other processes by their pid
///
/// A process that runs `sendfd take`, or opens an inbox with libsendfd, is given files, sockets and
/// listeners by whoever may signal it: no path to agree on, no common parent, no daemon.
#[derive(Debug, Parser)]
#[command(name = "sendfd", version, after_help = EXIT, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

/// For the help and the man page.
pub const EXIT: &str = "Exit status: 0 done; 1 refused; 2 usage; 3 nobody there; 4 timed out; \
                        5 gone with something untaken.";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send open descriptors to a process
    Give(Give),
    /// Receive one parcel, and become a command that is given its descriptors
    Take(Take),
    /// Keep descriptors under labels and give them on request
    ///
    /// What is stored here survives the programs that use it, so a server can be replaced, or crash,
    /// without losing its sockets. Its own user and root may store, fetch and drop, and so may those for whom
    /// it is opened by `--allow-user` and `--allow-group`; but not take it over. It ends at SIGTERM and SIGINT, and what it holds is closed then; or when
    /// a successor has taken everything over. A socket or pipe whose other end has gone, with nothing left
    /// in it to read, is dropped.
    Hold(Hold),
    /// Put descriptors under a label of a `sendfd hold`
    Store(Store),
    /// Get the descriptors under a label of a `sendfd hold`
    Fetch(Fetch),
    /// Show what a `sendfd hold` holds
    List(List),
    /// Have a `sendfd hold` close what is under a label
    Drop(DropLabel),
    /// Show the inboxes of this machine that can be seen
    ///
    /// Those in this network namespace. The process of an inbox of another user is shown only to a user
    /// who may see it. What waits to be taken is shown in bytes of memory, and from how many senders: the
    /// kernel does not tell how many parcels it is. Senders that come by a socket file, from other network
    /// namespaces, are not counted.
    Ls(Ls),
}

/// What an error is told with, and a result.
#[derive(Debug, Args)]
pub struct Common {
    /// The real-time signal number of the inbox
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub signo: i32,
    /// Print JSON, one object a line, for programs
    #[arg(long)]
    pub json: bool,
}

/// How long to wait, as seconds.
#[derive(Debug, Args)]
pub struct Wait {
    /// Wait until the process has opened its inbox
    #[arg(long)]
    pub wait_open: bool,
    /// Wait no longer than this, all in all; fractions are fine
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<Duration>,
}

#[derive(Debug, Args)]
pub struct Give {
    /// The pid of the receiver, or the address of its inbox
    pub to: To,
    #[arg(value_name = "WHAT", help = WHAT_SHORT, long_help = WHAT, default_value = "fd:0")]
    pub what: Vec<String>,
    /// Text that goes along; names separated by `:` become `LISTEN_FDNAMES` of `sendfd take --exec`
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub data: OsString,
    /// Wait until the receiver has taken it
    #[arg(long)]
    pub wait_taken: bool,
    #[command(flatten)]
    pub wait: Wait,
    #[command(flatten)]
    pub common: Common,
}

const WHAT_SHORT: &str = "fd:N, file:PATH[:r|w|rw|a], listen:tcp:HOST:PORT, listen:unix:PATH, \
                          connect:tcp:HOST:PORT or connect:unix:PATH";
const WHAT: &str = "What to send, in this order:
fd:N, a descriptor that sendfd was started with;
file:PATH[:r|w|rw|a], opened to read, to write anew, for both, or to append;
listen:tcp:HOST:PORT, which says the port if PORT is 0; listen:unix:PATH;
connect:tcp:HOST:PORT; connect:unix:PATH";

#[derive(Debug, Args)]
pub struct Take {
    /// Wait no longer than this; fractions are fine
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<Duration>,
    /// Write the address of the inbox there, for those who do not see this pid; removed at the end
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub address_file: Option<PathBuf>,
    #[command(flatten)]
    pub allow: Allow,
    #[command(flatten)]
    pub become_: Become,
    #[command(flatten)]
    pub common: Common,
}

/// Other users for whom an inbox is open.
#[derive(Debug, Args)]
pub struct Allow {
    /// Let this user send, too, by name or number; may be given again
    #[arg(long, value_name = "USER", value_parser = users::user, value_hint = ValueHint::Username)]
    pub allow_user: Vec<u32>,
    /// Let the members of this group send, too
    #[arg(long, value_name = "GROUP", value_parser = users::group)]
    pub allow_group: Vec<u32>,
}

/// What becomes of received descriptors.
#[derive(Debug, Args)]
pub struct Become {
    /// Become this command (all that follows), with the descriptors from 3 on, `LISTEN_FDS`, `LISTEN_PID` and
    /// `LISTEN_FDNAMES`; without, tell what came and close it
    #[arg(long, num_args = 1.., allow_hyphen_values = true, value_name = "COMMAND", value_hint = ValueHint::CommandName)]
    pub exec: Option<Vec<OsString>>,
    /// Make the first descriptor the standard input of the command
    #[arg(long, requires = "exec")]
    pub stdin: bool,
    /// Make the first descriptor the standard output of the command
    #[arg(long, requires = "exec")]
    pub stdout: bool,
    /// Make the first descriptor this number of the command
    #[arg(long, requires = "exec", value_name = "N", value_parser = clap::value_parser!(i32).range(0..=1_000_000))]
    pub fd: Option<i32>,
}

#[derive(Debug, Args)]
pub struct Hold {
    /// Take everything over from the `sendfd hold` with this pid or address, which ends then
    #[arg(long, value_name = "TO")]
    pub take_over: Option<To>,
    /// Write the address of the inbox there, for those who do not see this pid; removed at the end
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub address_file: Option<PathBuf>,
    /// Tell of everything that is stored, fetched and dropped, too
    #[arg(long, short)]
    pub verbose: bool,
    #[command(flatten)]
    pub allow: Allow,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
pub struct Store {
    /// The pid of the `sendfd hold`, or the address of its inbox
    pub to: To,
    /// 1 to 255 letters, without spaces, control characters or `:`
    #[arg(value_parser = label)]
    pub label: String,
    #[arg(value_name = "WHAT", help = WHAT_SHORT, long_help = WHAT, default_value = "fd:0")]
    pub what: Vec<String>,
    /// Have it closed after this time
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub expire: Option<Duration>,
    /// In the place of what is under this label now, if anything is
    #[arg(long)]
    pub replace: bool,
    #[command(flatten)]
    pub wait: Wait,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
pub struct Fetch {
    /// The pid of the `sendfd hold`, or the address of its inbox
    pub to: To,
    /// What it was stored under
    #[arg(value_parser = label)]
    pub label: String,
    /// Have it dropped there: nobody else gets it
    #[arg(long)]
    pub drop: bool,
    #[command(flatten)]
    pub become_: Become,
    #[command(flatten)]
    pub wait: Wait,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
pub struct List {
    /// The pid of the `sendfd hold`, or the address of its inbox
    pub to: To,
    #[command(flatten)]
    pub wait: Wait,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
pub struct DropLabel {
    /// The pid of the `sendfd hold`, or the address of its inbox
    pub to: To,
    /// What it was stored under
    #[arg(value_parser = label)]
    pub label: String,
    #[command(flatten)]
    pub wait: Wait,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
pub struct Ls {
    /// Print JSON, one object a line, for programs
    #[arg(long)]
    pub json: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "seconds are a number".to_owned())?;
    Duration::try_from_secs_f64(number).map_err(|error| error.to_string())
}

/// What a label may be; also for those that come from others.
pub fn label(text: &str) -> Result<String, String> {
    let fits = (1..=255).contains(&text.len());
    if fits && text.chars().all(|c| !c.is_control() && !c.is_whitespace() && c != ':') {
        Ok(text.to_owned())
    } else {
        Err("a label is 1 to 255 bytes without spaces, control characters or ':'".to_owned())
    }
}
