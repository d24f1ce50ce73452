//! `sendfd store`, `fetch`, `list` and `drop`: what is asked of a `sendfd hold`.

use crate::args::{Common, DropLabel, Fetch, List, Store, Wait};
use crate::become_command::Prepared;
use crate::describe::{self, Description};
use crate::failure::{Failure, Result, Status};
use crate::hold::words::{self, Listed, Refusal};
use crate::recipient::To;
use crate::{give, output, what};
use sendfd_core::{Outgoing, Parcel};
use serde_json::json;
use std::os::fd::RawFd;
use std::time::Instant;

/// A holder, as it was named, and how long there is to speak with it.
struct Holder<'a> {
    to: To,
    common: &'a Common,
    wait: &'a Wait,
    deadline: Option<Instant>,
}

/// A holder that has handed over says to whom. More often than this it is no longer believed.
const MOVES: usize = 4;

impl<'a> Holder<'a> {
    fn new(to: To, common: &'a Common, wait: &'a Wait) -> Holder<'a> {
        let deadline = wait.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Holder { to, common, wait, deadline }
    }

    /// Asks, and gives what the answer says beside `ok`.
    fn ask(&mut self, request: &str, fds: &[RawFd]) -> Result<(Parcel, String)> {
        for _ in 0..MOVES {
            let outbox =
                give::connect(self.to, self.common.signo, self.wait.wait_open, self.deadline)?;
            let parcel = Outgoing::from_raw(fds).data(request.as_bytes());
            let parcel = parcel.timeout(self.deadline.map(give::left));
            let answer = outbox.request(parcel).map_err(self.to.failure(self.common.signo))?;
            match words::parse_answer(&answer.data) {
                Ok(said) => return Ok((answer, said)),
                Err(Refusal::Moved(Some(to))) => self.to = to,
                Err(refusal) => return Err(self.refused(&refusal)),
            }
        }
        Err(Failure::new(
            Status::Gone,
            "the holder was taken over again and again: see `sendfd ls`",
        ))
    }

    fn refused(&self, refusal: &Refusal) -> Failure {
        let (to, who) = (self.to, self.to.who());
        let (status, message) = match refusal {
            Refusal::NoSuchLabel => (
                Status::NobodyThere,
                format!("{who} holds nothing under this label: see `sendfd list {to}`"),
            ),
            Refusal::LabelInUse => (
                Status::Refused,
                format!(
                    "{who} holds something under this label: --replace it, or `sendfd drop` it"
                ),
            ),
            Refusal::NoRoom => (
                Status::Refused,
                format!("{who} has no room: drop something, or start it with a higher `ulimit -n`"),
            ),
            Refusal::NotAllowed => {
                (Status::Refused, format!("{who} does not allow that to this user"))
            }
            Refusal::Moved(_) => {
                (Status::Gone, format!("{who} was taken over by another one: see `sendfd ls`"))
            }
            Refusal::BadRequest(text) => (
                Status::Refused,
                format!("{who} did not understand: {}: same release?", output::clean(text)),
            ),
        };
        Failure::new(status, message)
    }
}

pub fn store(args: &Store) -> Result<()> {
    let mut holder = Holder::new(args.to, &args.common, &args.wait);
    let opened = what::open(&args.what, holder.deadline)?;
    for address in opened.chosen.iter().filter(|_| !args.common.json) {
        output::line(&format!("listening on {address}"))?;
    }
    let request = words::store(&args.label, args.expire, args.replace);
    holder.ask(&request, &opened.numbers)?;
    if args.common.json {
        output::json(&json!({
            "holder": holder.to.to_string(),
            "label": args.label,
            "fds": opened.numbers.len(),
            "listening": opened.chosen,
        }))?;
    }
    Ok(())
}

pub fn fetch(args: &Fetch) -> Result<()> {
    let prepared = Prepared::new(&args.become_)?;
    let mut holder = Holder::new(args.to, &args.common, &args.wait);
    let verb = if args.drop { "take" } else { "fetch" };
    let (answer, _) = holder.ask(&format!("{verb} {}", args.label), &[])?;
    let described = describe::all(&answer.fds);
    if let Some(prepared) = prepared {
        let names = vec![args.label.clone(); answer.fds.len()];
        let failure = prepared.become_it(answer.fds, &names);
        // Otherwise the holder has them still.
        return Err(if args.drop {
            give::lost(failure, &described, "dropped by the holder")
        } else {
            failure
        });
    }
    if args.common.json {
        return output::json(&json!({
            "holder": holder.to.to_string(),
            "label": args.label,
            "fds": described.iter().map(Description::json).collect::<Vec<_>>(),
        }));
    }
    output::line(&format!("{}: {}", args.label, describe::text_of(&described)))
}

pub fn list(args: &List) -> Result<()> {
    let mut holder = Holder::new(args.to, &args.common, &args.wait);
    let mut all: Vec<Listed> = Vec::new();
    loop {
        let after = all.last().map(|listed| format!(" {}", listed.label)).unwrap_or_default();
        let (_, said) = holder.ask(&format!("list{after}"), &[])?;
        let (page, more) = words::parse_list(&said).ok_or_else(|| {
            holder.refused(&Refusal::BadRequest("its list is in another form".to_owned()))
        })?;
        all.extend(page);
        if !more {
            break;
        }
    }
    if args.common.json {
        return all.iter().try_for_each(|listed| output::json(&listed.json()));
    }
    let rows: Vec<Vec<String>> = all.iter().map(Listed::row).collect();
    output::table(&["LABEL", "FDS", "EXPIRES", "PID", "USER", "WHAT"], &rows)
}

pub fn drop_label(args: &DropLabel) -> Result<()> {
    let mut holder = Holder::new(args.to, &args.common, &args.wait);
    holder.ask(&format!("drop {}", args.label), &[])?;
    if args.common.json {
        output::json(&json!({ "holder": holder.to.to_string(), "label": args.label }))?;
    }
    Ok(())
}
