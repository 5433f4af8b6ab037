//! Writes the header, and names the shared object.

use std::path::PathBuf;

/// Every file with declarations for C, in the order of the header.
const DECLARATIONS: [&str; 7] = [
    "src/config.rs",
    "src/abi/engine.rs",
    "src/abi/step.rs",
    "src/abi/sockets.rs",
    "src/abi/transfer.rs",
    "src/abi/options.rs",
    "src/abi/events.rs",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml"))?;
    let mut builder = cbindgen::Builder::new().with_config(config);
    for file in DECLARATIONS {
        println!("cargo:rerun-if-changed={file}");
        builder = builder.with_src(root.join(file));
    }
    println!("cargo:rerun-if-changed=cbindgen.toml");
    builder.generate()?.write_to_file(out.join("synward.h"));
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libsynward.so");
    Ok(())
}
