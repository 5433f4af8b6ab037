//! Compiles the BPF program of the flood generator.

#[path = "../ebpf/build/clang.rs"]
mod clang;

use std::path::Path;

fn main() {
    // The BPF runtime's header is shared with the XDP programs.
    clang::compile(Path::new("src/bpf/flood.bpf.c"), Path::new("../ebpf/src/bpf"));
    println!("cargo::rerun-if-changed=../ebpf/build/clang.rs");
}
