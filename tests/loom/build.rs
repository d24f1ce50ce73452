//! The files of the core that threads share, with `std::sync` and `libc` exchanged for what the models
//! stand on. Nothing else in them is touched: what is tested is the library's code. Each exchange has to
//! apply, so that a change in the core which the models do not know of stops the build.

use std::path::Path;
use std::{env, fs};

const CORE: &str = "../../core/src";

/// What a model has to see besides.
const REGISTERED: &str = "
pub(crate) fn registered() -> Vec<RawFd> {
    let words: Vec<u64> = OURS.iter().map(|word| word.load(Ordering::Relaxed)).collect();
    (0..MOST).filter(|fd| words[fd / 64] >> (fd % 64) & 1 != 0).map(|fd| fd as RawFd).collect()
}
";

fn main() {
    // loom's types cannot be made in constants, nor stand in statics of their own.
    give("sys/fork.rs", "fork.rs", |text| {
        exchange(text, "//!", "//");
        exchange(
            text,
            "use super::{Errno, Result};",
            "use crate::{Errno, Result, kernel as libc, sync};",
        );
        exchange(
            text,
            "use std::os::fd::{AsRawFd, OwnedFd, RawFd};",
            "use crate::kernel::{OwnedFd, RawFd};",
        );
        exchange(text, "use std::sync::Once;", "use sync::Once;");
        exchange(text, "use std::sync::atomic::", "use sync::atomic::");
        exchange(text, "std::thread::yield_now", "sync::yield_now");
        exchange(text, "const MOST: usize = 1 << 20;", "const MOST: usize = 128;");
        exchange(
            text,
            "[const { AtomicU64::new(0) }; MOST / 64]",
            "std::array::from_fn(|_| AtomicU64::new(0))",
        );
        exchange(
            text,
            "pub(crate) const fn new() -> PerProcess<T>",
            "pub(crate) fn new() -> PerProcess<T>",
        );
        exchange(text, "pub(super) fn", "pub(crate) fn");
        statics(text, 6);
        text.push_str(REGISTERED);
    });
    give("send/cache.rs", "cache.rs", |text| {
        exchange(text, "//!", "//");
        exchange(text, "use crate::sys::fork::", "use crate::fork::");
        exchange(text, "use std::sync::", "use crate::sync::{self};\nuse crate::sync::");
        exchange(
            text,
            "[const { Mutex::new([const { None }; WAYS]) }; SETS]",
            "std::array::from_fn(|_| Mutex::new([const { None }; WAYS]))",
        );
        // Few, so that the models' recipients meet.
        exchange(text, "const SETS: usize = 64;", "const SETS: usize = 1;");
        exchange(
            text,
            "self.sets[(mixed >> 58) as usize]",
            "self.sets[(mixed >> 58) as usize % SETS]",
        );
        exchange(text, "const WAYS: usize = 4;", "const WAYS: usize = 2;");
        statics(text, 1);
    });
}

fn give(source: &str, name: &str, change: impl FnOnce(&mut String)) {
    let source = Path::new(CORE).join(source);
    println!("cargo::rerun-if-changed={}", source.display());
    let mut text = fs::read_to_string(&source).expect("a file of the core");
    if let Some(tests) = text.find("\n#[cfg(test)]") {
        text.truncate(tests);
    }
    change(&mut text);
    assert!(!text.contains("std::sync"), "{}: a use of std::sync is left", source.display());
    let out = env::var_os("OUT_DIR").expect("set by cargo");
    fs::write(Path::new(&out).join(name), text).expect("a place for it");
}

fn exchange(text: &mut String, from: &str, to: &str) {
    assert!(text.contains(from), "the core has no `{from}` any more");
    *text = text.replace(from, to);
}

/// Turns `static NAME: TYPE = VALUE;` into one that every run of a model begins anew.
fn statics(text: &mut String, count: usize) {
    let mut found = 0;
    let lines: Vec<String> = text
        .lines()
        .map(|line| match line.trim_start().strip_prefix("static ") {
            Some(rest) => {
                found += 1;
                format!("sync::lazy_static! {{ static ref {rest} }}")
            }
            None => line.to_owned(),
        })
        .collect();
    assert_eq!(found, count, "statics in this file");
    *text = lines.join("\n");
}
