//! A copy of the tree, in which nothing of the original is built or changed.

use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is no part of the sources.
const LEFT_OUT: [&str; 2] = ["target", ".git"];
/// As much of what the simulator says as fits a table.
const SAID: usize = 160;

/// What a seed found.
pub struct Found {
    /// The seed.
    pub seed: u64,
    /// What it said.
    pub problem: String,
}

/// A copy of the sources, and what is built of it.
pub struct Tree {
    sources: PathBuf,
    target: PathBuf,
}

impl Tree {
    /// Copies the tree at `from` into `folder`. What was built there before is used again.
    ///
    /// # Errors
    /// When a file cannot be copied.
    pub fn copy(from: &Path, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let folder = folder.canonicalize()?;
        let tree = Self { sources: folder.join("sources"), target: folder.join("target") };
        copy_folder(from, &tree.sources)?;
        Ok(tree)
    }

    /// Does something while a patch is applied.
    ///
    /// # Errors
    /// When the patch does not apply, or as `then`.
    pub fn with_patch<T>(&self, patch: &Path, then: impl FnOnce() -> Result<T>) -> Result<T> {
        self.patch(patch, &[])?;
        let done = then();
        self.patch(patch, &["--reverse"])?;
        done
    }

    fn patch(&self, patch: &Path, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new("patch");
        command.args(["--strip=1", "--batch", "--silent"]).args(arguments).arg("--input").arg(patch.canonicalize()?);
        let output =
            command.current_dir(&self.sources).output().context("cannot run patch (Debian: apt install patch)")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        Ok(())
    }

    /// Builds the simulator and runs so many seeds, or as many as it takes until one fails.
    ///
    /// # Errors
    /// When it cannot be built, or fails without a word.
    pub fn search(&self, seeds: u64) -> Result<Option<Found>> {
        let mut build = Command::new("cargo");
        build.args(["build", "--quiet", "--package", "synward-testkit", "--bin", "synward-soak"]);
        let built = build.env("CARGO_TARGET_DIR", &self.target).current_dir(&self.sources).output();
        let built = built.context("cannot run cargo")?;
        ensure!(built.status.success(), "does not build: {}", String::from_utf8_lossy(&built.stderr));
        let mut soak = Command::new(self.target.join("debug/synward-soak"));
        let ran = soak.arg(format!("--seeds=0..{seeds}")).current_dir(&self.target).output();
        let ran = ran.context("cannot run the simulator")?;
        if ran.status.success() {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&ran.stdout);
        match text.lines().find_map(|line| line.strip_prefix("seed ")?.split_once(": ")) {
            Some((seed, problem)) => Ok(Some(Found {
                seed: seed.parse().with_context(|| format!("{seed} is no seed"))?,
                problem: problem.chars().take(SAID).collect(),
            })),
            None => bail!("the simulator fails without a word: {}", String::from_utf8_lossy(&ran.stderr)),
        }
    }
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let (name, target) = (entry.file_name(), to.join(entry.file_name()));
        if LEFT_OUT.iter().any(|left_out| name == *left_out) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            copy_file(&entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Copies a file unless it is there already: what is not touched is not built anew.
fn copy_file(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    if fs::read(to).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    fs::write(to, bytes).with_context(|| format!("cannot write {}", to.display()))
}
