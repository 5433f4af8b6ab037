//! Compiles the XDP programs.

#[path = "build/clang.rs"]
mod clang;
#[path = "build/kernel_floor.rs"]
mod kernel_floor;

use std::path::Path;

use object::{Object, ObjectSection, SectionKind};

fn main() {
    let sources = Path::new("src/bpf");
    for program in ["shield.bpf.c", "pass.bpf.c"] {
        let compiled = clang::compile(&sources.join(program), sources);
        if let Err(error) = check(&compiled) {
            panic!("{program}: {error}");
        }
    }
    println!("cargo::rerun-if-changed=build");
}

/// Checks every program of an object.
fn check(path: &Path) -> Result<(), String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let object = object::File::parse(&*bytes).map_err(|error| error.to_string())?;
    for section in object.sections().filter(|section| section.kind() == SectionKind::Text) {
        let instructions = section.data().map_err(|error| error.to_string())?;
        kernel_floor::check(instructions, object.is_little_endian())?;
    }
    Ok(())
}
