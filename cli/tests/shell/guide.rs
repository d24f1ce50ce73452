//! The recipes of docs/guide.md, as they stand there.

use crate::program::Running;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// The commands under that heading, and what they print.
fn recipe(heading: &str) -> (String, String) {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide.md");
    let guide = std::fs::read_to_string(guide).expect("it is there");
    let section =
        guide.split("\n## ").find(|section| section.starts_with(heading)).expect("a section");
    let block = |language: &str| {
        let (_, rest) = section.split_once(&format!("\n```{language}")).expect("a block");
        let (_, code) = rest.split_once('\n').expect("more lines");
        code.split("\n```").next().expect("its end").to_owned() + "\n"
    };
    (block("sh"), block("text"))
}

fn run(heading: &str) {
    let (commands, printed) = recipe(heading);
    let place = tempfile::tempdir().expect("a place");
    // Where other users can run it.
    let program = tempfile::tempdir().expect("a place");
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("ours");
    std::fs::copy(env!("CARGO_BIN_EXE_sendfd"), program.path().join("sendfd")).expect("a copy");
    let path = std::env::var("PATH").expect("set");
    let mut bash = Command::new("bash");
    bash.args(["-c", &commands])
        .current_dir(&place)
        .env("PATH", format!("{}:{path}", program.path().display()));
    bash.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let said = Running::start(bash).end();
    assert_eq!(said.out, printed, "{said:?}");
}

/// None is left out that is in the guide.
#[test]
fn every_recipe_is_run() {
    let guide = include_str!("../../../docs/guide.md");
    let tests = include_str!("guide.rs");
    for heading in guide.lines().filter_map(|line| line.strip_prefix("## ")) {
        assert!(tests.contains(&format!("run(\"{heading}\")")), "no test for {heading}");
    }
}

#[test]
fn a_server_is_replaced() {
    run("A server is replaced without a lost request");
}

#[test]
fn an_unmodified_server_is_started() {
    run("An unmodified server on a socket that somebody else has opened");
}

#[test]
fn sockets_survive() {
    run("Sockets survive a crash");
}

#[test]
fn a_privileged_helper_opens_it() {
    if rustix::process::geteuid().is_root() {
        run("A privileged helper opens a device for a plain program");
    } else {
        eprintln!("skipped: only root becomes another user");
    }
}

#[test]
fn memory_is_shared() {
    run("Memory shared by label");
}

#[test]
fn a_container_is_reached() {
    if rustix::process::geteuid().is_root() {
        run("Into a container");
    } else {
        eprintln!("skipped: only root makes network namespaces");
    }
}
