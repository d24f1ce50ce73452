//! `sendfd hold`: keeps descriptors under labels and gives them on request.

mod kept;
mod log;
mod succession;
pub mod words;

use crate::address_file::AddressFile;
use crate::args::Hold;
use crate::failure::{self, Failure, Result, Status};
use crate::signals::EndSignal;
use kept::{Entry, Kept};
use log::Log;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fs::Timespec;
use rustix::process::{Resource, getrlimit, setrlimit};
use sendfd_core::{Mailbox, Outgoing, Parcel, Signal};
use serde_json::json;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::time::{Duration, Instant};
use succession::Succession;
use words::{Refusal, Request};

/// What stands in the epoll set besides what is kept.
const INBOX: u64 = 0;
const SIGNALS: u64 = 1;
const SUCCESSOR: u64 = 2;

/// Requests that are answered before anything else is looked at.
const IN_ONE_GO: usize = 64;
/// No list is longer, so that it fits into one answer.
const PAGE_BYTES: usize = 60_000;

pub fn run(args: &Hold) -> Result<()> {
    let (signo, json) = (args.common.signo, args.common.json);
    let failed = failure::of("this process".to_owned(), signo);
    let signal = Signal::new(signo).map_err(&failed)?;
    let limit = raise_limit();
    let epoll =
        Rc::new(epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|e| system("epoll_create", e))?);
    let inbox = Mailbox::open(signal, args.allow.options()).map_err(&failed)?;
    let ended = EndSignal::watch()?;
    for (source, key) in [(inbox.as_fd(), INBOX), (ended.as_fd(), SIGNALS)] {
        let added = epoll::add(&*epoll, source, EventData::new_u64(key), EventFlags::IN);
        added.map_err(|error| system("epoll_ctl", error))?;
    }
    let log = Log { json, verbose: args.verbose };
    let mut holder = Holder {
        inbox,
        kept: Kept::new(Rc::clone(&epoll), limit),
        epoll,
        log,
        succession: None,
        garbage: Vec::new(),
    };
    if let Some(old) = args.take_over {
        succession::take_over(&mut holder, old, signo)?;
    }
    let address = holder.inbox.address().map_err(&failed)?;
    let told =
        args.address_file.as_deref().map(|path| AddressFile::write(path, address)).transpose()?;
    log.event(&json!({ "event": "ready", "pid": std::process::id(), "signo": signo, "labels": holder.kept.len() }));
    if !json && rustix::termios::isatty(std::io::stderr()) {
        let me = std::process::id();
        log.tell(
            "ready",
            None,
            &format!("process {me}; in another terminal: sendfd store {me} LABEL WHAT"),
        );
    }
    let served = holder.serve();
    told.into_iter().for_each(AddressFile::remove);
    served
}

struct Holder {
    inbox: Mailbox,
    kept: Kept,
    epoll: Rc<OwnedFd>,
    log: Log,
    succession: Option<Succession>,
    /// To be closed where nobody waits for it.
    garbage: Vec<OwnedFd>,
}

/// Whether to go on.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Go,
    End,
}

impl Holder {
    fn serve(&mut self) -> Result<()> {
        let mut events = Vec::with_capacity(64);
        loop {
            self.close_garbage();
            events.clear();
            let timeout = self.next_deadline().map(until);
            match epoll::wait(
                &*self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                timeout.as_ref(),
            ) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(system("epoll_wait", error)),
            }
            for event in &events {
                match event.data.u64() {
                    INBOX | SUCCESSOR => {}
                    SIGNALS => {
                        self.tell_of_the_end();
                        return Ok(());
                    }
                    key => self.drop_gone(key),
                }
            }
            if self.receive() == Next::End {
                return Ok(());
            }
            self.expire();
            self.look_after_succession();
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let succession = self.succession.as_ref().map(|succession| succession.until);
        self.kept.next_expiry().into_iter().chain(succession).min()
    }

    fn close_garbage(&mut self) {
        let garbage = std::mem::take(&mut self.garbage);
        if !garbage.is_empty() {
            sendfd_core::release(garbage);
        }
    }

    fn tell_of_the_end(&self) {
        let labels: Vec<&str> = self.kept.after(None).map(|(label, _)| label.as_str()).collect();
        if !labels.is_empty() {
            self.log.tell(
                "end",
                None,
                &format!("ends by a signal, and closes {}", labels.join(" ")),
            );
        }
    }

    fn drop_gone(&mut self, key: u64) {
        if let Some((label, entry)) = self.kept.take_gone(key) {
            self.log.tell(
                "gone",
                Some(&label),
                &format!("dropped, its other end has gone: {}", entry.what),
            );
            self.garbage.extend(entry.fds);
        }
    }

    fn expire(&mut self) {
        let now = Instant::now();
        while let Some((label, entry)) = self.kept.take_expired(now) {
            self.log.tell(
                "expired",
                Some(&label),
                &format!("dropped, its time is over: {}", entry.what),
            );
            self.garbage.extend(entry.fds);
        }
    }

    fn receive(&mut self) -> Next {
        for _ in 0..IN_ONE_GO {
            match self.inbox.recv(Some(Duration::ZERO)) {
                Ok(parcel) => {
                    if self.answer(parcel) == Next::End {
                        return Next::End;
                    }
                }
                Err(error) if matches!(error.name(), "EAGAIN" | "EINTR") => return Next::Go,
                Err(error) => {
                    self.log.tell("error", None, &error.to_string());
                    match error.parcel() {
                        // Whoever asked is told at once that there will be no answer.
                        Some(parcel) => drop(self.inbox.discard(parcel.id)),
                        // No room for a connection: it waits, and is readable all the while.
                        None => std::thread::sleep(Duration::from_millis(100)),
                    }
                }
            }
        }
        Next::Go
    }

    fn answer(&mut self, mut parcel: Parcel) -> Next {
        if parcel.reply.is_none() {
            let what = crate::describe::text_of(&crate::describe::all(&parcel.fds));
            let from = format!("process {} sent something that is no request", parcel.info.pid);
            self.log.tell("stray", None, &format!("{from}; closed: {what}"));
            self.garbage.extend(parcel.fds);
            return Next::Go;
        }
        let request = match words::parse_request(&parcel.data, parcel.fds.len()) {
            Ok(request) => request,
            Err(refusal) => {
                self.refuse(parcel, &refusal);
                return Next::Go;
            }
        };
        if let Some(next) = self.answer_in_succession(&request, &mut parcel) {
            return next;
        }
        self.act(request, parcel);
        Next::Go
    }

    fn act(&mut self, request: Request, mut parcel: Parcel) {
        let (pid, uid) = (parcel.info.pid, parcel.info.uid);
        let trace = |log: Log, event: &str, label: &str, what: &str| {
            log.trace(
                event,
                Some(label),
                &format!("{event} by process {pid} of user {uid}: {what}"),
            );
        };
        match request {
            Request::Store { label, expire, replace } => {
                let entry = Entry::new(std::mem::take(&mut parcel.fds), expire, pid, uid);
                let what = entry.what.clone();
                match self.kept.put(label.clone(), entry, replace) {
                    Ok(before) => {
                        trace(self.log, "stored", &label, &what);
                        self.garbage.extend(before.map(|entry| entry.fds).unwrap_or_default());
                        reply(parcel, "ok", &[]);
                    }
                    Err((refusal, fds)) => {
                        self.garbage.extend(fds);
                        self.refuse(parcel, &refusal);
                    }
                }
            }
            Request::Fetch { label } => match self.kept.get(&label) {
                Some(entry) => {
                    if reply(parcel, "ok", &numbers(&entry.fds)) {
                        trace(self.log, "fetched", &label, &entry.what);
                    }
                }
                None => self.refuse(parcel, &Refusal::NoSuchLabel),
            },
            Request::Take { label } => match self.kept.get(&label) {
                Some(entry) => {
                    // An asker who has gone gets nothing, and what it asked for stays here.
                    if reply(parcel, "ok", &numbers(&entry.fds)) {
                        trace(self.log, "taken", &label, &entry.what);
                        self.forget(&label);
                    }
                }
                None => self.refuse(parcel, &Refusal::NoSuchLabel),
            },
            Request::Drop { label } => match self.kept.get(&label) {
                Some(entry) => {
                    trace(self.log, "dropped", &label, &entry.what);
                    self.forget(&label);
                    reply(parcel, "ok", &[]);
                }
                None => self.refuse(parcel, &Refusal::NoSuchLabel),
            },
            Request::List { after } => {
                let list = self.list(after.as_deref());
                reply(parcel, &list, &[]);
            }
            Request::HandOver { to } => self.begin_succession(to.as_deref(), parcel),
            Request::Next { .. } | Request::Done => {
                self.refuse(parcel, &Refusal::BadRequest("hand-over comes first".to_owned()));
            }
        }
    }

    fn forget(&mut self, label: &str) {
        self.garbage.extend(self.kept.remove(label).map(|entry| entry.fds).unwrap_or_default());
    }

    fn list(&self, after: Option<&str>) -> String {
        let mut text = "ok".to_owned();
        for (label, entry) in self.kept.after(after) {
            let mut listed = entry.listed(label);
            listed.what = listed.what.chars().take(1000).collect();
            let line = listed.to_string();
            if text.len() + line.len() > PAGE_BYTES {
                text.push_str("\nmore");
                break;
            }
            text.push('\n');
            text.push_str(&line);
        }
        text
    }

    fn refuse(&mut self, mut parcel: Parcel, refusal: &Refusal) {
        self.garbage.append(&mut parcel.fds);
        reply(parcel, &refusal.to_string(), &[]);
    }
}

fn numbers(fds: &[OwnedFd]) -> Vec<RawFd> {
    fds.iter().map(AsRawFd::as_raw_fd).collect()
}

/// Whether the asker is still there to take the answer.
fn reply(parcel: Parcel, text: &str, fds: &[RawFd]) -> bool {
    parcel
        .reply
        .is_some_and(|place| place.send(Outgoing::from_raw(fds).data(text.as_bytes())).is_ok())
}

/// Lets this process have as many descriptors as it may, and tells how many.
fn raise_limit() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current.and_then(|most| most.try_into().ok()).unwrap_or(usize::MAX)
}

fn until(deadline: Instant) -> Timespec {
    let left = deadline.saturating_duration_since(Instant::now());
    Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: left.subsec_nanos().into(),
    }
}

fn system(call: &str, error: rustix::io::Errno) -> Failure {
    Failure::new(Status::Refused, format_args!("{call}: {error}"))
}
