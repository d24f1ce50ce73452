//! Running one test as a process, with a time limit.

use libtest_mimic::{Completion, Failed};
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use std::{env, thread};

/// Each test has a shorter limit of its own; this one is for a test that is beyond that.
const LIMIT: Duration = Duration::from_secs(120);
const SKIPPED: i32 = 77;

/// A test of a program, and what is missing here to run it.
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) missing: Option<String>,
}

/// A program with the arguments that come before the name of a test.
#[derive(Clone)]
pub(crate) struct Command {
    program: PathBuf,
    arguments: Vec<OsString>,
}

impl Command {
    pub(crate) fn new(program: PathBuf) -> Command {
        Command { program, arguments: Vec::new() }
    }

    /// The same, started by `launcher` with `options`.
    pub(crate) fn on_top_of(self, launcher: &Path, options: Vec<OsString>) -> Command {
        let mut arguments = options;
        arguments.push(self.program.into());
        arguments.extend(self.arguments);
        Command { program: launcher.to_owned(), arguments }
    }

    pub(crate) fn list(&self) -> Result<Vec<Listed>, String> {
        let output = self.with("--list").output().map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() || text.is_empty() {
            let errors = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{self:?} --list: {}\n{text}{errors}", output.status));
        }
        let listed = |line: &str| match line.split_once('\t') {
            Some((name, missing)) => Listed { name: name.into(), missing: Some(missing.into()) },
            None => Listed { name: line.into(), missing: None },
        };
        Ok(text.lines().map(listed).collect())
    }

    pub(crate) fn run(&self, test: &str) -> Result<Completion, Failed> {
        let (status, output) = self.run_in_group(test).map_err(|error| error.to_string())?;
        match status {
            Some(status) if status.success() => Ok(Completion::Completed),
            Some(status) if status.code() == Some(SKIPPED) => skipped(&output),
            Some(status) => match status.signal() {
                Some(signal) => Err(format!("killed by signal {signal}\n{output}").into()),
                None => Err(format!("{status}\n{output}").into()),
            },
            None => Err(format!("still running after {LIMIT:?}\n{output}").into()),
        }
    }

    /// Runs it in a process group of its own, of which nothing is left afterwards. No status: it was
    /// over the limit.
    fn run_in_group(&self, test: &str) -> std::io::Result<(Option<ExitStatus>, String)> {
        // A file, because a pipe has no end while a forgotten grandchild holds it.
        let path = env::temp_dir().join(format!(
            "c_abi-{}-{:?}",
            std::process::id(),
            thread::current().id()
        ));
        let file = File::create(&path)?;
        let mut command = self.with(test);
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
        let child = command.spawn()?;
        let group = child.id();
        let (sender, receiver) = mpsc::channel();
        let waiter = thread::spawn(move || sender.send(wait(child)));
        let limit = LIMIT * env_number("SENDFD_TEST_SLOWER").max(1);
        let status = receiver.recv_timeout(limit).ok().transpose()?;
        kill_group(group);
        let _ = waiter.join();
        let output = fs::read(&path)?;
        fs::remove_file(&path)?;
        Ok((status, String::from_utf8_lossy(&output).into_owned()))
    }

    fn with(&self, argument: &str) -> std::process::Command {
        let mut command = std::process::Command::new(&self.program);
        command.args(&self.arguments).arg(argument);
        command
    }
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.program.display(), self.arguments)
    }
}

fn wait(mut child: Child) -> std::io::Result<ExitStatus> {
    child.wait()
}

fn kill_group(leader: u32) {
    let script = format!("kill -s KILL -- -{leader} 2>/dev/null");
    let _ = std::process::Command::new("sh").args(["-c", &script]).status();
}

fn env_number(name: &str) -> u32 {
    env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(0)
}

pub(crate) fn under_nextest() -> bool {
    env::var_os("NEXTEST").is_some()
}

/// What turned out to be impossible only while it ran. nextest has no word for that but "passed".
fn skipped(output: &str) -> Result<Completion, Failed> {
    let reason = output.lines().find(|line| line.starts_with("SKIPPED")).unwrap_or(output).trim();
    if under_nextest() {
        return Err(
            format!("cannot run here, and nextest would show it as passed: {reason}").into()
        );
    }
    Ok(Completion::ignored_with(reason))
}
