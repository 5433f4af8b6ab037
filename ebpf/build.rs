//! Compiles the XDP programs.

#[path = "build/clang.rs"]
mod clang;

use std::path::Path;

fn main() {
    let sources = Path::new("src/bpf");
    for program in ["shield.bpf.c", "pass.bpf.c"] {
        clang::compile(&sources.join(program), sources);
    }
    println!("cargo::rerun-if-changed=build/clang.rs");
}
