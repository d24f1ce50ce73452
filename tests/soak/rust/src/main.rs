//! The sender of the soak test in Rust: the same as `sender.c`, with the crate and without unsafe.
//!
//!     sendfd-soak DIR KIND BASE SEED [brief]
#![forbid(unsafe_code)]

mod dice;
mod paper;
mod sender;

use dice::Dice;
use paper::{Count, Papers, now};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sender::Sender;
use std::error::Error;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;

pub(crate) const SMALL_TABLE: u32 = 12;
const FOUR_THREADS: u32 = 11;
const MS: u64 = 1_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, place, kind, base, seed, how @ ..] = &args[..] else {
        return Err("usage: sendfd-soak DIR KIND BASE SEED [brief]".into());
    };
    let (kind, brief) = (kind.parse()?, !how.is_empty());
    let inherited = descriptors()?;
    let papers = Papers::open(Path::new(place), base.parse()?, kind + if brief { 100 } else { 0 })?;
    if inherited.len() != 3 {
        papers.fault(&format!("a fresh image has {inherited:?}"));
    }
    let table = if kind == SMALL_TABLE { 48 } else { 4096 };
    limit_descriptors(table)?;
    let begun_with = descriptors()?;
    let sender = Sender::new(papers, kind, table);
    let mut dice = Dice::new(seed.parse()?);

    if brief {
        for _ in 0..dice.below(30) {
            if !sender.is_ending()? {
                sender.make_and_send(&mut dice, 0)?;
            }
        }
        return check_descriptors(&sender, &begun_with);
    }
    let another = send_until_the_end(&sender, kind, &mut dice)?;
    check_descriptors(&sender, &begun_with)?;
    if another {
        return become_another(&sender, kind, &mut dice);
    }
    sender.papers.count(Count::Exit);
    Ok(sender.papers.write_counters()?)
}

/// Gives whether another image is to take over.
fn send_until_the_end(sender: &Sender, kind: u32, dice: &mut Dice) -> Result<bool, Box<dyn Error>> {
    let mut children = Vec::new();
    let mut another = false;
    std::thread::scope(|scope| -> Result<(), Box<dyn Error>> {
        for thread in 1..if kind == FOUR_THREADS { 4 } else { 1 } {
            let mut dice = Dice::new(dice.next());
            scope.spawn(move || {
                while !sender.is_ending().expect("the board") {
                    sender.make_and_send(&mut dice, thread).expect("the log");
                }
            });
        }
        let mut next = now() + dice.below(100) * MS;
        while !sender.is_ending()? {
            sender.make_and_send(dice, 0)?;
            if now() < next {
                continue;
            }
            next = now() + (5 + dice.below(100)) * MS;
            match dice.below(100) {
                0..30 => sender.fill_table_and_send(dice)?,
                30..75 => {
                    let _table = sender.hold_table();
                    sender.papers.count(Count::Fork);
                    children.push(another_image(sender, kind, dice).arg("brief").spawn()?);
                }
                75..80 => become_another(sender, kind, dice)?,
                80..93 => {
                    another = true;
                    sender.leave.store(true, Ordering::Relaxed);
                }
                _ => sender.leave.store(true, Ordering::Relaxed),
            }
        }
        Ok(())
    })?;
    for mut child in children {
        let status = child.wait()?;
        if !status.success() {
            sender.papers.fault(&format!("a child ended with {status}"));
        }
    }
    Ok(another || sender.papers.is_full() && sender.papers.phase()? == 0)
}

fn another_image(sender: &Sender, kind: u32, dice: &mut Dice) -> Command {
    let mut command = Command::new("/proc/self/exe");
    let numbers = [u64::from(kind), u64::from(sender.papers.number), dice.next()];
    command.arg(sender.papers.place()).args(numbers.map(|number| number.to_string()));
    command
}

fn become_another(sender: &Sender, kind: u32, dice: &mut Dice) -> Result<(), Box<dyn Error>> {
    sender.papers.count(Count::Exec);
    sender.papers.write_counters()?;
    Err(another_image(sender, kind, dice).exec().into())
}

pub(crate) fn limit_descriptors(soft: u64) -> rustix::io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let current = Some(maximum.map_or(soft, |most| soft.min(most)));
    setrlimit(Resource::Nofile, Rlimit { current, maximum })
}

/// What the open descriptors are, without that of the search.
fn descriptors() -> std::io::Result<Vec<String>> {
    let own = format!("/proc/{}/fd", std::process::id());
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let target = std::fs::read_link(entry?.path())?.to_string_lossy().into_owned();
        if target != own {
            found.push(target);
        }
    }
    Ok(found)
}

/// Nothing may be left but one link for each way to a recipient.
fn check_descriptors(sender: &Sender, begun_with: &[String]) -> Result<(), Box<dyn Error>> {
    let is_socket = |what: &&String| what.starts_with("socket:");
    let left = descriptors()?;
    let links = left.iter().filter(is_socket).count() - begun_with.iter().filter(is_socket).count();
    if left.len() != begun_with.len() + links || links > sender.peers() {
        sender.papers.fault(&format!("at the end of a sender: {left:?}"));
    }
    Ok(sender.papers.end(links as u64)?)
}
