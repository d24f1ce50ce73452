//! The C tests. Each `tests/c/*.c` is a program with several tests, and each test is run in a process
//! of its own against the shared library; some against the static one, too; and once more on what looks
//! like an older kernel. And the header, compiled alone as C and as C++.
//!
//! `make` has to have built the library.

mod compile;
mod older;
mod run;

use compile::{Compiler, Linked};
use libtest_mimic::{Arguments, Failed, Trial};
use older::OLDER;
use run::Command;
use std::process::ExitCode;
use std::sync::Arc;

/// Programs that are linked with the static library as well.
const ALSO_STATIC: [&str; 3] = ["fork", "late_signals", "promises_mailbox"];

const STANDARDS: [(&str, &str, &[&str]); 5] = [
    ("c99", "cc", &["-xc", "-std=c99", "-D_POSIX_C_SOURCE=200809L"]),
    ("c11", "cc", &["-xc", "-std=c11", "-D_POSIX_C_SOURCE=200809L"]),
    ("gnu11", "cc", &["-xc", "-std=gnu11"]),
    ("cxx11", "c++", &["-xc++", "-std=c++11"]),
    ("cxx17", "c++", &["-xc++", "-std=c++17"]),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let compiler = Arc::new(Compiler::new());
    // nextest starts this program once for each test.
    let only = arguments.filter.clone().filter(|_| arguments.exact);
    let mut suite = Suite { only, trials: Vec::new(), skipped: Vec::new() };
    for (standard, tool, options) in STANDARDS {
        let compiler = Arc::clone(&compiler);
        suite.trials.push(Trial::test(format!("header::{standard}"), move || {
            compiler.header(tool, options).map_err(Failed::from)
        }));
    }
    let strict = Arc::clone(&compiler);
    suite.trials.push(Trial::test(
        "header::strict_c99_is_told_what_it_needs",
        move || match strict.header("cc", &["-xc", "-std=c99"]) {
            Err(errors) if errors.contains("define _POSIX_C_SOURCE") => Ok(()),
            result => Err(format!("{result:?}").into()),
        },
    ));
    suite.add_programs(&compiler);

    let quiet = arguments.list || run::under_nextest();
    let skipped: Vec<_> = suite
        .skipped
        .into_iter()
        .filter(|(name, _)| !arguments.is_filtered_out(&Trial::test(name, || Ok(()))))
        .collect();
    let conclusion = libtest_mimic::run(&arguments, suite.trials);
    if !quiet {
        for (name, reason) in &skipped {
            println!("skipped {name}: {reason}");
        }
    }
    conclusion.exit_code()
}

struct Suite {
    /// The full name of the only test that is wanted.
    only: Option<String>,
    trials: Vec<Trial>,
    /// Those that cannot run here, and why.
    skipped: Vec<(String, String)>,
}

impl Suite {
    fn add_programs(&mut self, compiler: &Compiler) {
        let mut names = compiler.programs();
        names.retain(|name| self.wants(name));
        if self.only.is_none() {
            compiler.build_ahead(&names, &ALSO_STATIC);
        }
        for name in &names {
            let shared = compiler.program(name, Linked::Shared).map(Command::new);
            for older in OLDER.iter().filter(|older| older.runs(name)) {
                let command = shared.clone().and_then(|plain| older.command(compiler, plain));
                self.add(&format!("{}::{name}", older.name), command);
            }
            self.add(name, shared);
            if ALSO_STATIC.contains(&name.as_str()) {
                let program = compiler.program(name, Linked::Static).map(Command::new);
                self.add(&format!("static::{name}"), program);
            }
        }
    }

    fn wants(&self, program: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.split("::").any(|part| part == program))
    }

    /// Adds the tests of one program; where there is no program, a test that fails with the reason.
    fn add(&mut self, name: &str, command: Result<Command, String>) {
        if self.only.as_ref().is_some_and(|only| !only.starts_with(&format!("{name}::"))) {
            return;
        }
        let listed = command.and_then(|command| Ok((command.list()?, command)));
        let (tests, command) = match listed {
            Ok(listed) => listed,
            Err(error) => {
                let failing = move || Err(Failed::from(error));
                return self.trials.push(Trial::test(format!("{name}::builds"), failing));
            }
        };
        for test in tests {
            let (command, title) = (command.clone(), format!("{name}::{}", test.name));
            let trial = Trial::ignorable_test(&title, move || command.run(&test.name));
            self.trials.push(trial.with_ignored_flag(test.missing.is_some()));
            self.skipped.extend(test.missing.map(|reason| (title, reason)));
        }
    }
}
