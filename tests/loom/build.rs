//! The files of the core that threads share, with `std::sync` and `libc` exchanged for what the models
//! stand on. Nothing else in them is touched: what is tested is the library's code. Each exchange has to
//! apply, so that a change in the core which the models do not know of stops the build.

use std::path::Path;
use std::{env, fs};

const CORE: &str = "../../core/src";

/// What a model has to see besides.
const REGISTERED: &str = "
unsafe impl memory::Zeroed for Part {
    fn zeros() -> Part {
        Part(std::array::from_fn(|_| Entry { serial: AtomicU32::new(0), mark: AtomicU64::new(0) }))
    }
}

/// The numbers that a child would look at.
pub(crate) fn known() -> Vec<RawFd> {
    let known = std::cell::RefCell::default();
    each_registered(|number, _| Vec::push(&mut known.borrow_mut(), number));
    known.into_inner()
}

/// The numbers that a child would close.
pub(crate) fn registered() -> Vec<RawFd> {
    let entries = PARTS.iter().flat_map(|part| {
        let part = memory::shared(part.load(Ordering::Relaxed));
        let entry = move |i| part.map(|part: &Part| &part.0[i]);
        (0..IN_PART).map(entry)
    });
    let number = |(index, entry): (usize, Option<&Entry>)| {
        entry.filter(|entry| !entry.holds(0) && entry.mark().is_on(index as RawFd)).map(|_| index as RawFd)
    };
    entries.enumerate().filter_map(number).collect()
}
";

fn main() {
    // loom's types cannot be made in constants, nor stand in statics of their own.
    give("sys/table.rs", "table.rs", |text| {
        exchange(
            text,
            "use super::holder::{self, Holder};\nuse super::{Errno, Result, epoll, fd, fork, gate, memory, thread_table};",
            "use crate::kernel::holder::{self, Holder};\nuse crate::kernel::{self as libc, epoll, fd, memory, thread_table};\nuse crate::{Errno, Result, fork, gate, sync};",
        );
        exchange(
            text,
            "use std::os::fd::{AsRawFd, OwnedFd, RawFd};",
            "use crate::kernel::{OwnedFd, RawFd};",
        );
        exchange(text, "const MOST: usize = 1 << 20;", "const MOST: usize = 32;");
        exchange(text, "const IN_PART: usize = 4096;", "const IN_PART: usize = 16;");
        exchange(text, "// SAFETY: integers.\nunsafe impl memory::Zeroed for Part {}\n", "");
        exchange(
            text,
            " =\n    [const { AtomicPtr::new(std::ptr::null_mut()) }; MOST / IN_PART];",
            " = std::array::from_fn(|_| AtomicPtr::new(std::ptr::null_mut()));",
        );
        statics(text, 3);
        text.push_str(REGISTERED);
    });
    give("sys/gate.rs", "gate.rs", |text| {
        exchange(text, "use super::futex::", "use crate::kernel::futex::");
        exchange(text, "use crate::sync::atomic::", "use crate::sync;\nuse sync::atomic::");
        exchange(
            text,
            "thread_local! { static HERE: Cell<u8> = const { Cell::new(0) } }",
            "sync::thread_local! { static HERE: Cell<u8> = Cell::new(0) }",
        );
        statics(text, 2);
    });
    give("sys/fork.rs", "fork.rs", |text| {
        exchange(text, "use super::cancel::", "use crate::kernel::");
        exchange(text, "use super::futex::", "use crate::kernel::futex::");
        exchange(text, "use super::shared::", "use crate::sync::");
        exchange(
            text,
            "use super::{Result, gate, ids, memory, table, thread_table};",
            "use crate::Result;\nuse crate::kernel::{self as libc, ids, memory, thread_table};\nuse crate::{gate, sync, table};",
        );
        // The models load no library.
        exchange(
            text,
            "#[used]\n#[unsafe(link_section = \".init_array.00099\")]\nstatic AT_LOAD: extern \"C\" fn() = prepare_once;",
            "",
        );
        exchange(
            text,
            "pub(crate) const fn new() -> PerProcess<T>",
            "pub(crate) fn new() -> PerProcess<T>",
        );
        statics(text, 5);
    });
    give("send/fate.rs", "fate.rs", |text| {
        exchange(
            text,
            "use crate::sys::{Errno, Result, fd, socket};\nuse std::os::fd::BorrowedFd;",
            "use crate::peer::{self as fd, self as socket, BorrowedFd};\nuse crate::{Errno, Result};",
        );
    });
    give("send/welcome.rs", "welcome.rs", |text| {
        exchange(
            text,
            "use crate::address::Whom;\nuse crate::sys::message::{self, Glimpse};\nuse crate::sys::{Errno, Result, socket};\nuse crate::wire::{HEADER, WELCOME};\nuse std::os::fd::BorrowedFd;",
            "use crate::peer::{self as message, self as socket, BorrowedFd, Glimpse, HEADER, WELCOME, Whom};\nuse crate::{Errno, Result};",
        );
    });
    give("map.rs", "map.rs", |text| {
        exchange(text, "use crate::sys::{Errno, Result};", "use crate::{Errno, Result};");
    });
    give("send/cache.rs", "cache.rs", |text| {
        exchange(text, "use crate::sys::fork::", "use crate::fork::");
        exchange(text, "use crate::sys::shared::", "use crate::sync::");
        exchange(text, "use crate::sys::Result;", "use crate::Result;");
        exchange(text, "use crate::sync::{", "use crate::sync::{self, ");
        exchange(
            text,
            "[const { Apart(Mutex::new(Set::new())) }; SETS]",
            "std::array::from_fn(|_| Apart(Mutex::new(Set::new())))",
        );
        // Few, so that the models' recipients meet.
        exchange(text, "const SETS: usize = 64;", "const SETS: usize = 1;");
        exchange(
            text,
            "self.sets[(key.mixed() >> 58) as usize].0",
            "self.sets[(key.mixed() >> 58) as usize % SETS].0",
        );
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
    for (from, to) in
        [("//!", "//"), ("use std::sync::", "use crate::sync::"), ("pub(super)", "pub(crate)")]
    {
        text = text.replace(from, to);
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
