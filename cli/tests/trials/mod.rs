//! Tests that are not all possible everywhere: those that are not are shown as ignored, with the reason after all others.

use libtest_mimic::{Arguments, Failed, Trial};
use std::process::ExitCode;

pub(crate) struct Case {
    trial: Trial,
    /// Its name, and what is missing.
    skipped: Option<(String, String)>,
}

impl Case {
    pub(crate) fn new(
        name: &str,
        missing: Option<String>,
        test: impl FnOnce() -> Result<(), Failed> + Send + 'static,
    ) -> Case {
        let trial = Trial::test(name, test).with_ignored_flag(missing.is_some());
        Case { trial, skipped: missing.map(|reason| (name.to_owned(), reason)) }
    }
}

pub(crate) fn run(cases: Vec<Case>) -> ExitCode {
    let arguments = Arguments::from_args();
    let (mut trials, mut skipped) = (Vec::new(), Vec::new());
    for case in cases {
        trials.push(case.trial);
        skipped.extend(case.skipped);
    }
    let quiet = arguments.list || std::env::var_os("NEXTEST").is_some();
    let conclusion = libtest_mimic::run(&arguments, trials);
    for (name, reason) in skipped.iter().filter(|_| !quiet) {
        println!("skipped {name}: {reason}");
    }
    conclusion.exit_code()
}
