//! The recipes of docs/guide.md, as they stand there.
#![forbid(unsafe_code)]

#[path = "shell/program.rs"]
#[allow(dead_code, reason = "the other tests use the rest")]
mod program;
mod trials;

use libtest_mimic::Failed;
use program::Running;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use trials::Case;

const GUIDE: &str = include_str!("../../docs/guide.md");

const HAS_GPU: &str = "
import sendfd
from cuda.bindings import driver
result, = driver.cuInit(0)
assert result == driver.CUresult.CUDA_SUCCESS, result
";

fn main() -> ExitCode {
    let cases = GUIDE.split("\n## ").skip(1).map(|section| {
        let heading = section.lines().next().unwrap_or_default();
        let name = heading.to_lowercase().replace(' ', "_");
        match Recipe::parse(section) {
            Some(recipe) => Case::new(&name, recipe.missing(), move || recipe.run()),
            None => Case::new(&name, None, || Err("no commands, or not what they print".into())),
        }
    });
    trials::run(cases.collect())
}

struct Recipe {
    /// Who can run it: `root`, or whoever has a `gpu`.
    needs: &'static str,
    commands: &'static str,
    printed: &'static str,
}

impl Recipe {
    fn parse(section: &'static str) -> Option<Recipe> {
        let (_, rest) = section.split_once("\n```sh")?;
        let (needs, rest) = rest.split_once('\n')?;
        let (commands, rest) = rest.split_once("```\n")?;
        let (_, rest) = rest.split_once("\n```text\n")?;
        let (printed, _) = rest.split_once("```")?;
        Some(Recipe { needs: needs.trim(), commands, printed })
    }

    /// Why it cannot be run here.
    fn missing(&self) -> Option<String> {
        match self.needs {
            "root" if rustix::process::geteuid().is_root() => None,
            "root" => Some("needs root".to_owned()),
            "gpu" => {
                let mut python = Command::new("python3");
                python.args(["-c", HAS_GPU]).env("PYTHONPATH", top().join("python/lib"));
                let said = match python.output() {
                    Ok(tried) if tried.status.success() => return None,
                    Ok(tried) => String::from_utf8_lossy(&tried.stderr).into_owned(),
                    Err(error) => error.to_string(),
                };
                let last = said.lines().last().unwrap_or_default();
                Some(format!(
                    "needs sendfd and cuda-python in python3, and a GPU of NVIDIA: {last}"
                ))
            }
            // Nothing; or what `run` does not know either, which fails.
            _ => None,
        }
    }

    fn run(&self) -> Result<(), Failed> {
        if !["", "root", "gpu"].contains(&self.needs) {
            return Err(format!("nobody knows what `{}` needs", self.needs).into());
        }
        let place = tempfile::tempdir()?;
        // Where other users can run it.
        let program = tempfile::tempdir()?;
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755))?;
        std::fs::copy(env!("CARGO_BIN_EXE_sendfd"), program.path().join("sendfd"))?;
        let path = std::env::var("PATH")?;
        let mut bash = Command::new("bash");
        bash.args(["-c", self.commands])
            .current_dir(&place)
            .env("PATH", format!("{}:{path}", program.path().display()))
            .env("PYTHONPATH", top().join("python/lib"))
            .env("share", top().join("examples/python/cuda_share.py"));
        bash.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let said = Running::start(bash).end();
        if said.out == self.printed { Ok(()) } else { Err(format!("{said:?}").into()) }
    }
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
