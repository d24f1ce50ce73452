//! Becoming a command that is given descriptors, as `sd_listen_fds` finds them.

use crate::args::Become;
use crate::failure::{Failure, Result, Status};
use rustix::fs::{Access, access};
use std::ffi::{OsStr, OsString};
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// The first number that a command is given, by the convention of `LISTEN_FDS`.
const FIRST: RawFd = 3;

/// A command that was found.
#[derive(Debug)]
pub struct Prepared {
    program: PathBuf,
    args: Vec<OsString>,
    /// Where the first descriptor goes, if not where all do.
    places: Vec<RawFd>,
}

impl Prepared {
    /// `None` where no command is wanted.
    pub fn new(wanted: &Become) -> Result<Option<Prepared>> {
        let Some(args) = wanted.exec.clone() else { return Ok(None) };
        let program = find(&args[0])?;
        let standard = [(wanted.stdin, 0), (wanted.stdout, 1)];
        let places = standard.into_iter().filter_map(|(wanted, number)| wanted.then_some(number));
        let mut places: Vec<RawFd> = places.chain(wanted.fd).collect();
        places.sort_unstable();
        places.dedup();
        Ok(Some(Prepared { program, args, places }))
    }

    /// Comes back only with what went wrong.
    pub fn become_it(self, fds: Vec<OwnedFd>, names: &[String]) -> Failure {
        let refused = |message: String| Failure::new(Status::Refused, message);
        if fds.is_empty() {
            return refused(format!("no descriptor came for {}: send one", self.args[0].display()));
        }
        let mut placed = Vec::new();
        let mut rest = fds.into_iter();
        if let Some((last, others)) = self.places.split_last() {
            let Some(first) = rest.next() else { unreachable!("there is one") };
            for place in others {
                match first.try_clone() {
                    Ok(copy) => placed.push((*place, copy)),
                    Err(error) => return refused(format!("dup: {error}")),
                }
            }
            placed.push((*last, first));
        }
        let names = &names[names.len() - rest.len()..];
        for (number, fd) in (FIRST..).zip(rest) {
            if self.places.contains(&number) {
                return refused(format!(
                    "--fd {number} is where another of the descriptors goes: choose 3 + their count, or more"
                ));
            }
            placed.push((number, fd));
        }
        let env = environment(names);
        let shown = self.args[0].display().to_string();
        let error = sendfd_core::exec(self.program, self.args, env, &placed);
        refused(format!("cannot become {shown}: execve: {error}"))
    }
}

fn environment(names: &[String]) -> Vec<OsString> {
    let ours = ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_PIDFDID"];
    let entry =
        |name: &OsStr, value: &OsStr| [name, OsStr::new("="), value].iter().copied().collect();
    let mut env: Vec<OsString> = std::env::vars_os()
        .filter(|(name, _)| !ours.iter().any(|ours| name == ours))
        .map(|(name, value)| entry(&name, &value))
        .collect();
    if !names.is_empty() {
        env.push(format!("LISTEN_FDS={}", names.len()).into());
        env.push(format!("LISTEN_PID={}", std::process::id()).into());
        env.push(format!("LISTEN_FDNAMES={}", names.join(":")).into());
    }
    env
}

/// Where a shell would find it.
fn find(command: &OsStr) -> Result<PathBuf> {
    let usage = |why: &str| {
        Failure::new(Status::Usage, format_args!("--exec {}: {why}", command.display()))
    };
    let runs = |path: &PathBuf| path.is_file() && access(path, Access::EXEC_OK).is_ok();
    if command.as_bytes().contains(&b'/') {
        let path = PathBuf::from(command);
        return if runs(&path) {
            Ok(path)
        } else {
            Err(usage("no such program, or not executable"))
        };
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    let mut found = std::env::split_paths(&path).map(|place| place.join(command));
    found.find(runs).ok_or_else(|| usage("not found in PATH"))
}
