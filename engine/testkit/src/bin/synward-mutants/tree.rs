//! A copy of the working tree, in which one thing after another is broken.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The copy.
#[derive(Debug)]
pub struct Tree {
    sources: PathBuf,
    /// What is built stays here from one run to the next, dependencies above all.
    built: PathBuf,
    log: PathBuf,
}

impl Tree {
    /// Copies what git knows or would add from `origin` into `folder`. All files are new to cargo, which goes by their times: what
    /// is left from the last run was built of its last mutant.
    ///
    /// # Errors
    /// Where git is missing, or a file cannot be written.
    pub fn copy(origin: &Path, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let folder = folder.canonicalize()?;
        let [sources, built, log] = ["tree", "built", "log"].map(|name| folder.join(name));
        if sources.exists() {
            fs::remove_dir_all(&sources).with_context(|| format!("cannot remove {}", sources.display()))?;
        }
        for path in files(origin)? {
            copy_file(&origin.join(&path), &sources.join(&path))?;
        }
        Ok(Self { sources, built, log })
    }

    /// A file of the copy.
    pub fn path(&self, file: &Path) -> PathBuf {
        self.sources.join(file)
    }

    /// Where the output of the last tests is.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The log, emptied.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new_log(&self) -> Result<fs::File> {
        fs::File::create(&self.log).with_context(|| format!("cannot write {}", self.log.display()))
    }

    /// A program that works on the copy.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.sources).env("CARGO_TARGET_DIR", &self.built);
        command
    }
}

fn files(origin: &Path) -> Result<Vec<PathBuf>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(origin);
    let output = git.output().context("the tree is copied by git, which is not installed")?;
    ensure!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout)?;
    let is_there = |path: &PathBuf| origin.join(path).exists();
    Ok(names.split_terminator('\0').map(PathBuf::from).filter(is_there).collect())
}

fn copy_file(from: &Path, to: &Path) -> Result<()> {
    let copied = fs::create_dir_all(to.parent().unwrap_or(to)).and_then(|()| fs::copy(from, to));
    copied.with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}
