//! Compiles the BPF programs of the flood generator, of its far end, and of bare systems to compare with.

#[path = "../ebpf/build/clang.rs"]
mod clang;

use std::path::Path;

fn main() {
    // The BPF runtime's header is shared with the XDP programs.
    for program in ["flood", "validator", "bare"] {
        clang::compile(Path::new(&format!("src/bpf/{program}.bpf.c")), Path::new("../ebpf/src/bpf"));
    }
    println!("cargo::rerun-if-changed=src/bpf");
    println!("cargo::rerun-if-changed=../ebpf/build/clang.rs");
}
