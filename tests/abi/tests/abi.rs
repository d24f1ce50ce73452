//! Rust declarations and C header agree.

// The objects that build.rs made are linked to the library of this package.
use sendfd_abi_tests as _;

mod generated {
    #![allow(
        clippy::all,
        dead_code,
        unused,
        improper_ctypes,
        non_camel_case_types,
        private_interfaces,
        reason = "generated"
    )]
    include!(concat!(env!("OUT_DIR"), "/declarations.rs"));
    include!(concat!(env!("OUT_DIR"), "/all.rs"));

    #[test]
    fn declarations_agree_with_the_header() {
        main();
    }
}
