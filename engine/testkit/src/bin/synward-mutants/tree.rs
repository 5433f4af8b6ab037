//! A copy of the working tree, in which cargo-mutants breaks one thing after another.

use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The least that a mutant's tests may take before they count as hung, in seconds, however fast the original's were: other
/// work on the machine must not look like a mutant that was noticed.
const PATIENCE: &str = "300";

/// What mutants are tested with.
#[derive(Debug)]
pub struct Sieve {
    pub name: &'static str,
    /// Whose tests: none named, each mutant's own package's.
    pub packages: &'static [&'static str],
    /// Of `cargo test`.
    pub arguments: &'static [&'static str],
}

/// What came of testing mutants, by name.
#[derive(Debug)]
pub struct Found {
    pub caught: Vec<String>,
    pub missed: Vec<String>,
    /// Their tests did not end.
    pub hung: Vec<String>,
    /// They could not be compiled.
    pub unviable: Vec<String>,
}

/// The copy.
#[derive(Debug)]
pub struct Tree {
    sources: PathBuf,
    /// What is built stays here from one run to the next, dependencies above all.
    built: PathBuf,
    logs: PathBuf,
    /// Whose mutants are made.
    packages: &'static [&'static str],
}

impl Tree {
    /// Copies what git knows or would add from `origin` into `folder`, with the times of the files, for cargo to see what is new.
    /// Mutants are made of `packages`.
    ///
    /// # Errors
    /// Where git or cargo-mutants is missing, or a file cannot be written.
    pub fn copy(origin: &Path, folder: &Path, packages: &'static [&'static str]) -> Result<Self> {
        let version = Command::new("cargo").args(["mutants", "--version"]).output();
        let is_there = version.is_ok_and(|output| output.status.success());
        ensure!(is_there, "cargo-mutants is not installed: cargo install --locked cargo-mutants");
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let folder = folder.canonicalize()?;
        let [sources, built, logs] = ["tree", "built", "logs"].map(|name| folder.join(name));
        if sources.exists() {
            fs::remove_dir_all(&sources).with_context(|| format!("cannot remove {}", sources.display()))?;
        }
        fs::create_dir_all(&logs)?;
        for path in files(origin)? {
            copy_file(&origin.join(&path), &sources.join(&path))?;
        }
        Ok(Self { sources, built, logs, packages })
    }

    /// The names of all mutants.
    ///
    /// # Errors
    /// When cargo-mutants cannot read the tree.
    pub fn list(&self) -> Result<Vec<String>> {
        let output = self.mutants().arg("--list").stderr(Stdio::inherit()).output()?;
        ensure!(output.status.success(), "cargo mutants --list: {}", output.status);
        Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
    }

    /// Tests the mutants of these names, one after another, and before them the tree as it is.
    ///
    /// # Errors
    /// When the tree does not pass as it is, or cargo-mutants cannot work.
    pub fn test(&self, names: &[String], sieve: &Sieve) -> Result<Found> {
        let logs = self.logs.join(sieve.name.replace(' ', "-"));
        let mut command = self.mutants();
        command.args(["--in-place", "--minimum-test-timeout", PATIENCE, "--output"]).arg(&logs);
        command.args(names.iter().map(|name| format!("--re=^{}$", escaped(name))));
        command.args(sieve.packages.iter().map(|package| format!("--test-package={package}")));
        command.arg("--").args(sieve.arguments);
        let status = command.status()?;
        let found = Found::read(&logs.join("mutants.out"))?;
        let judged = found.caught.len() + found.missed.len() + found.hung.len() + found.unviable.len();
        match status.code() {
            // Found all, found some missing, some hung: see `cargo mutants --help` about exit codes.
            Some(0 | 2 | 3) if judged == names.len() => Ok(found),
            Some(4) => bail!("the tests fail without a mutant: see {}", logs.display()),
            _ => bail!("cargo mutants ({status}) judged {judged} of {} mutants: see {}", names.len(), logs.display()),
        }
    }

    fn mutants(&self) -> Command {
        let mut command = Command::new("cargo");
        command.arg("mutants").args(self.packages.iter().map(|package| format!("--package={package}")));
        command.current_dir(&self.sources).env("CARGO_TARGET_DIR", &self.built);
        command
    }
}

impl Found {
    fn read(folder: &Path) -> Result<Self> {
        let names = |file: &str| -> Result<Vec<String>> {
            let path = folder.join(file);
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            Ok(text.lines().map(str::to_owned).collect())
        };
        Ok(Self {
            caught: names("caught.txt")?,
            missed: names("missed.txt")?,
            hung: names("timeout.txt")?,
            unviable: names("unviable.txt")?,
        })
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
    let copied = || -> std::io::Result<()> {
        fs::create_dir_all(to.parent().unwrap_or(to))?;
        fs::copy(from, to)?;
        let changed = fs::metadata(from)?.modified()?;
        fs::File::options().write(true).open(to)?.set_modified(changed)
    };
    copied().with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

/// A regular expression for this text.
fn escaped(text: &str) -> String {
    let escape = |letter: char| (!letter.is_alphanumeric() && letter.is_ascii() && letter != ' ').then_some('\\');
    text.chars().flat_map(|letter| escape(letter).into_iter().chain([letter])).collect()
}
