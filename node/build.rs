//! Tells the linker what a Node addon needs.

fn main() {
    napi_build::setup();
    // Threads that end, and those that close what may linger, run code of the library's: it stays loaded.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
