//! Other users, who are let in by --allow-user and --allow-group.
#![forbid(unsafe_code)]

#[path = "shell/program.rs"]
#[allow(dead_code, reason = "the other tests use the rest")]
mod program;
mod trials;

use libtest_mimic::Failed;
use program::{Running, Said, file, sendfd};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use trials::Case;

type Test = fn(&As) -> Result<(), Failed>;

const TESTS: [(&str, Test); 4] = [
    ("a_user_who_is_allowed_stores_and_fetches", a_user_is_allowed),
    ("a_member_of_a_group_is_allowed", a_group_is_allowed),
    ("a_guest_gives_to_take", a_guest_gives),
    ("ls_shows_whether_others_may_send", ls_shows_it),
];

fn main() -> ExitCode {
    let missing =
        (!rustix::process::geteuid().is_root()).then(|| "needs root, to be other users".to_owned());
    let cases =
        TESTS.map(|(name, test)| Case::new(name, missing.clone(), move || test(&As::new()?)));
    trials::run(cases.into())
}

const OWNER: u32 = 4101;
const GUEST: u32 = 4102;
const STRANGER: u32 = 4103;
const GROUP: u32 = 4104;

/// The program where every user can run it.
struct As {
    place: tempfile::TempDir,
}

impl As {
    fn new() -> Result<As, Failed> {
        let place = tempfile::tempdir()?;
        std::fs::set_permissions(&place, PermissionsExt::from_mode(0o755))?;
        std::fs::copy(env!("CARGO_BIN_EXE_sendfd"), place.path().join("sendfd"))?;
        Ok(As { place })
    }

    fn command(&self, uid: u32, groups: &str, args: &[&str]) -> Command {
        let ours = sendfd(args);
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &uid.to_string(), "--regid", &uid.to_string()]);
        command.args(["--groups", groups, "--"]).arg(self.place.path().join("sendfd"));
        command.args(ours.get_args()).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, uid: u32, args: &[&str]) -> Said {
        Running::start(self.command(uid, "4100", args)).end()
    }

    /// A holder of the owner that is ready.
    fn holder(&self, args: &[&str]) -> Running {
        let all = [&["hold", "--json"], args].concat();
        let mut holder = Running::start(self.command(OWNER, "4100", &all));
        while holder.json()["event"] != "ready" {}
        holder
    }
}

fn expect(status: i32, said: &Said) -> Result<(), Failed> {
    if said.status == Some(status) { Ok(()) } else { Err(format!("{status}: {said:?}").into()) }
}

fn a_user_is_allowed(by: &As) -> Result<(), Failed> {
    let holder = by.holder(&["--signo", "61", "--allow-user", &GUEST.to_string()]);
    let pid = holder.pid();
    let common = ["--signo", "61", "--timeout", "20"];
    let ask = |uid, words: &[&str]| by.run(uid, &[&words[..1], &common, &words[1..]].concat());
    expect(0, &ask(GUEST, &["store", &pid, "web", "listen:tcp:127.0.0.1:0"]))?;
    expect(0, &ask(OWNER, &["store", &pid, "own", "listen:tcp:127.0.0.1:0"]))?;
    let fetched = ask(GUEST, &["fetch", &pid, "own"]);
    expect(0, &fetched)?;
    assert!(fetched.out.contains("tcp-listener"), "{fetched:?}");
    let listed = ask(OWNER, &["list", &pid]);
    assert!(listed.out.contains("web") && listed.out.contains(&GUEST.to_string()), "{listed:?}");
    let refused = ask(STRANGER, &["fetch", &pid, "own"]);
    expect(1, &refused)?;
    assert!(refused.err.contains("--allow-user"), "{refused:?}");
    // A guest does not become its successor.
    let taken = by.run(GUEST, &["hold", "--signo", "61", "--take-over", &pid]);
    expect(1, &taken)?;
    assert!(taken.err.contains("not-allowed"), "{taken:?}");
    expect(0, &ask(GUEST, &["drop", &pid, "own"]))
}

fn a_group_is_allowed(by: &As) -> Result<(), Failed> {
    let holder = by.holder(&["--signo", "61", "--allow-group", &GROUP.to_string()]);
    let pid = holder.pid();
    let store =
        ["store", "--signo", "61", "--timeout", "20", &pid, "web", "listen:tcp:127.0.0.1:0"];
    expect(1, &by.run(GUEST, &store))?;
    let groups = format!("4100,{GROUP}");
    expect(0, &Running::start(by.command(GUEST, &groups, &store)).end())
}

fn a_guest_gives(by: &As) -> Result<(), Failed> {
    let (_keep, name) = file("from a guest");
    std::fs::set_permissions(&name, PermissionsExt::from_mode(0o644))?;
    let place = tempfile::tempdir()?;
    std::fs::set_permissions(&place, PermissionsExt::from_mode(0o777))?;
    let address = place.path().join("address");
    let guest = GUEST.to_string();
    let mut take = vec!["take", "--signo", "62", "--allow-user", &guest, "--address-file"];
    take.extend([address.to_str().ok_or("no text")?, "--stdin", "--exec", "cat"]);
    let take = Running::start(by.command(OWNER, "4100", &take));
    let end = Instant::now() + program::LIMIT;
    while !address.exists() {
        if Instant::now() > end {
            return Err(format!("no inbox: {:?}", take.end()).into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    // Without a limit of time, too: the receiver lets it in when it looks.
    let what = format!("file:{name}");
    expect(0, &by.run(GUEST, &["give", "--signo", "62", &take.pid(), &what]))?;
    let said = take.end();
    assert_eq!((said.status, said.out.as_str()), (Some(0), "from a guest"), "{said:?}");
    Ok(())
}

fn ls_shows_it(by: &As) -> Result<(), Failed> {
    let open = by.holder(&["--signo", "61", "--allow-user", &GUEST.to_string()]);
    let closed = by.holder(&["--signo", "62"]);
    for (holder, signo, guests) in [(&open, 61, "true"), (&closed, 62, "false")] {
        let shown = by.run(OWNER, &["ls", "--json"]);
        let line = shown.out.lines().find(|line| {
            line.contains(&format!("\"pid\":{},", holder.pid()))
                && line.contains(&format!("\"signo\":{signo}"))
        });
        let line = line.ok_or_else(|| format!("not shown: {shown:?}"))?;
        assert!(line.contains(&format!("\"guests\":{guests}")), "{line}");
    }
    Ok(())
}
