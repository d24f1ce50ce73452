//! Makes declarations out of capi/src, and lets ctest and the C compiler compare them with the header.

use quote::ToTokens;
use std::fmt::Write;
use std::path::Path;

/// Types of the C library that the declarations use; private, so that ctest does not test them.
const STAND_INS: &str = "
    type c_char = i8; type c_int = i32; type c_uint = u32; type pid_t = i32; type uid_t = u32;
    type gid_t = u32; type size_t = usize; enum c_void {} struct timespec; struct siginfo_t;
    struct signalfd_siginfo; struct sendfd_inbox;
    struct sendfd_outbox;
";

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let out = std::env::var("OUT_DIR").expect("set by cargo");
    let (mut rust, mut c) = (STAND_INS.to_owned(), "#include \"sendfd.h\"\n".to_owned());
    for file in ["send.rs", "receive.rs", "outbox.rs"] {
        let path = root.join("capi/src").join(file);
        println!("cargo::rerun-if-changed={}", path.display());
        let source = std::fs::read_to_string(&path).expect("a source file");
        for item in syn::parse_file(&source).expect("valid Rust").items {
            declare(item, &mut rust, &mut c);
        }
    }
    println!("cargo::rerun-if-changed={}", root.join("include/sendfd.h").display());
    println!("cargo::rustc-link-search=native={}", root.join("build").display());
    println!("cargo::rustc-link-lib=dylib=sendfd");
    println!("cargo::rustc-link-arg=-Wl,-rpath,{}", root.join("build").display());

    let declarations = Path::new(&out).join("declarations.rs");
    std::fs::write(&declarations, rust).expect("the declarations");
    let mut generator = ctest::TestGenerator::new();
    generator.header("sendfd.h").include(root.join("include")).skip_private(true);
    ctest::generate_test(&mut generator, &declarations, "all.rs").expect("ctest");

    let signatures = Path::new(&out).join("signatures.c");
    std::fs::write(&signatures, c).expect("the signatures");
    cc::Build::new()
        .file(signatures)
        .include(root.join("include"))
        .std("gnu11")
        .warnings_into_errors(true)
        .compile("signatures");
}

fn declare(item: syn::Item, rust: &mut String, c: &mut String) {
    match item {
        syn::Item::Const(item) if matches!(item.vis, syn::Visibility::Public(_)) => {
            writeln!(rust, "{}", item.to_token_stream()).expect("a string");
        }
        syn::Item::Struct(mut item)
            if item.ident != "sendfd_inbox" && item.ident != "sendfd_outbox" =>
        {
            item.attrs.retain(|attr| attr.path().is_ident("repr"));
            writeln!(rust, "{}", item.to_token_stream()).expect("a string");
        }
        syn::Item::Fn(item) if item.sig.abi.is_some() => {
            let mut sig = item.sig;
            assert_signature(&sig, c);
            sig.abi = None;
            sig.unsafety = None;
            let sig = sig.to_token_stream();
            writeln!(rust, "extern \"C\" {{ pub {sig}; }}").expect("a string");
        }
        _ => {}
    }
}

fn assert_signature(sig: &syn::Signature, c: &mut String) {
    let result = match &sig.output {
        syn::ReturnType::Default => "void".to_owned(),
        syn::ReturnType::Type(_, ty) => c_type(ty),
    };
    let inputs = sig.inputs.iter().map(|input| match input {
        syn::FnArg::Typed(input) => c_type(&input.ty),
        syn::FnArg::Receiver(_) => unreachable!("a function of C has no receiver"),
    });
    let mut inputs = inputs.collect::<Vec<_>>().join(", ");
    if inputs.is_empty() {
        inputs.push_str("void");
    }
    let name = &sig.ident;
    writeln!(
        c,
        "_Static_assert(__builtin_types_compatible_p(__typeof__({name}), {result} ({inputs})), \"{name}\");"
    )
    .expect("a string");
}

fn c_type(ty: &syn::Type) -> String {
    match ty {
        syn::Type::Ptr(pointer) => {
            let constant = if pointer.const_token.is_some() { " const" } else { "" };
            format!("{}{constant} *", c_type(&pointer.elem))
        }
        other => match other.to_token_stream().to_string().as_str() {
            "c_int" => "int",
            "c_uint" => "unsigned",
            "c_char" => "char",
            "c_void" => "void",
            "timespec" => "struct timespec",
            "signalfd_siginfo" => "struct signalfd_siginfo",
            same => return same.to_owned(),
        }
        .to_owned(),
    }
}
