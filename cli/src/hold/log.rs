//! What a holder tells of what happens to it. It never waits for a reader.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Timespec;
use serde_json::{Value, json};
use std::io::{self, Write};

#[derive(Debug, Clone, Copy)]
pub struct Log {
    pub json: bool,
    pub verbose: bool,
}

impl Log {
    /// What nobody asked for, or nobody else tells of.
    pub fn tell(self, event: &str, label: Option<&str>, text: &str) {
        if self.json {
            write_to(&mut io::stdout(), &json!({ "event": event, "label": label, "text": text }));
        } else {
            let label = label.map(|label| format!("{label}: ")).unwrap_or_default();
            write_to(&mut io::stderr(), &format_args!("sendfd hold: {label}{text}"));
        }
    }

    /// What somebody asked for.
    pub fn trace(self, event: &str, label: Option<&str>, text: &str) {
        if self.verbose {
            self.tell(event, label, text);
        }
    }

    /// For programs alone.
    pub fn event(self, value: &Value) {
        if self.json {
            write_to(&mut io::stdout(), value);
        }
    }
}

/// A line is dropped where it would have to wait, or nobody reads any more: what is kept matters more.
fn write_to<W: Write + std::os::fd::AsFd>(out: &mut W, line: &dyn std::fmt::Display) {
    let mut room = [PollFd::new(out, PollFlags::OUT)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let ready =
        matches!(poll(&mut room, Some(&now)), Ok(1)) && room[0].revents().contains(PollFlags::OUT);
    if ready {
        let _ = out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush());
    }
}
