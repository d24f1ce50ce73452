//! `sendfd give`.

use crate::args::Give;
use crate::describe;
use crate::failure::{Failure, Result};
use crate::recipient::To;
use crate::{output, what};
use sendfd_core::{Outbox, Outgoing, Signal};
use serde_json::json;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

/// Where nothing is said of time. A connection that is new has room; but who is of another user waits until the
/// receiver has let it in.
const PATIENCE: Duration = Duration::from_secs(5);

pub fn run(args: &Give) -> Result<()> {
    let deadline = args.wait.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let failed = args.to.failure(args.common.signo);
    let outbox = connect(args.to, args.common.signo, args.wait.wait_open, deadline)?;
    let opened = what::open(&args.what, deadline)?;
    for address in opened.chosen.iter().filter(|_| !args.common.json) {
        output::line(&format!("listening on {address}"))?;
    }
    let room = deadline.map_or(PATIENCE, left);
    let parcel = Outgoing::from_raw(&opened.numbers).data(args.data.as_bytes()).timeout(Some(room));
    outbox.send(parcel).map_err(&failed)?;
    if args.wait_taken {
        outbox.wait_taken(deadline.map(left)).map_err(&failed)?;
    }
    if args.common.json {
        output::json(&json!({
            "to": args.to.to_string(),
            "signo": args.to.signo(args.common.signo),
            "fds": opened.numbers.len(),
            "bytes": args.data.len(),
            "taken": args.wait_taken,
            "listening": opened.chosen,
        }))?;
    }
    Ok(())
}

/// A link to that inbox, if it is there, or when it is.
pub fn connect(to: To, signo: i32, wait: bool, deadline: Option<Instant>) -> Result<Outbox> {
    let failed = to.failure(signo);
    let signal = Signal::new(to.signo(signo)).map_err(&failed)?;
    let timeout = if wait { deadline.map(left) } else { Some(Duration::ZERO) };
    Outbox::open(to.target(), signal, timeout).map_err(&failed)
}

pub fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// For a parcel that was received and could not be used: nobody else tells of it.
pub fn lost(failure: Failure, fds: &[describe::Description], whence: &str) -> Failure {
    if fds.is_empty() {
        return failure;
    }
    let message =
        format!("{}; closed unused, {whence}: {}", failure.message, describe::text_of(fds));
    Failure { message, ..failure }
}
