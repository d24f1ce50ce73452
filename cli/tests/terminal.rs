//! The program in a terminal, as tmux shows it: completion in the shells, help and tables.
#![forbid(unsafe_code)]

#[path = "shell/program.rs"]
#[allow(dead_code, reason = "the other tests use the rest")]
mod program;
mod trials;

use libtest_mimic::Failed;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use trials::Case;

type Test = fn(&Path) -> Result<(), Failed>;

const TESTS: [(&str, &[&str], Test); 5] = [
    ("bash_completes", &["tmux", "bash"], |place| completes(place, bash)),
    ("zsh_completes", &["tmux", "zsh"], |place| completes(place, zsh)),
    ("fish_completes", &["tmux", "fish"], |place| completes(place, fish)),
    ("help_fits_the_width", &["tmux"], help_fits),
    ("a_table_is_aligned", &["tmux"], table_is_aligned),
];

fn main() -> ExitCode {
    let cases = TESTS.map(|(name, programs, test)| {
        let missing: Vec<&str> = programs.iter().copied().filter(|one| !is_there(one)).collect();
        let missing = (!missing.is_empty()).then(|| format!("needs {}", missing.join(" and ")));
        Case::new(name, missing, move || test(tempfile::tempdir()?.path()))
    });
    trials::run(cases.into())
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|place| place.join(program).is_file())
}

/// A terminal of its own, with one command in it.
struct Terminal {
    place: TempDir,
}

impl Terminal {
    fn start(width: u32, mut command: Command) -> Result<Terminal, Failed> {
        let terminal = Terminal { place: tempfile::tempdir()? };
        let mut words = vec![command.get_program().to_owned()];
        words.extend(command.get_args().map(ToOwned::to_owned));
        let size = width.to_string();
        let mut tmux = terminal.tmux();
        tmux.args(["new-session", "-d", "-x", &size, "-y", "60", "--"]).args(words);
        tmux.envs(
            command.env("TERM", "screen").get_envs().filter_map(|(key, value)| Some((key, value?))),
        );
        done(tmux.output()?)?;
        Ok(terminal)
    }

    fn tmux(&self) -> Command {
        let mut tmux = Command::new("tmux");
        tmux.arg("-S").arg(self.place.path().join("tmux")).args(["-f", "/dev/null"]);
        tmux
    }

    fn types(&self, keys: &[&str]) -> Result<(), Failed> {
        done(self.tmux().arg("send-keys").args(keys).output()?).map(drop)
    }

    fn screen(&self) -> Result<Vec<String>, Failed> {
        let shown = done(self.tmux().args(["capture-pane", "-p"]).output()?)?;
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        Ok(shown.trim_end().lines().map(|line| line.trim_end().to_owned()).collect())
    }

    /// Waits until it shows such lines.
    fn shows(&self, what: &str, is_it: impl Fn(&[String]) -> bool) -> Result<Vec<String>, Failed> {
        let end = Instant::now() + program::LIMIT;
        loop {
            let screen = self.screen()?;
            if is_it(&screen) {
                return Ok(screen);
            }
            if Instant::now() > end {
                return Err(format!("no {what}, but:\n{}", screen.join("\n")).into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux().arg("kill-server").output();
    }
}

fn done(output: Output) -> Result<Output, Failed> {
    if output.status.success() { Ok(output) } else { Err(format!("{output:?}").into()) }
}

fn our_program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_sendfd"))
}

/// Makes the completions, and gives the place where they are.
fn pages(place: &Path) -> Result<PathBuf, Failed> {
    let pages = our_program().with_file_name("examples").join("pages");
    let made = place.join("pages");
    std::fs::create_dir(&made)?;
    done(
        Command::new(&pages)
            .arg(&made)
            .output()
            .map_err(|error| format!("{}: {error}", pages.display()))?,
    )?;
    Ok(made)
}

/// With the file that is sourced, as bash-completion does it.
fn bash(place: &Path, pages: &Path) -> Result<Command, Failed> {
    let start = place.join("bashrc");
    std::fs::write(&start, format!("PS1='> '; . {}/sendfd.bash\n", pages.display()))?;
    let mut bash = Command::new("bash");
    bash.arg("--noprofile").arg("--rcfile").arg(start).arg("-i");
    Ok(bash)
}

fn zsh(place: &Path, pages: &Path) -> Result<Command, Failed> {
    let start = format!(
        "PS1='> '; fpath=({} $fpath); autoload -U compinit; compinit -u -D\n",
        pages.display()
    );
    std::fs::write(place.join(".zshrc"), start)?;
    let mut zsh = Command::new("zsh");
    zsh.arg("-i").env("ZDOTDIR", place);
    Ok(zsh)
}

/// What it suggests as one types would look the same.
fn fish(place: &Path, pages: &Path) -> Result<Command, Failed> {
    let completions = place.join("data/fish/vendor_completions.d");
    std::fs::create_dir_all(&completions)?;
    std::fs::copy(pages.join("sendfd.fish"), completions.join("sendfd.fish"))?;
    let mut fish = Command::new("fish");
    fish.args(["-C", "set -g fish_autosuggestion_enabled 0; set -g fish_greeting; function fish_prompt; echo '> '; end"]);
    fish.env("XDG_CONFIG_HOME", place.join("config"));
    fish.env(
        "XDG_DATA_DIRS",
        format!("{}:/usr/local/share:/usr/share", place.join("data").display()),
    );
    Ok(fish)
}

/// Tab finishes commands, options and the names of files.
fn completes(
    place: &Path,
    shell: fn(&Path, &Path) -> Result<Command, Failed>,
) -> Result<(), Failed> {
    let mut command = shell(place, &pages(place)?)?;
    let path = std::env::var("PATH")?;
    let here = our_program().parent().unwrap_or(Path::new("/"));
    command.env("PATH", format!("{}:{path}", here.display())).env("HOME", place);
    let terminal = Terminal::start(100, command)?;
    let prompt = |screen: &[String]| screen.last().is_some_and(|line| line == ">");
    terminal.shows("prompt", prompt)?;
    std::fs::write(place.join("a-file-for-it"), "")?;
    let file = format!("sendfd take --address-file {}/a-fi", place.display());
    let finished = format!("> sendfd take --address-file {}/a-file-for-it", place.display());
    for (typed, expected) in [
        ("sendfd gi", "> sendfd give"),
        ("sendfd store --rep", "> sendfd store --replace"),
        ("sendfd take --addr", "> sendfd take --address-file"),
        (&file, &finished),
    ] {
        terminal.types(&["-l", typed])?;
        terminal.types(&["Tab"])?;
        terminal.shows(expected, |screen| screen.iter().any(|line| line.starts_with(expected)))?;
        terminal.types(&["C-u", "C-l"])?;
        terminal.shows("prompt", |screen| screen.len() == 1 && prompt(screen))?;
    }
    // All of them, where nothing tells which is meant.
    terminal.types(&["-l", "sendfd "])?;
    terminal.types(&["Tab", "Tab"])?;
    let all = ["give", "take", "hold", "store", "fetch", "list", "drop", "ls"];
    let list = |screen: &[String]| {
        let shown = screen.join(" ");
        let words: Vec<&str> = shown.split_whitespace().collect();
        all.iter().all(|name| words.contains(name))
    };
    terminal.shows("list of commands", list).map(drop)
}

fn help_fits(_: &Path) -> Result<(), Failed> {
    for width in [60, 80] {
        for command in ["--help", "give --help", "take --help", "store --help", "hold --help"] {
            let mut shell = Command::new("sh");
            let script = format!("\"$0\" {command}; echo '=end='; exec cat");
            shell.arg("-c").arg(script).arg(our_program());
            // Wider than what is asked for, so that a line that is too long is seen as that.
            let terminal = Terminal::start(width, shell)?;
            let shown =
                terminal.shows("end", |screen| screen.iter().any(|line| line == "=end="))?;
            // A word that was cut begins in the last column and ends in the first.
            let joined = done(terminal.tmux().args(["capture-pane", "-p", "-J"]).output()?)?;
            let joined = String::from_utf8_lossy(&joined.stdout).into_owned();
            if joined.trim_end().lines().count() != shown.len() {
                return Err(
                    format!("{command} is wider than {width}:\n{}", shown.join("\n")).into()
                );
            }
        }
    }
    Ok(())
}

fn table_is_aligned(_: &Path) -> Result<(), Failed> {
    let holder = program::holder(&["--signo", "60"]);
    let mut shell = Command::new("sh");
    shell.arg("-c").arg("\"$0\" ls; echo '=end='; exec cat").arg(our_program());
    let terminal = Terminal::start(120, shell)?;
    let shown = terminal.shows("end", |screen| screen.iter().any(|line| line == "=end="))?;
    let title = shown.first().ok_or("nothing")?;
    let pid = holder.pid();
    let row = shown
        .iter()
        .find(|line| line.split_whitespace().next() == Some(&pid))
        .ok_or("not shown")?;
    for (column, cell) in
        [("PID", pid.as_str()), ("COMMAND", "sendfd"), ("SIGNAL", "60"), ("KIND", "process")]
    {
        let at = title.find(column).ok_or(column)?;
        if !row.get(at..).is_some_and(|rest| rest.starts_with(cell)) {
            return Err(format!("no {cell} under {column}:\n{title}\n{row}").into());
        }
    }
    Ok(())
}
