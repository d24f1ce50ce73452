//! Models of what the threads of a process share in the core, on the core's own code: the table of
//! descriptors, its gate and what a child makes of it (`sys/table.rs`, `sys/gate.rs`, `sys/fork.rs`), the links that are kept
//! (`send/cache.rs`), what is known of the parcels of an outbox (`send/fate.rs`), and whether a guest was let in
//! (`send/welcome.rs`).
//!
//! With `--cfg loom` every order of the threads' steps is tried, and every value that the memory orders
//! allow a load to see. Without it, the same models run once with std's types: for Miri, which looks for
//! undefined behaviour in them.
#![cfg(test)]
#![allow(dead_code, unused_doc_comments, unused_unsafe, unreachable_pub)]
#![allow(clippy::modulo_one, clippy::missing_const_for_thread_local)]

mod kernel;
mod link;
mod models;
mod peer;
mod sync;

mod cache {
    include!(concat!(env!("OUT_DIR"), "/cache.rs"));
}
mod fate {
    include!(concat!(env!("OUT_DIR"), "/fate.rs"));
}
mod fork {
    include!(concat!(env!("OUT_DIR"), "/fork.rs"));
}
mod gate {
    include!(concat!(env!("OUT_DIR"), "/gate.rs"));
}
mod map {
    include!(concat!(env!("OUT_DIR"), "/map.rs"));
}
mod welcome {
    include!(concat!(env!("OUT_DIR"), "/welcome.rs"));
}
mod table {
    include!(concat!(env!("OUT_DIR"), "/table.rs"));
}

/// As in the core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Errno(pub(crate) i32);

pub(crate) type Result<T> = std::result::Result<T, Errno>;
