//! `sendfd hold`, and what is asked of it.

use crate::program::{LIMIT, Running, file, holder, ok, run, sendfd};
use sendfd_core::{Outbox, Outgoing, Signal, Task};
use serde_json::Value;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;

/// A link to a holder, to speak with it without a process for each word.
pub(crate) fn link(holder: &Running) -> Outbox {
    let task = Task::new(holder.pid().parse().expect("a pid")).expect("one");
    Outbox::open(task, Signal::DEFAULT, Some(LIMIT)).expect("it is there")
}

pub(crate) fn ask(link: &Outbox, request: &str, fds: &[RawFd]) -> (String, usize) {
    let parcel = Outgoing::from_raw(fds).data(request.as_bytes()).timeout(Some(LIMIT));
    let answer = link.request(parcel).expect("it answers");
    (String::from_utf8(answer.data).expect("text"), answer.fds.len())
}

#[test]
fn what_is_stored_is_fetched_by_others_and_survives_its_giver() {
    let holder = holder(&[]);
    let pid = holder.pid();
    let (_keep, name) = file("kept");
    ok(&["store", &pid, "log", &format!("file:{name}")]);
    let listening = ok(&["store", &pid, "web", "listen:tcp:127.0.0.1:0"]);
    let address = listening.trim().rsplit(' ').next().expect("an address");
    drop(TcpStream::connect(address).expect("it still listens"));
    assert_eq!(ok(&["fetch", &pid, "log"]), format!("log: file {name} (r)\n"));
    assert_eq!(ok(&["fetch", &pid, "log", "--stdin", "--exec", "cat"]), "kept");
    let list = ok(&["list", &pid]);
    let lines: Vec<Vec<&str>> =
        list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["LABEL", "FDS", "EXPIRES", "PID", "USER", "WHAT"]);
    assert_eq!((lines[1][0], lines[2][0], lines.len()), ("log", "web", 3), "{list}");
    assert_eq!(
        ok(&["fetch", &pid, "web", "--exec", "sh", "-c", "echo $LISTEN_FDS $LISTEN_FDNAMES"]),
        "1 web\n"
    );
    ok(&["drop", &pid, "log"]);
    assert!(TcpStream::connect(address).is_ok());
    ok(&["fetch", &pid, "web", "--drop"]);
    assert_eq!(ok(&["list", &pid, "--json"]), "");
}

#[test]
fn refusals_have_their_status() {
    let holder = holder(&[]);
    let pid = holder.pid();
    ok(&["store", &pid, "here"]);
    let cases: [(&[&str], i32, &str); 4] = [
        (&["store", &pid, "here"], 1, "--replace"),
        (&["fetch", &pid, "there"], 3, "sendfd list"),
        (&["fetch", &pid, "there", "--drop"], 3, "sendfd list"),
        (&["drop", &pid, "there"], 3, "sendfd list"),
    ];
    for (args, status, hint) in cases {
        let said = run(args);
        assert_eq!(said.status, Some(status), "{args:?}: {said:?}");
        assert!(said.err.contains(hint), "{args:?}: {said:?}");
    }
    ok(&["store", &pid, "here", "--replace"]);
    assert_eq!(
        ask(&link(&holder), "sing", &[]).0.split(' ').take(2).collect::<Vec<_>>(),
        ["error", "bad-request"]
    );
    let take = Running::start(sendfd(&["take"]));
    let said = run(&["fetch", &take.pid(), "x", "--wait-open"]);
    assert_eq!(said.status, Some(5), "one that takes answers nothing: {said:?}");
}

#[test]
fn what_goes_is_dropped_and_told() {
    let mut holder = holder(&[]);
    let link = link(&holder);
    let (ours, theirs) = UnixStream::pair().expect("two sockets");
    assert_eq!(ask(&link, "store socket", &[theirs.as_raw_fd()]).0, "ok");
    let (read, write) = std::io::pipe().expect("a pipe");
    assert_eq!(ask(&link, "store pipe", &[read.as_raw_fd()]).0, "ok");
    assert_eq!(ask(&link, "store soon expire=0.05", &[0]).0, "ok");
    // Neither is gone: one has never been connected, the other has something left to be read.
    let unconnected = rustix_socket();
    assert_eq!(ask(&link, "store unconnected", &[unconnected.as_raw_fd()]).0, "ok");
    let (full, mut filled) = UnixStream::pair().expect("two sockets");
    std::io::Write::write_all(&mut filled, b"left").expect("room");
    assert_eq!(ask(&link, "store full", &[full.as_raw_fd()]).0, "ok");
    drop((full, filled, theirs, read));
    let told = holder.json();
    assert_eq!((&told["event"], &told["label"]), (&Value::from("expired"), &Value::from("soon")));
    drop(ours);
    let told = holder.json();
    assert_eq!((&told["event"], &told["label"]), (&Value::from("gone"), &Value::from("socket")));
    drop(write);
    let told = holder.json();
    assert_eq!((&told["event"], &told["label"]), (&Value::from("gone"), &Value::from("pipe")));
    let list = ask(&link, "list", &[]).0;
    let labels: Vec<&str> =
        list.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(labels, ["full", "unconnected"]);
}

/// One that was never connected, which hangs up as if its other end had gone.
fn rustix_socket() -> std::os::fd::OwnedFd {
    use rustix::net::{AddressFamily, SocketType, socket};
    socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket")
}

#[test]
fn it_ends_at_a_signal_and_says_what_it_closes() {
    for signal in ["TERM", "INT"] {
        let mut holder = holder(&[]);
        ok(&["store", &holder.pid(), "kept"]);
        holder.signal(signal);
        let told = holder.json();
        assert_eq!(told["event"], "end");
        assert!(told["text"].as_str().expect("text").ends_with("closes kept"), "{told}");
        assert_eq!(holder.end().status, Some(0));
    }
}

/// Nobody reads what it tells, or nobody reads it in time: what it keeps matters more.
#[test]
fn it_goes_on_without_a_reader() {
    let mut command = sendfd(&["hold", "--verbose"]);
    let (read, write) = std::io::pipe().expect("a pipe");
    command.stderr(write);
    let mut child = command.stdout(std::process::Stdio::null()).spawn().expect("it starts");
    drop(command);
    let pid = child.id().to_string();
    ok(&["store", &pid, "first", "--wait-open"]);
    let task = Task::new(pid.parse().expect("a pid")).expect("one");
    let link = Outbox::open(task, Signal::DEFAULT, Some(LIMIT)).expect("it is there");
    for _ in 0..2000 {
        assert_eq!(ask(&link, "fetch first", &[]), ("ok".to_owned(), 1));
    }
    drop(read);
    assert_eq!(ask(&link, "fetch first", &[]), ("ok".to_owned(), 1));
    child.kill().expect("it runs");
    child.wait().expect("a child");
}

#[test]
fn a_parcel_that_is_no_request_is_told_of() {
    let mut holder = holder(&[]);
    ok(&["give", &holder.pid(), "listen:tcp:127.0.0.1:0"]);
    let told = holder.json();
    assert_eq!(told["event"], "stray");
    assert!(told["text"].as_str().expect("text").contains("tcp-listener"), "{told}");
}

#[test]
fn a_list_longer_than_an_answer_comes_whole() {
    let holder = holder(&[]);
    let link = link(&holder);
    let long = "l".repeat(240);
    for number in 0..300 {
        assert_eq!(ask(&link, &format!("store {long}{number:03}"), &[0]).0, "ok");
    }
    assert!(ask(&link, "list", &[]).0.ends_with("\nmore"));
    let listed = ok(&["list", &holder.pid(), "--json"]);
    assert_eq!(listed.lines().count(), 300);
    let last: Value = serde_json::from_str(listed.lines().last().expect("some")).expect("JSON");
    assert_eq!(last["label"], format!("{long}299"));
}

#[test]
fn it_says_when_it_is_full_and_goes_on() {
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -n 128; exec \"$0\" hold", env!("CARGO_BIN_EXE_sendfd")]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let holder = Running::start(command);
    crate::give_take::wait_for_inbox(&holder.pid());
    let link = link(&holder);
    let mut number = 0;
    while ask(&link, &format!("store {number}"), &[0]).0 == "ok" {
        number += 1;
        assert!(number < 128);
    }
    assert_eq!(ask(&link, "store one-more", &[0]).0, "error no-room");
    let said = run(&["store", &holder.pid(), "one-more"]);
    assert!(said.status == Some(1) && said.err.contains("ulimit -n"), "{said:?}");
    // More than fit beside what it holds.
    let many = vec![0; 120];
    let parcel = Outgoing::from_raw(&many).data(b"store many").timeout(Some(LIMIT));
    assert_eq!(link.request(parcel).map(|_| ()).map_err(|error| error.name()), Err("ECONNRESET"));
    assert_eq!(ask(&link, "drop 0", &[]).0, "ok");
    assert_eq!(ask(&link, "store one-more", &[0]).0, "ok");
}

/// `SENDFD_HOLD_ROUNDS=100000` is the long form.
#[test]
fn it_does_not_grow() {
    let rounds = std::env::var("SENDFD_HOLD_ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(1500);
    let holder = holder(&[]);
    let link = link(&holder);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (kept, _other) = UnixStream::pair().expect("two sockets");
    let round = |number: u32| {
        // Open here all the while, and so not gone from the holder's set by its end.
        assert_eq!(ask(&link, "store open replace", &[kept.as_raw_fd()]).0, "ok");
        let (ours, theirs) = UnixStream::pair().expect("two sockets");
        let fds = [listener.as_raw_fd(), theirs.as_raw_fd()];
        assert_eq!(ask(&link, &format!("store a{} expire=3600", number % 7), &fds).0, "ok");
        assert_eq!(ask(&link, &format!("fetch a{}", number % 7), &[]), ("ok".to_owned(), 2));
        assert_eq!(ask(&link, &format!("take a{}", number % 7), &[]), ("ok".to_owned(), 2));
        drop(ours);
    };
    (0..rounds / 10).for_each(round);
    // Once it answers the next one, it is done with the last.
    ask(&link, "list", &[]);
    let (descriptors, watched, memory) = (holder.descriptors(), watched(&holder), memory(&holder));
    (0..rounds).for_each(round);
    ask(&link, "list", &[]);
    // It closes what is gone once it has answered.
    let begun = std::time::Instant::now();
    while holder.descriptors() > descriptors {
        assert!(begun.elapsed() < LIMIT, "{} of {descriptors} descriptors", holder.descriptors());
        std::thread::yield_now();
    }
    assert_eq!(self::watched(&holder), watched);
    let grown = self::memory(&holder).saturating_sub(memory);
    assert!(grown < 512, "by {grown} kB");
}

/// How many descriptors its epoll sets watch.
fn watched(holder: &Running) -> usize {
    let infos = std::fs::read_dir(format!("/proc/{}/fdinfo", holder.pid())).expect("it runs");
    let infos = infos.filter_map(|info| std::fs::read_to_string(info.ok()?.path()).ok());
    infos.map(|info| info.lines().filter(|line| line.starts_with("tfd:")).count()).sum()
}

fn memory(holder: &Running) -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", holder.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
