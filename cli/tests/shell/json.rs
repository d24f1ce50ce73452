//! What `--json` prints has the keys, and values of the sorts, that cli/examples/json.txt and so sendfd(1) say.

use crate::program::{Running, file, holder, ok, run, sendfd};
use serde_json::Value;
use std::collections::BTreeMap;

const PROMISED: &str = include_str!("../../examples/json.txt");

/// The keys of one object, and of what sort each value is.
fn promised(title: &str) -> BTreeMap<&'static str, &'static str> {
    let group = PROMISED.split("\n\n").find(|group| group.lines().next() == Some(title));
    let lines = group.expect("it is described").lines().skip(1);
    lines
        .map(|line| {
            let mut words = line.split(' ');
            (words.next().expect("a key"), words.next().expect("a sort"))
        })
        .collect()
}

#[track_caller]
fn assert_promised(title: &str, object: &Value) {
    let promised = promised(title);
    let object = object.as_object().expect("an object");
    assert_eq!(
        object.keys().map(String::as_str).collect::<Vec<_>>(),
        promised.keys().copied().collect::<Vec<_>>(),
        "{title}: {object:?}"
    );
    for (key, sorts) in promised {
        let value = &object[key];
        let fits = sorts.split('|').any(|sort| match sort {
            "string" => value.is_string(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "array" => value.is_array(),
            "null" => value.is_null(),
            _ => panic!("{sort}: not a sort"),
        });
        assert!(fits, "{title}: {key} is no {sorts}: {value}");
    }
}

/// What the page says that may be a kind.
fn assert_kind(descriptor: &Value) {
    assert_promised("descriptor", descriptor);
    let kinds = PROMISED.lines().find_map(|line| line.strip_prefix("kind string ")).expect("there");
    let kind = descriptor["kind"].as_str().expect("text");
    assert!(kinds.replace(" or ", ", ").split(", ").any(|one| one == kind), "{kind}");
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(ok(args).trim()).expect("one object")
}

#[test]
fn of_give_and_take() {
    let mut take = Running::start(sendfd(&["take", "--json"]));
    let (_keep, name) = file("");
    let what = format!("file:{name}");
    let args =
        ["give", "--json", "--wait-open", &take.pid(), &what, "listen:tcp:127.0.0.1:0", "fd:0"];
    let given = json(&args);
    assert_promised("give", &given);
    assert!(given["listening"][0].is_string(), "{given}");
    let came = take.json();
    assert_promised("take", &came);
    let descriptors = came["fds"].as_array().expect("a list");
    assert_eq!(descriptors.len(), 3);
    descriptors.iter().for_each(assert_kind);
}

#[test]
fn of_what_a_holder_is_asked() {
    let holder = holder(&["--signo", "55"]);
    let pid = holder.pid();
    let ask = |words: &[&str]| {
        json(&[&words[..1], &["--signo", "55", "--json", &pid], &words[1..]].concat())
    };
    assert_promised("store", &ask(&["store", "web", "listen:tcp:127.0.0.1:0"]));
    assert_promised("list", &ask(&["list"]));
    let fetched = ask(&["fetch", "web"]);
    assert_promised("fetch", &fetched);
    fetched["fds"].as_array().expect("a list").iter().for_each(assert_kind);
    assert_promised("drop", &ask(&["drop", "web"]));
    ask(&["store", "web", "listen:tcp:127.0.0.1:0", "--expire", "100.5"]);
    let listed = ask(&["list"]);
    assert_promised("list", &listed);
    assert!(listed["expires_s"].is_number(), "{listed}");
}

#[test]
fn of_ls() {
    let holder = holder(&["--signo", "56"]);
    let all = ok(&["ls", "--json"]);
    let all: Vec<Value> =
        all.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for inbox in &all {
        assert_promised("ls", inbox);
    }
    let pid: i64 = holder.pid().parse().expect("a pid");
    assert!(all.iter().any(|inbox| inbox["pid"] == pid), "{all:?}");
}

#[test]
fn of_errors() {
    for args in [["give", "--json", "1", "--signo", "0"], ["give", "--json", "1", "--signo", "57"]]
    {
        let said = run(&args);
        let told: Value = serde_json::from_str(said.err.trim()).expect("one object");
        assert_promised("error", &told);
        assert_eq!(told["status"].as_i64(), said.status.map(i64::from));
    }
}

/// Every command that has `--json` is described, and so is nothing else.
#[test]
fn every_command_is_described() {
    let help = ok(&["help"]);
    let commands = help.split("Commands:\n").nth(1).expect("a list").lines();
    let commands = commands.take_while(|line| !line.is_empty());
    let mut commands: Vec<&str> =
        commands.filter_map(|line| line.split_whitespace().next()).collect();
    // The events of a holder are in docs/hold.md.
    commands.retain(|command| !["help", "hold"].contains(command));
    let described: Vec<&str> =
        PROMISED.split("\n\n").filter_map(|group| group.lines().next()).collect();
    assert_eq!([commands, vec!["descriptor", "error"]].concat(), described);
}
