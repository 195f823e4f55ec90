//! Compiles the emulator's runtime.

/// One file for each part; see `cpp/machine.h`.
const PARTS: [&str; 12] = [
    "barriers",
    "bulk",
    "collectives",
    "copies",
    "fibers",
    "launch",
    "matrix",
    "memory",
    "order",
    "races",
    "scheduler",
    "wgmma",
];

fn main() {
    let mut build = cc::Build::new();
    build.cpp(true).std("gnu++20").warnings(true).extra_warnings(true);
    // Optimised in every profile: it runs millions of emulated threads.
    build.opt_level(3).debug(false).flag("-ffp-contract=off");
    build.include("../cuda");
    build.files(PARTS.iter().map(|part| format!("cpp/{part}.cpp")));
    build.compile("samp_emulator");
    println!("cargo:rerun-if-changed=cpp");
    println!("cargo:rerun-if-changed=../cuda/types.cuh");
}
