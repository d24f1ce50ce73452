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
];
const RECEIVING: &[&str] =
    &["EINVAL", "EMSGSIZE", "EAGAIN", "EMFILE", "ENFILE", "EPERM", "EPROTO", "ENOMEM"];

/// Errors that a function's page must have, by the table of the design.
fn errors_of(function: &str) -> Vec<&'static str> {
    let of = |lists: &[&[&'static str]]| lists.concat();
    match function {
        "sendfd" | "sendfd_pidfd" => of(&[SENDING]),
        "sendfds" => of(&[SENDING, &["EMSGSIZE", "ETIMEDOUT"]]),
        "sendfd_inbox_open" => of(&[&["EINVAL", "EADDRINUSE", "EMFILE", "ENFILE", "ENOMEM"]]),
        "sendfd_inbox_fileno" => of(&[&["EINVAL", "EPERM"]]),
        "sendfd_recv" | "sendfd_recvs" => of(&[RECEIVING, &["ETIMEDOUT", "EINTR"]]),
        "sendfd_claim" | "sendfd_claim_signalfd" => of(&[RECEIVING]),
        "sendfd_inbox_close" | "sendfd_version" => Vec::new(),
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

#[test]
fn examples_compile() {
    for function in functions() {
        let page = page(&function);
        let Some((_, example)) = page.split_once(".Sh EXAMPLES") else { continue };
        let (_, code) = example.split_once(".Bd -literal -offset indent\n").expect("a display");
        let (code, _) = code.split_once(".Ed").expect("its end");
        let source = std::env::temp_dir().join(format!("{function}-{}.c", std::process::id()));
        std::fs::write(&source, code.replace("\\e", "\\")).expect("a temporary file");
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
