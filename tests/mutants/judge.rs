//! What cargo-mutants asks whether a mutant of the core is noticed: the C tests.

// A mutant that does not compile is known before they run.
use sendfd as _;

use std::env;
use std::path::Path;
use std::process::{Command, exit};

fn main() {
    let judge = Path::new(env!("CARGO_MANIFEST_DIR")).join("judge");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(judge).env("CARGO", cargo).status().expect("the judge runs");
    exit(status.code().unwrap_or(1));
}
