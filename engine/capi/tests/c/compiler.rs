//! Compiling C against the header and the library.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What every program is compiled with.
const STRICT: [&str; 5] = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-pedantic"];

/// The folder of this crate.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A folder in which the library has the name that the linker looks for.
fn library() -> PathBuf {
    let built = std::env::current_exe().expect("a test has a path").with_file_name("libsynward_c.so");
    assert!(built.exists(), "{} is built with the tests", built.display());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("library");
    std::fs::create_dir_all(&folder).expect("a folder");
    // Tests on several threads make the same link: each makes one of its own and moves it there.
    let (link, mine) = (folder.join("libsynward.so"), folder.join(format!("{:?}", std::thread::current().id())));
    let _ = std::fs::remove_file(&mine);
    std::os::unix::fs::symlink(built, &mine).expect("a link");
    std::fs::rename(&mine, link).expect("the link");
    folder
}

/// Compiles `source` (below this crate) with `options` into a program called `name`, linked with the library; where it is.
pub fn compile(source: &str, name: &str, options: &[&str]) -> PathBuf {
    let (program, library) = (Path::new(env!("CARGO_TARGET_TMPDIR")).join(name), library());
    let mut cc = Command::new("cc");
    cc.args(STRICT)
        .args(options)
        .arg("-I")
        .arg(root().join("include"))
        .arg(root().join(source))
        .arg("-o")
        .arg(&program);
    cc.arg("-L").arg(&library).args(["-lsynward", "-lpthread"]).arg(format!("-Wl,-rpath,{}", library.display()));
    let output = cc.output().expect("cc: deploy/setup installs it");
    assert!(output.status.success(), "{source}:\n{}", String::from_utf8_lossy(&output.stderr));
    program
}

/// Runs a program that must succeed; what it printed.
pub fn run(mut program: Command) -> String {
    let output = program.output().expect("the program runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program:?}: {}\n{out}{err}", output.status);
    out.into_owned()
}
