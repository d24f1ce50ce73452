//! The contract of the matrix in Rust; see `run`.
#![forbid(unsafe_code)]

use sendfd_core::{Error, Outbox, Outgoing, Parcel, QuietInbox, Signal, Task};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead as _, Write as _};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

const LIMIT: Option<Duration> = Some(Duration::from_secs(20));

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let number = |index: usize| args[index].parse::<i32>();
    let done = if args[1] == "receive" {
        receive(number(2)?)
    } else {
        let files = files(usize::try_from(number(4)?)?)?;
        let len = usize::try_from(number(5)?)?;
        let act = if args[1] == "ask" { ask } else { send };
        act(number(2)?, number(3)?, &files, len, number(6)?)
    };
    match done {
        Ok(text) => println!("{text}"),
        Err(error) => println!("error {} {error}", error.name()),
    }
    Ok(())
}

fn files(count: usize) -> io::Result<Vec<File>> {
    let id = std::process::id();
    let make = |index: usize| {
        let path = std::env::temp_dir().join(format!("sendfd-matrix.{id}.{index}"));
        std::fs::write(&path, format!("{index}-of-{id}"))?;
        let file = File::open(&path);
        std::fs::remove_file(path)?;
        file
    };
    (0..count).map(make).collect()
}

fn send(pid: i32, signo: i32, files: &[File], len: usize, count: i32) -> Result<String, Error> {
    let fds: Vec<_> = files.iter().map(File::as_fd).collect();
    let mut data: Vec<u8> = (0..=255).cycle().take(len).collect();
    for index in 0..count {
        let text = format!("{index:08}");
        let head = len.min(8);
        data[..head].copy_from_slice(&text.as_bytes()[..head]);
        let parcel = Outgoing::new(&fds).data(&data).timeout(LIMIT);
        parcel.send(Task::new(pid)?, Signal::new(signo)?)?;
    }
    Ok(format!("sent {}", std::process::id()))
}

fn ask(pid: i32, signo: i32, files: &[File], len: usize, count: i32) -> Result<String, Error> {
    let fds: Vec<_> = files.iter().map(File::as_fd).collect();
    let mut data: Vec<u8> = (0..=255).cycle().take(len).collect();
    let outbox = Outbox::open(Task::new(pid)?, Signal::new(signo)?, LIMIT)?;
    outbox.send(Outgoing::new(&[]).data(&data).timeout(LIMIT))?;
    for index in 0..count {
        let text = format!("{index:08}");
        let head = len.min(8);
        data[..head].copy_from_slice(&text.as_bytes()[..head]);
        let answer = outbox.request(Outgoing::new(&fds).data(&data).timeout(LIMIT))?;
        let texts = answer.fds.iter().map(content);
        if !texts.eq(files.iter().map(content)) || !answer.data.iter().eq(data.iter().rev()) {
            println!("another answer");
        }
    }
    outbox.wait_taken(LIMIT)?;
    Ok(format!("asked {}", std::process::id()))
}

fn receive(signo: i32) -> Result<String, Error> {
    let before = count_fds();
    let inbox = QuietInbox::open(Signal::new(signo)?)?;
    println!("open {}", std::process::id());
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        for _ in 0..line.parse().unwrap_or(0) {
            let parcel = inbox.recv(LIMIT)?;
            println!("{}", describe(&parcel));
            if let Some(reply) = parcel.reply {
                let fds: Vec<_> = parcel.fds.iter().map(AsFd::as_fd).collect();
                let data: Vec<u8> = parcel.data.into_iter().rev().collect();
                reply.send(Outgoing::new(&fds).data(&data))?;
            }
        }
        io::stdout().flush().expect("the driver listens");
    }
    drop(inbox);
    Ok(format!("closed {}", count_fds() - before))
}

fn describe(Parcel { fds, data, info, .. }: &Parcel) -> String {
    let mut text = format!("{} {} {} {} -", info.pid, info.uid, info.gid, info.signo);
    for byte in data {
        write!(text, "{byte:02x}").expect("a string takes all");
    }
    for fd in fds {
        write!(text, " {}", content(fd)).expect("a string takes all");
    }
    text
}

fn content(fd: impl AsFd) -> String {
    let mut bytes = [0; 64];
    let copy = fd.as_fd().try_clone_to_owned().expect("room for one more");
    let size = File::from(copy).read_at(&mut bytes, 0).expect("a file");
    String::from_utf8_lossy(&bytes[..size]).into_owned()
}

fn count_fds() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}
