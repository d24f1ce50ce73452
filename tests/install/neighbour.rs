//! Another static library that is made in Rust, which a program uses beside ours.

#[unsafe(no_mangle)]
pub extern "C" fn neighbour() -> i32 {
    std::thread::spawn(|| 42).join().unwrap_or(-1)
}
