//! `synward check` as a shell sees it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn check(file: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_synward")).arg("check").arg(file).output().unwrap()
}

/// A file that is gone with this value.
struct Temporary(PathBuf);

impl Temporary {
    fn holding(text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("synward-check-{}.toml", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn the_example_is_ok() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/front.toml");
    let Output { status, stdout, stderr } = check(&file);
    let stdout = String::from_utf8(stdout).unwrap();
    assert_eq!((status.code(), stderr), (Some(0), Vec::new()));
    assert!(stdout.starts_with(&format!("{}: ok\n  interface eth0: ", file.display())), "{stdout}");
}

#[test]
fn mistakes_are_lines_on_standard_error() {
    let file = Temporary::holding("[engine]\nworkers = -1\nsack = 0\n");
    let Output { status, stdout, stderr } = check(&file.0);
    assert_eq!((status.code(), stdout), (Some(1), Vec::new()));
    let stderr = String::from_utf8(stderr).unwrap();
    let places: Vec<&str> = stderr.lines().filter_map(|line| line.strip_prefix(file.0.to_str()?)).collect();
    assert_eq!(places.len(), 5, "{stderr}");
    assert_eq!(places[3], ":2:11: engine: workers must be a number from 0 to 1024, not -1");
    assert_eq!(places[4], ":3:8: engine: sack must be true or false, not 0");
}
