#![cfg_attr(fuzzing, no_main)]
#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|input: &[u8]| sendfd_fuzz::welcome(input));
#[cfg(not(fuzzing))]
fn main() {}
