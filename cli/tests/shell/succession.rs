//! `sendfd hold --take-over`.

use crate::hold::{ask, link};
use crate::program::{LIMIT, Running, file, holder, ok, run, sendfd};
use sendfd_core::{Outgoing, QuietInbox, Signal};
use serde_json::Value;
use std::net::TcpStream;
use std::time::Duration;

#[test]
fn all_goes_over_and_askers_follow() {
    let mut old = holder(&[]);
    let old_pid = old.pid();
    let (_keep, name) = file("kept");
    let what = format!("file:{name}");
    ok(&["store", &old_pid, "two", &what, &what, "--expire", "3600"]);
    let listening = ok(&["store", &old_pid, "web", "listen:tcp:127.0.0.1:0"]);
    let new = holder(&["--take-over", &old_pid]);
    let told = old.json();
    assert_eq!(told["event"], "handed-over");
    assert_eq!(old.end().status, Some(0));
    let listed = ok(&["list", &new.pid(), "--json"]);
    let listed: Vec<Value> =
        listed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((&listed[0]["label"], &listed[0]["fds"]), (&Value::from("two"), &Value::from(2)));
    let left = listed[0]["expires_s"].as_f64().expect("it expires");
    assert!(left > 3000.0 && left <= 3600.0);
    assert_eq!(ok(&["fetch", &new.pid(), "two", "--stdin", "--exec", "cat"]), "kept");
    let address = listening.trim().rsplit(' ').next().expect("an address");
    assert!(TcpStream::connect(address).is_ok());
}

#[test]
fn requests_in_between_are_sent_on() {
    let old = holder(&[]);
    let link = link(&old);
    ok(&["store", &old.pid(), "here"]);
    // As a successor that is slow: what others ask meanwhile waits.
    assert_eq!(ask(&link, "hand-over", &[]).0, "ok 1");
    assert_eq!(ask(&link, "next", &[]).1, 1);
    let other = Running::start(sendfd(&["list", &old.pid()]));
    let waits = link.ask(Outgoing::from_raw(&[]).data(b"list")).expect("sent");
    assert_eq!(ask(&link, "next here", &[]), ("ok".to_owned(), 0));
    let early = waits.recv(Some(Duration::ZERO)).map(|_| ()).map_err(|error| error.name());
    assert_eq!(early, Err("EAGAIN"), "it was answered before the successor was done");
    assert_eq!(ask(&link, "done", &[]).0, "ok");
    let answer = waits.recv(Some(LIMIT)).expect("an answer");
    assert_eq!(answer.data, format!("error moved {}", std::process::id()).into_bytes());
    // This process has no inbox: whoever followed finds nobody.
    let said = other.end();
    assert!(matches!(said.status, Some(3 | 5)), "{said:?}");
    assert_eq!(old.end().status, Some(0));
}

#[test]
fn an_asker_follows_to_the_address_it_is_told() {
    let new = holder(&[]);
    ok(&["store", &new.pid(), "there"]);
    let shown = ok(&["ls", "--json"]);
    let of_new = |line: &str| {
        let inbox: Value = serde_json::from_str(line).expect("JSON");
        let pid: i32 = new.pid().parse().expect("a pid");
        (inbox["pid"] == pid).then(|| inbox["address"].as_str().expect("text").to_owned())
    };
    let address = shown.lines().find_map(of_new).expect("it is shown");
    // A holder that has handed over, as it answers then.
    let inbox = QuietInbox::open(Signal::new(51).expect("one")).expect("free");
    let me = std::process::id().to_string();
    let asker = Running::start(sendfd(&["list", &me, "--signo", "51", "--json"]));
    let request = inbox.recv(Some(LIMIT)).expect("a request");
    let moved = format!("error moved {address}");
    request
        .reply
        .expect("a request")
        .send(Outgoing::from_raw(&[]).data(moved.as_bytes()))
        .expect("it waits");
    let said = asker.end();
    assert!(said.status == Some(0) && said.out.contains("there"), "{said:?}");
    // And so it answers.
    let old = holder(&[]);
    let link = link(&old);
    assert_eq!(ask(&link, &format!("hand-over {address}"), &[]).0, "ok 0");
    let waits = link.ask(Outgoing::from_raw(&[]).data(b"list")).expect("sent");
    assert_eq!(ask(&link, "done", &[]).0, "ok");
    assert_eq!(waits.recv(Some(LIMIT)).expect("an answer").data, moved.into_bytes());
}

#[test]
fn a_successor_that_dies_takes_nothing_along() {
    let mut old = holder(&[]);
    ok(&["store", &old.pid(), "here"]);
    let mut helper = std::process::Command::new(std::env::current_exe().expect("this test"));
    helper.args(["--exact", "succession::dies_in_the_middle", "--include-ignored"]);
    helper.env("SENDFD_OLD_HOLDER", old.pid());
    assert!(helper.output().expect("it runs").status.success());
    let told = old.json();
    assert_eq!(told["event"], "hand-over-failed");
    assert!(ok(&["fetch", &old.pid(), "here"]).starts_with("here: "));
}

/// The part of the successor in the test above.
#[test]
#[ignore = "run by a_successor_that_dies_takes_nothing_along"]
fn dies_in_the_middle() {
    let Ok(pid) = std::env::var("SENDFD_OLD_HOLDER") else { return };
    let task = sendfd_core::Task::new(pid.parse().expect("a pid")).expect("one");
    let link = sendfd_core::Outbox::open(task, sendfd_core::Signal::DEFAULT, Some(LIMIT))
        .expect("it is there");
    assert_eq!(ask(&link, "hand-over", &[]).0, "ok 1");
    assert_eq!(ask(&link, "next", &[]).1, 1);
}

#[test]
fn only_one_that_hands_over_is_taken_over() {
    let take = Running::start(sendfd(&["take"]));
    crate::give_take::wait_for_inbox(&take.pid());
    let said = run(&["hold", "--take-over", &take.pid()]);
    assert_eq!(said.status, Some(5), "{said:?}");
    let me = std::process::id().to_string();
    assert_eq!(run(&["hold", "--take-over", &me]).status, Some(3));
    let old = holder(&[]);
    assert!(ask(&link(&old), "next", &[]).0.starts_with("error bad-request"));
    assert!(ask(&link(&old), "done", &[]).0.starts_with("error bad-request"));
    assert_eq!(ok(&["list", &old.pid(), "--json"]), "");
}
