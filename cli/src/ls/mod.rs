//! `sendfd ls`: the inboxes that can be seen.

mod sockets;
mod tasks;

use crate::args::Ls;
use crate::failure::{Failure, Result, Status};
use crate::{output, users};
use serde_json::{Value, json};
use sockets::Socket;
use std::collections::{BTreeMap, HashMap};
use tasks::Task;

/// One inbox: the name it listens on, and the sockets of its senders.
#[derive(Debug, Default)]
struct Inbox {
    listens: bool,
    guests: bool,
    uid: Option<u32>,
    senders: usize,
    /// Connections that the receiver has not looked at yet.
    pending: u32,
    with_mail: usize,
    bytes: u64,
    task: Option<Task>,
}

pub fn run(args: &Ls) -> Result<()> {
    let sockets = sockets::all().map_err(|error| {
        Failure::new(
            Status::Refused,
            format_args!("neither sock_diag nor /proc/net/unix can be read: {error}"),
        )
    })?;
    let mut inboxes = collect(&sockets);
    let wanted = inboxes.keys().map(|(identity, _)| identity.as_str()).collect();
    let tasks = tasks::find(wanted);
    for ((identity, _), inbox) in &mut inboxes {
        inbox.task = tasks.get(identity).copied();
    }
    let mut sorted: Vec<(&(String, i32), &Inbox)> = inboxes.iter().collect();
    sorted.sort_by_key(|((identity, signo), inbox)| {
        (inbox.task.map(|task| (task.pid, task.id)), *signo, identity.clone())
    });
    if args.json {
        let lines: Vec<String> =
            sorted.iter().map(|(key, inbox)| inbox.json(key).to_string()).collect();
        return if lines.is_empty() { Ok(()) } else { output::line(&lines.join("\n")) };
    }
    let users = users::names();
    let rows: Vec<Vec<String>> =
        sorted.iter().map(|((_, signo), inbox)| inbox.row(*signo, &users)).collect();
    output::table(
        &["PID", "COMMAND", "USER", "SIGNAL", "KIND", "GUESTS", "SENDERS", "WAITING"],
        &rows,
    )
}

/// By identity and signal number.
fn collect(sockets: &[Socket]) -> BTreeMap<(String, i32), Inbox> {
    let mut inboxes: BTreeMap<(String, i32), Inbox> = BTreeMap::new();
    for socket in sockets {
        let mut parts = socket.name.split('/').skip(1);
        let (Some(identity), Some(signo)) = (parts.next(), parts.next()) else { continue };
        let (Ok(signo), at) = (signo.parse(), parts.next()) else { continue };
        let inbox = inboxes.entry((identity.to_owned(), signo)).or_default();
        match (socket.listens, at) {
            (true, None) => {
                inbox.listens = true;
                inbox.uid = socket.uid;
                inbox.pending += socket.waiting;
            }
            (true, Some(_)) => {
                inbox.guests = true;
                inbox.pending += socket.waiting;
            }
            (false, _) => {
                inbox.senders += 1;
                inbox.with_mail += usize::from(socket.waiting > 0);
                inbox.bytes += u64::from(socket.waiting);
            }
        }
    }
    // What is left of one that is closed: connections that are about to end.
    inboxes.retain(|_, inbox| inbox.listens);
    inboxes
}

impl Inbox {
    fn kind(&self) -> &'static str {
        match self.task {
            Some(task) if task.id != task.pid => "thread",
            Some(_) => "process",
            None => "?",
        }
    }

    fn json(&self, (identity, signo): &(String, i32)) -> Value {
        json!({
            "address": format!("sendfd.1/{identity}/{signo}"),
            "pid": self.task.map(|task| task.id),
            "process": self.task.map(|task| task.pid),
            "command": self.task.and_then(tasks::command),
            "uid": self.uid,
            "signo": signo,
            "guests": self.guests,
            "senders": self.senders,
            "senders_new": self.pending,
            "senders_waiting": self.with_mail,
            "bytes_waiting": self.bytes,
        })
    }

    fn row(&self, signo: i32, users: &HashMap<u32, String>) -> Vec<String> {
        let unknown = || "?".to_owned();
        let user = |uid| users.get(&uid).cloned().unwrap_or_else(|| uid.to_string());
        let new = (self.pending > 0).then(|| format!("{} new", self.pending));
        let mail = || format!("{} bytes from {}", self.bytes, self.with_mail);
        let waiting: Vec<String> = new.into_iter().chain((self.with_mail > 0).then(mail)).collect();
        let waiting = if waiting.is_empty() { "-".to_owned() } else { waiting.join(", ") };
        vec![
            self.task.map_or_else(unknown, |task| task.id.to_string()),
            self.task.and_then(tasks::command).unwrap_or_else(unknown),
            self.uid.map_or_else(unknown, user),
            signo.to_string(),
            self.kind().to_owned(),
            if self.guests { "yes" } else { "no" }.to_owned(),
            self.senders.to_string(),
            waiting,
        ]
    }
}
