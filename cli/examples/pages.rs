//! Writes sendfd.1 and the completions into a directory: `pages DIRECTORY`.
#![allow(missing_docs, dead_code, unreachable_pub, reason = "the definitions are the program's")]

#[path = "../src/args.rs"]
mod args;
#[path = "../src/failure.rs"]
mod failure;
#[path = "../src/recipient.rs"]
mod recipient;
#[path = "../src/users.rs"]
mod users;

use clap::CommandFactory;
use clap_complete::{Shell, generate_to};
use clap_mangen::roff::{Roff, bold, roman};
use std::fs::File;
use std::io::{Error, Result, Write};
use std::path::Path;

fn main() -> Result<()> {
    let place = std::env::args_os().nth(1).ok_or_else(|| Error::other("usage: pages DIRECTORY"))?;
    let place = Path::new(&place);
    let mut command = args::Cli::command();
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut command, "sendfd", place)?;
    }
    let mut out = File::create(place.join("sendfd.1"))?;
    page(&mut out, command)
}

/// One page for the program and its commands, which are short.
fn page(out: &mut File, mut command: clap::Command) -> Result<()> {
    command.build();
    let man = clap_mangen::Man::new(command.clone());
    man.render_title(out)?;
    man.render_name_section(out)?;
    man.render_synopsis_section(out)?;
    man.render_description_section(out)?;
    let mut roff = Roff::new();
    roff.control("SH", ["COMMANDS"]);
    roff.to_writer(out)?;
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        let mut text = Vec::new();
        let man = clap_mangen::Man::new(sub.clone());
        man.render_synopsis_section(&mut text)?;
        man.render_description_section(&mut text)?;
        man.render_options_section(&mut text)?;
        let text = String::from_utf8(text).map_err(Error::other)?;
        // Sections of a page become parts of one of its sections.
        let text: String = text
            .lines()
            .filter(|line| !line.starts_with(".ie ") && !line.starts_with(".el "))
            .map(|line| match line.strip_prefix(".SH ") {
                Some("SYNOPSIS") => format!(".SS {}\n", sub.get_name()),
                Some(_) => ".PP\n".to_owned(),
                None => format!("{line}\n"),
            })
            .collect();
        out.write_all(text.as_bytes())?;
    }
    json(out)?;
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    roff.text([roman(args::EXIT.trim_start_matches("Exit status: "))]);
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman("sendfd(3), sendfd(7)")]);
    roff.to_writer(out)
}

/// What programs read, from the file that the tests compare with what is printed.
fn json(out: &mut File) -> Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", ["JSON"]);
    roff.text([roman(
        "With --json, each result is one object, in a line of its own, on standard output; hold prints one for each \
         event. Keys and their meanings stay in later releases; others may be added, and so may words for a kind.",
    )]);
    for group in include_str!("json.txt").split("\n\n") {
        let mut lines = group.lines();
        let title = lines.next().unwrap_or_default();
        roff.control(
            "SS",
            [match title {
                "descriptor" => "Descriptors in what take and fetch print",
                "error" => "Errors, on standard error",
                command => command,
            }],
        );
        for line in lines {
            let mut words = line.splitn(3, ' ');
            let mut word = || words.next().ok_or_else(|| Error::other(line));
            let (key, sort, text) = (word()?, word()?, word()?);
            roff.control("TP", []);
            roff.text([bold(key), roman(format!(" ({})", sort.replace('|', " or ")))]);
            roff.text([roman(text)]);
        }
    }
    roff.to_writer(out)
}
