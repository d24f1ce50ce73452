//! Header, version map and exported symbols name the same functions, and the versions agree.
//!
//! Looks at `build/libsendfd.so` and `build/libsendfd.a`, which `make` makes.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).expect(path)
}

fn readelf(option: &str, library: &str) -> String {
    let library = root().join("build").join(library);
    assert!(library.exists(), "run `make` first");
    let output = Command::new("readelf").args([option, "-W"]).arg(library).output();
    String::from_utf8(output.expect("readelf runs").stdout).expect("text")
}

/// The names that others are linked with.
fn global_symbols(table: &str) -> BTreeSet<String> {
    table
        .lines()
        .filter(|line| line.contains(" GLOBAL ") || line.contains(" WEAK "))
        .filter(|line| !line.contains(" UND "))
        .filter_map(|line| line.split_whitespace().last())
        .map(str::to_owned)
        .collect()
}

/// Words like `sendfd_recv` that `end` follows, at places where a declaration can begin.
fn functions_in_header() -> BTreeSet<String> {
    read("include/sendfd.h")
        .lines()
        .filter(|line| !line.starts_with([' ', '#', '/', '*', '}']))
        .filter_map(|line| line.split_once('('))
        .filter_map(|(before, _)| before.rsplit([' ', '*']).next())
        .map(str::to_owned)
        .collect()
}

fn functions_in_map() -> BTreeSet<String> {
    let map = read("capi/libsendfd.map");
    map.lines()
        .filter_map(|line| line.trim().strip_suffix(';'))
        .filter(|name| name.starts_with("sendfd"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn header_map_and_library_name_the_same_functions() {
    let exported: BTreeSet<String> = global_symbols(&readelf("--dyn-syms", "libsendfd.so"))
        .iter()
        .filter(|symbol| *symbol != "SENDFD_0.1")
        .map(|symbol| symbol.strip_suffix("@@SENDFD_0.1").expect(symbol).to_owned())
        .collect();
    assert_eq!(exported, functions_in_map());
    assert_eq!(exported, functions_in_header());
    assert!(exported.len() >= 11, "{exported:?}");
}

/// Or it could not be linked with another library that is made in Rust.
#[test]
fn the_static_library_has_no_other_global_names() {
    let global = global_symbols(&readelf("--syms", "libsendfd.a"));
    assert_eq!(global, functions_in_map());
}

#[test]
fn library_needs_nothing_but_the_c_library() {
    let dynamic = readelf("--dynamic", "libsendfd.so");
    assert!(dynamic.contains("Library soname: [libsendfd.so.0]"), "{dynamic}");
    let needed = dynamic.lines().filter(|line| line.contains("(NEEDED)"));
    for line in needed {
        assert!(line.contains("[libc.so.") || line.contains("[ld-linux"), "{line}");
    }
}

/// Half of what std brings along are printers of backtraces, which a library that aborts does not need.
#[test]
fn the_shared_library_is_small() {
    let stripped = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("stripped.so");
    let library = root().join("build/libsendfd.so");
    let status = Command::new("strip").arg("-o").args([&stripped, &library]).status();
    assert!(status.expect("strip runs").success());
    let bytes = std::fs::read(&stripped).expect("stripped");
    let word = b"RUST_BACKTRACE";
    assert!(
        !bytes.windows(word.len()).any(|window| window == word),
        "std's panic handler is in it"
    );
    assert!(bytes.len() <= 300_000, "{} bytes", bytes.len());
}
