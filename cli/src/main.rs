//! `sendfd`: hands open descriptors from process to process, in the shell.
#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "a program; what it does is told by its help")]
#![allow(unreachable_pub, reason = "a program, in modules")]

mod address_file;
mod args;
mod become_command;
mod client;
mod describe;
mod failure;
mod give;
mod hold;
mod ls;
mod output;
mod recipient;
mod signals;
mod take;
mod users;
mod what;

use args::{Cli, Command};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let (name, json, done) = match Cli::parse().command {
        Command::Give(args) => ("give", args.common.json, give::run(&args)),
        Command::Take(args) => ("take", args.common.json, take::run(&args)),
        Command::Hold(args) => ("hold", args.common.json, hold::run(&args)),
        Command::Store(args) => ("store", args.common.json, client::store(&args)),
        Command::Fetch(args) => ("fetch", args.common.json, client::fetch(&args)),
        Command::List(args) => ("list", args.common.json, client::list(&args)),
        Command::Drop(args) => ("drop", args.common.json, client::drop_label(&args)),
        Command::Ls(args) => ("ls", args.json, ls::run(&args)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(name, json),
    }
}
