//! The fuzz targets on the inputs that are kept: those of `corpus`, which together reach whatever the fuzzers have reached, and
//! those of `regressions`, each of which broke a law once.
//!
//! One test for each target and folder. Without root the XDP program cannot be loaded, and its tests are ignored.

use libtest_mimic::{Arguments, Failed, Trial};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A target: its name, which is that of its folders, and itself.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 8] = [
    ("wire_parse", synward_fuzz::wire_parse),
    ("options", synward_fuzz::options),
    ("listener", synward_fuzz::listener),
    ("connection", synward_fuzz::connection),
    ("cookie", synward_fuzz::cookie),
    ("config", synward_fuzz::config),
    ("control", synward_fuzz::control),
    (NEEDS_ROOT, synward_fuzz::bpf),
];

/// The target that takes root.
const NEEDS_ROOT: &str = "bpf";

fn main() -> ExitCode {
    let is_root = rustix::process::geteuid().is_root();
    let trials = TARGETS.into_iter().flat_map(|(name, target)| {
        ["corpus", "regressions"].map(|folder| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(name);
            Trial::test(format!("{name}::{folder}"), move || play(&path, target))
                .with_ignored_flag(name == NEEDS_ROOT && !is_root)
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// Plays every input of a folder; one without inputs is no failure: a target may never have broken a law.
fn play(folder: &Path, target: fn(&[u8])) -> Result<(), Failed> {
    for path in inputs(folder)? {
        let input = std::fs::read(&path)?;
        if catch_unwind(|| target(&input)).is_err() {
            return Err(format!("{} breaks a law, as said above", path.display()).into());
        }
    }
    Ok(())
}

fn inputs(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut paths = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}
