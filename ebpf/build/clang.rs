//! Compiles BPF programs with clang. Shared by the build scripts of the crates that carry some.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, io};

/// Compiles `source` for the BPF target of this machine's byte order into `OUT_DIR`, as `<stem>.o`; `include` is
/// searched for our own headers. Returns where it is. Panics with what to install if it cannot.
pub fn compile(source: &Path, include: &Path) -> PathBuf {
    let clang = env::var("CLANG").unwrap_or_else(|_| "clang".into());
    let stem = source.file_stem().expect("a source file has a name").to_string_lossy();
    let object = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join(format!("{stem}.o"));
    let mut command = Command::new(&clang);
    command.args(["-target", bpf_target(), "-mcpu=v3", "-O2", "-g", "-Wall", "-Wextra", "-Werror"]);
    command.arg("-I").arg(include);
    if let Some(multiarch) = multiarch_headers() {
        command.arg("-idirafter").arg(multiarch);
    }
    command.arg("-c").arg(source).arg("-o").arg(&object);
    println!("cargo::rerun-if-changed={}", include.display());
    println!("cargo::rerun-if-changed={}", source.display());
    println!("cargo::rerun-if-env-changed=CLANG");
    match command.status() {
        Ok(status) if status.success() => object,
        Ok(status) => panic!(
            "{clang} could not compile {} ({status}); it needs the kernel's headers: on Debian, install linux-libc-dev",
            source.display(),
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound => panic!(
            "the XDP programs are compiled by clang, and {clang:?} was not found: install clang (on Debian: apt-get \
             install clang), or name one in CLANG",
        ),
        Err(error) => panic!("cannot run {clang}: {error}"),
    }
}

fn bpf_target() -> &'static str {
    match env::var("CARGO_CFG_TARGET_ENDIAN").as_deref() {
        Ok("big") => "bpfeb",
        _ => "bpfel",
    }
}

/// Where Debian keeps `asm/types.h`: clang looks there for its own machine only, and BPF is another.
fn multiarch_headers() -> Option<PathBuf> {
    let arch = env::var("CARGO_CFG_TARGET_ARCH").ok()?;
    let path = PathBuf::from(format!("/usr/include/{arch}-linux-gnu"));
    path.is_dir().then_some(path)
}
