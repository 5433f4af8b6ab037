//! What mutants are tested with.

use crate::tree::Tree;
use anyhow::Result;
use std::process::Command;
use std::time::Duration;

/// Tests that a mutant must pass to survive.
#[derive(Debug)]
pub struct Sieve {
    pub name: &'static str,
    /// Whose tests; the mutant's own package's, if nobody's are named.
    packages: &'static [&'static str],
    /// Of `cargo test`.
    arguments: &'static [&'static str],
}

/// What tests saw.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    Nothing,
    /// One failed.
    Wrong,
    /// They did not end.
    Hang,
}

/// Each in turn, for what passed the one before.
pub const SIEVES: [Sieve; 2] = [
    Sieve { name: "own tests", packages: &[], arguments: &["--tests"] },
    Sieve {
        name: "whole engines",
        packages: &["synward-engine", "synward-testkit"],
        arguments: &[
            "--lib",
            "--test=conversations",
            "--test=engine",
            "--test=attacks",
            "--test=intruders",
            "--test=malformed",
            "--test=simulator",
            "--test=goodput",
            "--",
            "--skip=kernel4::",
            "--skip=kernel6::",
        ],
    },
];

/// What `timeout` exits with when the time has passed.
const TIMED_OUT: i32 = 124;

impl Sieve {
    /// Whether the tests of `packages` compile.
    ///
    /// # Errors
    /// When cargo cannot be run.
    pub fn compiles(tree: &Tree, packages: &[&str]) -> Result<bool> {
        let mut command = tree.command("cargo");
        Ok(test(&mut command, tree, packages)?.args(["--no-run", "--tests"]).status()?.success())
    }

    /// Runs the tests; those of packages that are not named in the sieve are of `own`. Past `patience`, compiling included, they
    /// do not end.
    ///
    /// # Errors
    /// When `timeout` cannot be run.
    pub fn test(&self, tree: &Tree, own: &[&str], patience: Duration) -> Result<Seen> {
        let packages = if self.packages.is_empty() { own } else { self.packages };
        let mut command = tree.command("timeout");
        command.args(["--kill-after=5", &patience.as_secs().to_string(), "cargo"]);
        let status = test(&mut command, tree, packages)?.args(self.arguments).status()?;
        Ok(match status.code() {
            Some(0) => Seen::Nothing,
            Some(TIMED_OUT) => Seen::Hang,
            _ => Seen::Wrong,
        })
    }
}

/// Makes a test of `packages` of it, whose output nobody sees unless it looks into the tree's log.
fn test<'a>(command: &'a mut Command, tree: &Tree, packages: &[&str]) -> Result<&'a mut Command> {
    let log = tree.new_log()?;
    let packages = packages.iter().map(|package| format!("--package={package}"));
    Ok(command.args(["test", "--quiet"]).args(packages).stdout(log.try_clone()?).stderr(log))
}
