//! Making the programs with the C compiler, where they are not up to date.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;
use std::{env, fs, process, thread};

const WARNINGS: [&str; 3] = ["-Wall", "-Wextra", "-Werror"];

#[derive(Clone, Copy)]
pub(crate) enum Linked {
    Shared,
    Static,
}

pub(crate) struct Compiler {
    root: PathBuf,
    out: PathBuf,
}

impl Compiler {
    pub(crate) fn new() -> Compiler {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("c_abi");
        fs::create_dir_all(&out).expect("a directory for the programs");
        Compiler { root: root.canonicalize().unwrap_or(root), out }
    }

    /// The names of all programs.
    pub(crate) fn programs(&self) -> Vec<String> {
        let mut names: Vec<_> = files(&self.root.join("tests/c"), "c")
            .iter()
            .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
            .collect();
        names.sort();
        names
    }

    /// Builds several at once; what goes wrong comes out where each is asked for.
    pub(crate) fn build_ahead(&self, shared: &[String], also_static: &[&str]) {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            for part in shared.chunks(shared.len().div_ceil(workers).max(1)) {
                scope.spawn(move || {
                    for name in part {
                        let _ = self.program(name, Linked::Shared);
                    }
                });
            }
            scope.spawn(|| {
                for name in also_static {
                    let _ = self.program(name, Linked::Static);
                }
            });
        });
    }

    pub(crate) fn program(&self, name: &str, linked: Linked) -> Result<PathBuf, String> {
        let library = self.root.join(match linked {
            Linked::Shared => "build/libsendfd.so",
            Linked::Static => "build/libsendfd.a",
        });
        if !library.exists() {
            return Err(format!("{} is not there: run `make` first", library.display()));
        }
        let directory = self.root.join("tests/c");
        let harness = directory.join("harness");
        let mut sources = files(&harness, "c");
        sources.push(directory.join(format!("{name}.c")));
        let mut inputs = sources.clone();
        inputs.extend(files(&harness, "h"));
        inputs.extend([self.header_file(), library.clone()]);

        let mut cc = self.tool("cc");
        cc.args(["-std=gnu11", "-O1", "-g", "-pthread"]).args(WARNINGS);
        cc.arg("-I").arg(harness).arg("-I").arg(self.root.join("include"));
        cc.args(&sources);
        match linked {
            Linked::Shared => {
                cc.arg("-L").arg(self.root.join("build")).arg("-lsendfd");
                cc.arg(format!("-Wl,-rpath,{}", self.root.join("build").display()));
            }
            Linked::Static => {
                cc.arg("-static").arg(library).args(["-ldl", "-lm", "-lrt", "-lutil"]);
            }
        }
        let suffix = match linked {
            Linked::Shared => "",
            Linked::Static => "-static",
        };
        make(&self.out.join(format!("{name}{suffix}")), &inputs, cc)
    }

    /// The program that makes the kernel look older.
    pub(crate) fn refuse(&self) -> Result<PathBuf, String> {
        let source = self.root.join("tests/c-tools/refuse.c");
        let mut cc = self.tool("cc");
        cc.args(["-std=gnu11", "-O1"]).args(WARNINGS).arg(&source);
        make(&self.out.join("refuse"), &[source], cc)
    }

    /// The library that takes the inodes of pidfds away.
    pub(crate) fn no_inodes(&self) -> Result<PathBuf, String> {
        let source = self.root.join("tests/c-tools/no_inodes.c");
        let mut cc = self.tool("cc");
        cc.args(["-std=gnu11", "-O1", "-shared", "-fPIC"]).args(WARNINGS).arg(&source);
        make(&self.out.join("no_inodes.so"), &[source], cc)
    }

    /// Whether the header alone is clean for a compiler with these options.
    pub(crate) fn header(&self, tool: &str, options: &[&str]) -> Result<(), String> {
        let mut compiler = self.tool(tool);
        compiler.args(options).args(WARNINGS).args(["-pedantic", "-fsyntax-only"]);
        output_of(compiler.arg(self.header_file()))
    }

    fn header_file(&self) -> PathBuf {
        self.root.join("include/sendfd.h")
    }

    /// `cc` or `c++`, or what CC or CXX name instead.
    fn tool(&self, default: &str) -> Command {
        let variable = if default == "cc" { "CC" } else { "CXX" };
        let mut command = Command::new(env::var_os(variable).unwrap_or_else(|| default.into()));
        command.current_dir(&self.root);
        command
    }
}

fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("the directory of the C tests");
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.filter(|path| path.extension() == Some(OsStr::new(extension))).collect()
}

/// Runs `cc`, unless `output` is newer than all `inputs`. The file appears at once, whole: several
/// test processes may be at it.
fn make(output: &Path, inputs: &[PathBuf], mut cc: Command) -> Result<PathBuf, String> {
    let made = modified(output);
    if made.is_none() || inputs.iter().any(|input| modified(input) >= made) {
        let unfinished = output.with_extension(format!("{}", process::id()));
        output_of(cc.arg("-o").arg(&unfinished))?;
        fs::rename(&unfinished, output)
            .map_err(|error| format!("{}: {error}", output.display()))?;
    }
    Ok(output.to_owned())
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

/// Nothing, if the compiler is content; what it says, if not.
fn output_of(compiler: &mut Command) -> Result<(), String> {
    match compiler.output() {
        Ok(output) if output.status.success() && output.stderr.is_empty() => Ok(()),
        Ok(output) => Err(format!("{compiler:?}\n{}", String::from_utf8_lossy(&output.stderr))),
        Err(error) => Err(format!("{compiler:?}: {error}")),
    }
}
