//! How a holder hands all that it keeps to its successor.
//!
//! The successor asks for one label after the other. The holder keeps everything until the successor says
//! that it is done, so that whichever of them dies in the middle, nothing is lost. Requests of others wait
//! meanwhile.

use super::kept::Entry;
use super::words::{self, Listed, Refusal, Request};
use super::{Holder, Next, SUCCESSOR, numbers, reply};
use crate::failure::{Failure, Result, Status};
use crate::give;
use crate::recipient::To;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Timespec;
use rustix::process::{Pid, PidfdFlags, geteuid, pidfd_open};
use sendfd_core::{Outgoing, Parcel};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// How long the other one may take for each step.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many requests of others wait.
const MOST_WAITING: usize = 256;

#[derive(Debug)]
pub struct Succession {
    pid: i32,
    /// Whom others are sent to, then.
    to: Option<To>,
    /// Readable once the successor has ended.
    task: OwnedFd,
    pub until: Instant,
    waiting: Vec<(Request, Parcel)>,
}

impl Succession {
    fn has_failed(&self) -> bool {
        let mut looked = [PollFd::new(&self.task, PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        Instant::now() >= self.until || matches!(poll(&mut looked, Some(&now)), Ok(1))
    }
}

impl Holder {
    pub(super) fn begin_succession(&mut self, to: Option<&str>, parcel: Parcel) {
        let (pid, uid) = (parcel.info.pid, parcel.info.uid);
        if uid != 0 && uid != geteuid().as_raw() {
            return self.refuse(parcel, &Refusal::NotAllowed);
        }
        let task = Pid::from_raw(pid).ok_or(rustix::io::Errno::SRCH);
        let task = task.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()));
        let watched = task.and_then(|task| {
            epoll::add(&*self.epoll, &task, EventData::new_u64(SUCCESSOR), EventFlags::IN)?;
            Ok(task)
        });
        match watched {
            Ok(task) => {
                let until = Instant::now() + PATIENCE;
                let to = to.map_or_else(|| pid.to_string(), str::to_owned).parse().ok();
                self.succession = Some(Succession { pid, to, task, until, waiting: Vec::new() });
                reply(parcel, &format!("ok {}", self.kept.len()), &[]);
            }
            Err(error) => {
                let text = format!("pidfd_open({pid}): {error}");
                self.refuse(parcel, &Refusal::BadRequest(text));
            }
        }
    }

    /// What is done with a request while a successor takes over; `None` while none does.
    pub(super) fn answer_in_succession(
        &mut self,
        request: &Request,
        parcel: &mut Parcel,
    ) -> Option<Next> {
        let succession = self.succession.as_mut()?;
        let Some(place) = parcel.reply.take() else { return Some(Next::Go) };
        let fds = std::mem::take(&mut parcel.fds);
        let data = std::mem::take(&mut parcel.data);
        let parcel = Parcel { fds, data, info: parcel.info, reply: Some(place) };
        let theirs = parcel.info.pid == succession.pid;
        match request {
            Request::Next { after } if theirs => {
                succession.until = Instant::now() + PATIENCE;
                match self.kept.after(after.as_deref()).next() {
                    Some((label, entry)) => {
                        let mut listed = entry.listed(label);
                        listed.what.clear();
                        reply(parcel, &format!("ok {listed}"), &numbers(&entry.fds));
                    }
                    None => drop(reply(parcel, "ok", &[])),
                }
            }
            Request::Done if theirs => return Some(self.end_succession(parcel)),
            _ => {
                let again = words::parse_request(&parcel.data, parcel.fds.len());
                match again {
                    Ok(request) if succession.waiting.len() < MOST_WAITING => {
                        succession.waiting.push((request, parcel));
                    }
                    _ => self.refuse(parcel, &Refusal::NoRoom),
                }
            }
        }
        Some(Next::Go)
    }

    fn end_succession(&mut self, parcel: Parcel) -> Next {
        if !reply(parcel, "ok", &[]) {
            self.cancel_succession();
            return Next::Go;
        }
        let Some(succession) = self.succession.take() else { return Next::Go };
        let (count, pid) = (self.kept.len(), succession.pid);
        self.log.tell(
            "handed-over",
            None,
            &format!("handed {count} labels over to process {pid}, and ends"),
        );
        for (_, parcel) in succession.waiting {
            self.refuse(parcel, &Refusal::Moved(succession.to));
        }
        Next::End
    }

    /// Goes on as before where the successor has died, or does nothing.
    pub(super) fn look_after_succession(&mut self) {
        if self.succession.as_ref().is_some_and(Succession::has_failed) {
            self.cancel_succession();
        }
    }

    fn cancel_succession(&mut self) {
        let Some(succession) = self.succession.take() else { return };
        let _ = epoll::delete(&*self.epoll, &succession.task);
        let pid = succession.pid;
        self.log.tell(
            "hand-over-failed",
            None,
            &format!("process {pid} did not take over to the end; goes on"),
        );
        for (request, parcel) in succession.waiting {
            self.act(request, parcel);
        }
    }
}

/// Gets all from the holder `old`, which ends then.
pub fn take_over(holder: &mut Holder, old: To, signo: i32) -> Result<()> {
    let (failed, who) = (old.failure(signo), old.who());
    let outbox = give::connect(old, signo, false, None)?;
    let ask = |request: &str| {
        let parcel = Outgoing::from_raw(&[]).data(request.as_bytes()).timeout(Some(PATIENCE));
        let answer = outbox.request(parcel).map_err(&failed)?;
        let said = words::parse_answer(&answer.data).map_err(|refusal| {
            Failure::new(Status::Refused, format_args!("{who} does not hand over: {refusal}"))
        })?;
        Ok((answer, said))
    };
    let own = holder.inbox.address().map_err(&failed)?;
    ask(&format!("hand-over {own}"))?;
    let mut last: Option<String> = None;
    loop {
        let after = last.as_ref().map(|label| format!(" {label}")).unwrap_or_default();
        let (answer, said) = match ask(&format!("next{after}")) {
            Ok(answer) => answer,
            // What has come would be lost, if this one ended, too.
            Err(failure) if failure.status == Status::Gone && holder.kept.len() > 0 => {
                let count = holder.kept.len();
                let text = format!("{who} has died in the middle; {count} labels had come");
                holder.log.tell("take-over-cut", None, &text);
                return Ok(());
            }
            Err(failure) => return Err(failure),
        };
        if said.is_empty() {
            break;
        }
        let strange = || {
            Failure::new(
                Status::Refused,
                format_args!("{who} does not hand over as docs/hold.md says"),
            )
        };
        let listed = Listed::parse(&said).ok_or_else(strange)?;
        let forward = last.as_ref().is_none_or(|last| *last < listed.label);
        if answer.fds.len() != listed.count || !forward {
            return Err(strange());
        }
        let entry = Entry::new(answer.fds, listed.expires, listed.pid, listed.uid);
        holder.kept.put(listed.label.clone(), entry, false).map_err(|(refusal, _)| {
            Failure::new(Status::Refused, format_args!("no place for {}: {refusal}", listed.label))
        })?;
        last = Some(listed.label);
    }
    if let Err(failure) = ask("done") {
        let text =
            format!("{who} did not say good-bye, and may hold the same: {}", failure.message);
        holder.log.tell("take-over-cut", None, &text);
    }
    let count = holder.kept.len();
    holder.log.tell("taken-over", None, &format!("took {count} labels over from {who}"));
    Ok(())
}
