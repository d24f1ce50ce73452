//! `sendfd give` and `sendfd take`.

use crate::program::{Running, file, ok, open, run, sendfd};
use serde_json::Value;
use std::net::TcpListener;

#[test]
fn a_file_arrives_with_its_data_and_sender() {
    let mut take = Running::start(sendfd(&["take", "--json"]));
    let (_keep, name) = file("hello");
    let what = format!("file:{name}");
    let giver = Running::start(sendfd(&[
        "give",
        &take.pid(),
        &what,
        "--data",
        "x y",
        "--wait-open",
        "--wait-taken",
        "--json",
    ]));
    let giver_pid: i32 = giver.pid().parse().expect("a pid");
    let came = take.json();
    assert_eq!(came["pid"], giver_pid);
    assert_eq!(came["data"], "x y");
    assert_eq!(came["fds"][0]["kind"], "file");
    assert_eq!(came["fds"][0]["detail"], format!("{name} (r)"));
    assert_eq!(take.end().status, Some(0));
    let said = giver.end();
    let told: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(
        (said.status, &told["taken"], &told["fds"]),
        (Some(0), &Value::Bool(true), &Value::from(1))
    );
}

#[test]
fn standard_input_goes_where_nothing_else_is_named() {
    let take = Running::start(sendfd(&["take"]));
    let (_keep, name) = file("");
    let mut give = sendfd(&["give", &take.pid(), "--wait-open"]);
    give.stdin(open(&name));
    assert_eq!(Running::start(give).end().status, Some(0));
    let said = take.end();
    assert!(said.out.starts_with("1 descriptor from process "), "{said:?}");
    assert!(said.out.contains(&name), "{said:?}");
}

#[test]
fn sockets_of_all_kinds_are_made() {
    let mut take = Running::start(sendfd(&["take", "--json"]));
    let place = tempfile::tempdir().expect("a place");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let tcp = format!("connect:tcp:{}", listener.local_addr().expect("bound"));
    let unix = format!("{}/socket", place.path().display());
    let (listen, connect) = (format!("listen:unix:{unix}"), format!("connect:unix:{unix}"));
    let what = ["listen:tcp:127.0.0.1:0", &tcp, &listen, &connect];
    let mut args = vec!["give", "--wait-open"];
    let pid = take.pid();
    args.push(&pid);
    args.extend(what);
    let said = ok(&args);
    let came = take.json();
    let kind = |at: usize| came["fds"][at]["kind"].as_str().expect("a word").to_owned();
    assert_eq!(
        [kind(0), kind(1), kind(2), kind(3)],
        ["tcp-listener", "tcp", "unix-listener", "unix"]
    );
    let port = said.trim().rsplit(':').next().expect("a port").to_owned();
    assert!(said.starts_with("listening on 127.0.0.1:"), "{said}");
    assert!(came["fds"][0]["detail"].as_str().expect("text").ends_with(&port));
}

#[test]
fn files_are_opened_as_they_are_named() {
    let place = tempfile::tempdir().expect("a place");
    let path = |name: &str| format!("{}/{name}", place.path().display());
    std::fs::write(path("a:r"), "odd").expect("written");
    let mut take = Running::start(sendfd(&["take", "--json"]));
    let pid = take.pid();
    let what: Vec<String> =
        ["w", "rw", "a"].iter().map(|mode| format!("file:{}:{mode}", path(mode))).collect();
    let odd = format!("file:{}:r", path("a:r"));
    ok(&["give", "--wait-open", &pid, &what[0], &what[1], &what[2], &odd]);
    let came = take.json();
    let modes = ["(w)", "(rw)", "(a)", "(r)"];
    for (at, mode) in modes.iter().enumerate() {
        assert!(came["fds"][at]["detail"].as_str().expect("text").ends_with(mode), "{came}");
    }
}

#[test]
fn each_failure_has_its_status_and_says_what_to_do() {
    let me = std::process::id().to_string();
    let gone = {
        let take = Running::start(sendfd(&["take"]));
        take.pid()
    };
    let cases: [(&[&str], i32, &str); 9] = [
        (&["give", &me], 3, "wait for it with --wait-open"),
        (&["give", &gone], 3, "has it ended?"),
        (&["give", &me, "--wait-open", "--timeout", "0.01"], 4, "a longer --timeout?"),
        (&["give", "0"], 2, "greater than 0"),
        (&["give", &me, "--signo", "5"], 2, "real-time"),
        (&["take", "--timeout", "0.01"], 4, "sendfd give"),
        (&["take", "--exec", "/nowhere"], 2, "no such program"),
        (&["take", "--exec", "no-such-command"], 2, "not found in PATH"),
        (&["fetch", &me, "a:b"], 2, "a label is"),
    ];
    for (args, status, hint) in cases {
        let said = run(args);
        assert_eq!(said.status, Some(status), "{args:?}: {said:?}");
        assert!(said.err.contains(hint), "{args:?}: {said:?}");
    }
    let said = run(&["give", &me, "--json"]);
    let told: Value = serde_json::from_str(&said.err).expect("JSON");
    assert_eq!((&told["errno"], &told["status"]), (&Value::from("ECONNREFUSED"), &Value::from(3)));
    assert_eq!(said.err.lines().count(), 1);
}

#[test]
fn what_cannot_be_opened_is_not_sent() {
    let mut take = Running::start(sendfd(&["take", "--json"]));
    let pid = take.pid();
    let busy = TcpListener::bind("127.0.0.1:0").expect("a port");
    let busy = format!("listen:tcp:{}", busy.local_addr().expect("bound"));
    let cases = [
        ("file:/nowhere/at/all", 1, "No such file"),
        ("fd:77", 1, "no such descriptor"),
        ("tcp:80", 2, "not fd:N"),
        ("connect:unix:/nowhere", 1, "No such file"),
    ];
    for (what, status, hint) in cases {
        let said = run(&["give", "--wait-open", &pid, what]);
        assert_eq!(said.status, Some(status), "{what}: {said:?}");
        assert!(said.err.contains(hint), "{what}: {said:?}");
    }
    drop(busy);
    ok(&["give", &pid]);
    assert_eq!(take.json()["fds"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_receiver_that_goes_is_told_of() {
    let take = Running::start(sendfd(&["take"]));
    // Stopped before it can take anything, it has its inbox all the same.
    let pid = take.pid();
    wait_for_inbox(&pid);
    take.signal("STOP");
    let give = Running::start(sendfd(&["give", &pid, "--wait-taken"]));
    let late = run(&["give", &pid, "--wait-taken", "--timeout", "0.05"]);
    assert_eq!(late.status, Some(4), "{late:?}");
    take.signal("KILL");
    drop(take.end());
    let said = give.end();
    assert_eq!(said.status, Some(5), "{said:?}");
    assert!(said.err.contains("send it to another one"), "{said:?}");
}

#[test]
fn an_address_does_as_well_as_a_pid() {
    let place = tempfile::tempdir().expect("a place");
    let file = format!("{}/address", place.path().display());
    let mut take =
        Running::start(sendfd(&["take", "--json", "--address-file", &file, "--signo", "51"]));
    let begun = std::time::Instant::now();
    let address = loop {
        match std::fs::read_to_string(&file) {
            Ok(address) => break address.trim_end().to_owned(),
            Err(_) => assert!(begun.elapsed() < crate::program::LIMIT),
        }
    };
    assert!(address.starts_with("sendfd.1/") && address.ends_with("/51"), "{address}");
    ok(&["give", &address]);
    assert_eq!(take.json()["signo"], 51);
    assert_eq!(take.end().status, Some(0));
    assert_eq!(
        std::fs::read_dir(place.path()).expect("it is there").count(),
        0,
        "the file stays behind"
    );
    let said = run(&["give", &address]);
    assert!(said.status == Some(3) && said.err.contains(&address), "{said:?}");
}

/// Until `sendfd ls` shows it.
pub(crate) fn wait_for_inbox(pid: &str) {
    let pid: i32 = pid.parse().expect("a pid");
    let is_there = |line: &str| {
        let inbox: Value = serde_json::from_str(line).expect("JSON");
        inbox["pid"] == pid
    };
    let begun = std::time::Instant::now();
    while !ok(&["ls", "--json"]).lines().any(is_there) {
        assert!(begun.elapsed() < crate::program::LIMIT);
    }
}

#[test]
fn a_signal_ends_it_and_leaves_no_address_behind() {
    let place = tempfile::tempdir().expect("a place");
    let path = place.path().join("address");
    for name in ["TERM", "INT"] {
        let take =
            sendfd(&["take", "--signo", "54", "--address-file", path.to_str().expect("text")]);
        let take = Running::start(take);
        while !path.exists() {
            std::thread::yield_now();
        }
        take.signal(name);
        let said = take.end();
        assert_eq!((said.status, said.out.as_str()), (None, ""), "{said:?}");
        assert!(!path.exists());
    }
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let mut take = sendfd(&["take"]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    take.stdout(writer);
    let mut take = take.spawn().expect("it starts");
    let (_keep, name) = file("");
    let (pid, what) = (take.id().to_string(), format!("file:{name}"));
    ok(&["give", "--wait-open", "--wait-taken", &pid, &what]);
    assert_eq!(take.wait().expect("a child").code(), Some(0));
}
