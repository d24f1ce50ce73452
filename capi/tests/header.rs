//! The header in the repository is the one that the code gives.

use std::path::Path;

#[test]
fn header_is_current() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(dir.join("cbindgen.toml")).expect("a valid config");
    let mut new = Vec::new();
    cbindgen::Builder::new()
        .with_config(config)
        .with_src(dir.join("src/send.rs"))
        .with_src(dir.join("src/receive.rs"))
        .with_src(dir.join("src/outbox.rs"))
        .generate()
        .expect("valid Rust")
        .write(&mut new);
    let new = without_safety_sections(&String::from_utf8(new).expect("text"));
    let path = dir.join("../include/sendfd.h");
    if std::env::var_os("UPDATE_HEADER").is_some() {
        std::fs::write(&path, &new).expect("the header can be written");
    }
    let old = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(old == new, "include/sendfd.h is stale: run `make header`");
}

/// They are for callers in Rust; C says the same in its own words.
fn without_safety_sections(header: &str) -> String {
    let mut kept = String::new();
    let mut in_section = false;
    for line in header.lines() {
        in_section = line == " * # Safety" || (in_section && line != " */");
        if !in_section {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept.replace(" *\n */", " */")
}
