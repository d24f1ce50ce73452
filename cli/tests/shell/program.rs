//! Starting the program, and waiting for what it says and how it ends.

use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// No test waits longer for anything.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

pub(crate) fn sendfd(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sendfd"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a program that has ended has said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn run(args: &[&str]) -> Said {
    Running::start(sendfd(args)).end()
}

pub(crate) fn ok(args: &[&str]) -> String {
    let said = run(args);
    assert_eq!(said.status, Some(0), "{args:?}: {said:?}");
    said.out
}

/// A program that runs, and is killed with this.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
    err: ChildStderr,
    /// Dropped with this, in time.
    _limit: mpsc::Sender<()>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Running {
        let mut child = command.spawn().expect("it starts");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let err = child.stderr.take().expect("piped");
        let (limit, ended) = mpsc::channel::<()>();
        let pid = child.id().to_string();
        let long = std::env::var_os("SENDFD_HOLD_ROUNDS").is_some();
        let most = if long { LIMIT * 60 } else { LIMIT };
        std::thread::spawn(move || {
            if ended.recv_timeout(most) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("process {pid} is killed, its time is over");
                let _ = Command::new("kill").args(["-s", "KILL", &pid]).status();
            }
        });
        Running { child, out, err, _limit: limit }
    }

    pub(crate) fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// The next line of its standard output.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).expect("it says it");
        line.trim_end().to_owned()
    }

    pub(crate) fn json(&mut self) -> Value {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.pid()]).status().expect("kill");
        assert!(sent.success());
    }

    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("it runs").count()
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Said {
        let (mut out, mut err) = (String::new(), String::new());
        self.out.read_to_string(&mut out).expect("text");
        self.err.read_to_string(&mut err).expect("text");
        let status = self.child.wait().expect("a child");
        Said { status: status.code(), out, err }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A holder that is ready.
pub(crate) fn holder(args: &[&str]) -> Running {
    let mut all = vec!["hold", "--json"];
    all.extend(args);
    let mut holder = Running::start(sendfd(&all));
    loop {
        if holder.json()["event"] == "ready" {
            return holder;
        }
    }
}

/// A new file with that text, and its name.
pub(crate) fn file(text: &str) -> (tempfile::TempPath, String) {
    let file = tempfile::NamedTempFile::new().expect("a place for it");
    std::fs::write(file.path(), text).expect("written");
    let path = file.into_temp_path();
    let name = path.to_str().expect("text").to_owned();
    (path, name)
}

pub(crate) fn open(name: &str) -> File {
    File::open(name).expect("it is there")
}
