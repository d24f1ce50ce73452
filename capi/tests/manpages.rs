//! Every exported function has a page that renders, names its errors, and whose example compiles.

use std::path::PathBuf;
use std::process::Command;

const SENDING: &[&str] = &[
    "EINVAL",
    "EBADF",
    "ESRCH",
    "ECONNREFUSED",
    "EPERM",
    "EAGAIN",
    "ETOOMANYREFS",
    "EMFILE",
    "ENFILE",
    "ENOMEM",
    "EOPNOTSUPP",
];
const RECEIVING: &[&str] = &[
    "EINVAL",
    "EMSGSIZE",
    "EAGAIN",
    "EMFILE",
    "ENFILE",
    "EACCES",
    "EPERM",
    "EPROTO",
    "EBADF",
    "ENOMEM",
    "EOPNOTSUPP",
];

const THROUGH_AN_OUTBOX: &[&str] = &[
    "EPIPE",
    "EINVAL",
    "EBADF",
    "EMSGSIZE",
    "EAGAIN",
    "ETIMEDOUT",
    "ETOOMANYREFS",
    "EPERM",
    "ENOMEM",
    "ENOBUFS",
    "EOPNOTSUPP",
];

/// Errors that a function's page must have, by the table of the design.
fn errors_of(function: &str) -> Vec<&'static str> {
    let of = |lists: &[&[&'static str]]| lists.concat();
    match function {
        "sendfd" => of(&[SENDING]),
        "sendfd_pidfd" => of(&[SENDING, &["EACCES"]]),
        "sendfds" => of(&[SENDING, &["EMSGSIZE", "ETIMEDOUT"]]),
        "sendfd_inbox_open" => {
            of(&[&["EINVAL", "EADDRINUSE", "EMFILE", "ENFILE", "ENOMEM", "EOPNOTSUPP"]])
        }
        "sendfd_inbox_open_with" => of(&[&[
            "EINVAL",
            "E2BIG",
            "ENAMETOOLONG",
            "EADDRINUSE",
            "EMFILE",
            "ENFILE",
            "ENOMEM",
            "EOPNOTSUPP",
        ]]),
        "sendfd_discard" => of(&[&["EAGAIN", "EINVAL", "EPERM", "EBADF"]]),
        "sendfd_inbox_fileno"
        | "sendfd_inbox_address"
        | "sendfd_outbox_fileno"
        | "sendfd_inbox_shutdown" => of(&[&["EINVAL", "EPERM"]]),
        "sendfd_recv" | "sendfd_recvs" => of(&[RECEIVING, &["ETIMEDOUT", "EINTR"]]),
        "sendfd_claim" | "sendfd_claim_signalfd" => of(&[RECEIVING]),
        "sendfd_outbox_open" => of(&[SENDING, &["ETIMEDOUT"]])
            .into_iter()
            .filter(|error| !["EBADF", "ETOOMANYREFS"].contains(error))
            .collect(),
        "sendfd_outbox_open_address" => of(&[SENDING, &["ETIMEDOUT"]])
            .into_iter()
            .filter(|error| !["EBADF", "ETOOMANYREFS", "ESRCH"].contains(error))
            .collect(),
        "sendfd_outbox_open_pidfd" => of(&[SENDING, &["ETIMEDOUT", "EACCES"]])
            .into_iter()
            .filter(|error| *error != "ETOOMANYREFS")
            .collect(),
        "sendfd_outbox_send" => of(&[THROUGH_AN_OUTBOX]),
        "sendfd_outbox_request" => {
            of(&[THROUGH_AN_OUTBOX, &["ECONNRESET", "EMFILE", "ENFILE", "EACCES", "EPROTO"]])
        }
        "sendfd_outbox_wait_taken" => of(&[&[
            "EAGAIN",
            "ETIMEDOUT",
            "ECONNRESET",
            "EINTR",
            "EINVAL",
            "EPERM",
            "EMFILE",
            "ENFILE",
            "ENOMEM",
            "ENOSPC",
        ]]),
        "sendfd_reply" => of(&[&[
            "EPIPE",
            "EINVAL",
            "EBADF",
            "ENOTSOCK",
            "EMSGSIZE",
            "EAGAIN",
            "ETOOMANYREFS",
            "ENOMEM",
        ]]),
        "sendfd_inbox_close" | "sendfd_outbox_close" | "sendfd_version" => Vec::new(),
        other => panic!("{other} is new: which errors must its page have?"),
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn functions() -> Vec<String> {
    let map = std::fs::read_to_string(root().join("capi/libsendfd.map")).expect("the map");
    let names = map.lines().filter_map(|line| line.trim().strip_suffix(';'));
    names.filter(|name| name.starts_with("sendfd")).map(str::to_owned).collect()
}

fn page(function: &str) -> String {
    let path = root().join(format!("man/{function}.3"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_function_has_a_page_with_its_errors() {
    for function in functions() {
        let page = page(&function);
        assert!(page.contains(&format!("\n.Nm {function}\n")), "{function}.3 is of another");
        assert!(page.contains(&format!("\n.Fn {function} ")), "{function}.3 has no synopsis");
        for error in errors_of(&function) {
            let described = page.lines().any(|line| {
                line.starts_with(".It Bq Er") && line.split([' ', ',']).any(|w| w == error)
            });
            assert!(described, "{function}.3 does not describe {error}");
        }
    }
}

fn example(page: &str) -> Option<String> {
    let (_, example) = page.split_once(".Sh EXAMPLES")?;
    let (_, code) = example.split_once(".Bd -literal -offset indent\n").expect("a display");
    let (code, _) = code.split_once(".Ed").expect("its end");
    Some(code.replace("\\e", "\\"))
}

/// The loop of `sendfd_claim(3)` gets on past a parcel that it cannot take, and sleeps when there is
/// nothing more.
#[test]
fn the_loop_of_sendfd_claim_does_not_spin() {
    const MAIN: &str = r"
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
static void done(int fd)
{
	struct timespec used;
	(void)fd;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	exit(used.tv_sec || used.tv_nsec > 100000000 ? 3 : 0);
}
int main(void)
{
	const struct timespec pause = {0, 400000000};
	sendfd_inbox *inbox;
	int two[] = {2, 2};
	alarm(20);
	if (sendfd_inbox_open(SENDFD_SIGNO, 0, &inbox) < 0)
		return 1;
	if (fork() == 0) {
		sendfds(getppid(), SENDFD_SIGNO, two, 2, NULL, 0, NULL);
		nanosleep(&pause, NULL);
		_exit(sendfd(getppid(), SENDFD_SIGNO, 2) < 0);
	}
	serve(inbox, done);
	return 2;
}
";
    let code = example(&page("sendfd_claim")).expect("an example");
    let source = std::env::temp_dir().join(format!("claim-loop-{}.c", std::process::id()));
    let program = source.with_extension("");
    std::fs::write(&source, code + MAIN).expect("a temporary file");
    let build = root().join("build");
    let compiled = Command::new("cc")
        .args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-I"])
        .args([&root().join("include"), &source])
        .arg("-o")
        .arg(&program)
        .arg("-L")
        .arg(&build)
        .args(["-lsendfd", &format!("-Wl,-rpath,{}", build.display())])
        .output()
        .expect("a C compiler");
    std::fs::remove_file(&source).expect("the temporary file");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let status = Command::new(&program).status().expect("the program");
    std::fs::remove_file(&program).expect("the temporary file");
    assert!(status.success(), "{status}");
}

#[test]
fn examples_compile() {
    for function in functions() {
        let page = page(&function);
        let Some(code) = example(&page) else { continue };
        let source = std::env::temp_dir().join(format!("{function}-{}.c", std::process::id()));
        std::fs::write(&source, code).expect("a temporary file");
        let output = Command::new("cc")
            .args(["-std=gnu99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only", "-I"])
            .arg(root().join("include"))
            .arg(&source)
            .output()
            .expect("a C compiler");
        std::fs::remove_file(&source).expect("the temporary file");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the example of {function}.3:\n{errors}");
    }
}

#[test]
fn pages_render_without_warnings() {
    let pages = std::fs::read_dir(root().join("man"))
        .expect("man")
        .map(|entry| entry.expect("an entry").path());
    let output = Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).args(pages).output();
    match output {
        Ok(output) => {
            let warnings = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && warnings.is_empty(), "{warnings}");
        }
        Err(error) => panic!("mandoc: {error}; tools/setup installs it"),
    }
}
