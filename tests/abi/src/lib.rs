//! Compares the Rust declarations in `capi` with the C header: sizes, offsets, types, constants and
//! existence by ctest; signatures, at which ctest does not look, by C static assertions. Both are made
//! in `build.rs` from the source of `capi` itself.
