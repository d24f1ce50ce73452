//! What a command finds that `sendfd take --exec` has become.

use crate::program::{Running, file, ok, open, sendfd};
use std::process::Command;

/// Prints what it was given.
const SHOW: &str = r#"
echo "pid $$ $LISTEN_PID $LISTEN_FDS $LISTEN_FDNAMES"
ls /proc/$$/fd
"#;

fn give_two(pid: &str) {
    let (_keep, name) = file("first");
    let what = format!("file:{name}");
    ok(&["give", "--wait-open", pid, &what, "listen:tcp:127.0.0.1:0", "--data", "text:web"]);
}

#[test]
fn descriptors_stand_from_3_on_and_nothing_else_does() {
    let (_keep, name) = file("not for the command");
    let mut take = sendfd(&["take", "--exec", "sh", "-c", SHOW]);
    take.stdin(open(&name));
    // A descriptor that the shell has left open, under a number in the way.
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "exec 3</dev/null 7</dev/null; exec \"$0\" \"$@\""])
        .arg(take.get_program())
        .args(take.get_args());
    shell
        .stdin(open(&name))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    shell.env("LISTEN_FDS", "9").env("LISTEN_PIDFDID", "1");
    let take = Running::start(shell);
    let pid = take.pid();
    give_two(&pid);
    let said = take.end();
    let mut lines = said.out.lines();
    assert_eq!(lines.next(), Some(format!("pid {pid} {pid} 2 text:web").as_str()), "{said:?}");
    assert_eq!(lines.collect::<Vec<_>>(), ["0", "1", "2", "3", "4"], "{said:?}");
    assert_eq!(said.status, Some(0));
}

/// Those of the shell that started it, also where it ignores SIGPIPE, which Rust itself does.
#[test]
fn signals_are_as_the_shell_had_them() {
    for (trap, ignores) in [("trap '' PIPE USR1", true), (":", false)] {
        let mut take = Command::new("sh");
        let script = format!(
            "{trap}; exec \"$0\" take --exec sh -c 'grep -E \"^Sig(Blk|Ign):\" /proc/self/status'"
        );
        take.args(["-c", &script, env!("CARGO_BIN_EXE_sendfd")]);
        take.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let take = Running::start(take);
        give_two(&take.pid());
        let said = take.end();
        let mask = |name: &str| {
            let line = said.out.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
            u64::from_str_radix(line.trim(), 16).expect("hexadecimal")
        };
        let (pipe, usr1) = (1 << 12, 1 << 9);
        assert_eq!(mask("SigBlk:"), 0, "{said:?}");
        assert_eq!(
            mask("SigIgn:") & (pipe | usr1),
            if ignores { pipe | usr1 } else { 0 },
            "{said:?}"
        );
    }
}

#[test]
fn the_first_one_goes_where_it_is_wanted() {
    let take = Running::start(sendfd(&[
        "take",
        "--stdin",
        "--exec",
        "sh",
        "-c",
        "cat; echo \" $LISTEN_FDS $LISTEN_FDNAMES\"",
    ]));
    give_two(&take.pid());
    assert_eq!(take.end().out, "first 1 web\n");
    let take = Running::start(sendfd(&[
        "take",
        "--fd",
        "9",
        "--exec",
        "sh",
        "-c",
        "cat <&9; test -z \"${LISTEN_FDS+x}\" && echo ' alone'",
    ]));
    let (_keep, name) = file("nine");
    ok(&["give", "--wait-open", &take.pid(), &format!("file:{name}")]);
    assert_eq!(take.end().out, "nine alone\n");
}

#[test]
fn the_command_gets_every_word_and_its_end_is_passed_on() {
    let take = Running::start(sendfd(&[
        "take",
        "--exec",
        "sh",
        "-c",
        "echo \"$@\"; exit 7",
        "--",
        "--json",
        "--timeout",
        "x",
    ]));
    give_two(&take.pid());
    let said = take.end();
    assert_eq!((said.out.as_str(), said.status), ("--json --timeout x\n", Some(7)), "{said:?}");
}

#[test]
fn what_was_taken_and_cannot_be_used_is_told() {
    let (_keep, name) = file("no program");
    std::fs::set_permissions(&name, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("ours");
    // Runs by its mode, and is no program of any kind.
    std::fs::write(&name, [0x7f, b'E', b'L', b'F', 0]).expect("written");
    let take = Running::start(sendfd(&["take", "--exec", &name]));
    give_two(&take.pid());
    let said = take.end();
    assert_eq!(said.status, Some(1));
    assert!(
        said.err.contains("execve")
            && said.err.contains("closed unused")
            && said.err.contains("tcp-listener"),
        "{said:?}"
    );
    let take = Running::start(sendfd(&["take", "--fd", "3", "--exec", "true"]));
    give_two(&take.pid());
    let said = take.end();
    assert_eq!(said.status, Some(1));
    assert!(said.err.contains("--fd 3") && said.err.contains("closed unused"), "{said:?}");
}
