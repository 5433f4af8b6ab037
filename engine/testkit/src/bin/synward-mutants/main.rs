//! `make mutants`: does the suite notice? Mutants of `synward-proto` and `synward-nic`, drawn by a seed.
//!
//! cargo-mutants makes them, in a copy of the working tree. Each is tested with its own package's tests first; one that survives
//! those is tested with the engine's and this crate's that need no kernel: the conversations, whole engines, the simulator.
//! Mutants that cannot be compiled are replaced by others. `.cargo/mutants.toml` leaves out, each with its reason, those
//! that no test could tell from the original.

mod draw;
mod report;
mod tree;

use anyhow::{Result, ensure};
use clap::Parser;
use report::Tested;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;
use tree::{Sieve, Tree};

/// Whose mutants.
const PACKAGES: [&str; 2] = ["synward-proto", "synward-nic"];

/// Of a hundred mutants, so many must be killed.
const WANTED_PERCENT: usize = 95;

/// Each in turn, for what passed the one before.
const SIEVES: [Sieve; 2] = [
    Sieve { name: "own tests", packages: &[], arguments: &["--tests"] },
    Sieve {
        name: "whole engines",
        packages: &["synward-engine", "synward-testkit"],
        arguments: &[
            "--lib",
            "--test=conversations",
            "--test=engine",
            "--test=goodput",
            "--test=hostile_link",
            "--",
            "--skip=kernel4::",
            "--skip=kernel6::",
        ],
    },
];

/// Draws mutants of the rules of TCP and of the ports, and shows which of them no test notices.
#[derive(Debug, Parser)]
struct Options {
    /// What to draw by: the same tree and seed, the same mutants. By the clock, if none is given.
    #[arg(long)]
    seed: Option<u64>,
    /// How many to draw, not counting those that cannot be compiled.
    #[arg(long, default_value_t = 100)]
    count: usize,
    /// Only those whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Where the copy of the tree, what is built of it, and the logs go.
    #[arg(long, default_value = "target/mutants")]
    folder: PathBuf,
    /// Where `mutants.json` goes.
    #[arg(long, default_value = "target/assurance")]
    assurance: PathBuf,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("mutants: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether enough were killed.
fn run(options: &Options) -> Result<bool> {
    let seed = options.seed.unwrap_or_else(by_the_clock);
    println!("mutants: drawn by --seed {seed}");
    let tree = Tree::copy(Path::new("."), &options.folder, &PACKAGES)?;
    let all = tree.list()?;
    let chosen: Vec<_> = all.iter().filter(|name| name.contains(&options.only)).cloned().collect();
    ensure!(!chosen.is_empty(), "cargo-mutants finds no mutant whose name contains `{}`", options.only);
    println!("mutants: {} of {} to draw from", chosen.len(), all.len());

    let mut left = draw::by_seed(chosen, seed).into_iter();
    let mut tested = Tested::default();
    loop {
        let batch: Vec<_> = left.by_ref().take(options.count - tested.viable()).collect();
        if batch.is_empty() {
            break;
        }
        sift(&tree, batch, &mut tested)?;
    }
    print!("{tested}");
    tested.write(&options.assurance, seed, WANTED_PERCENT)?;
    Ok(tested.suffices(WANTED_PERCENT))
}

/// Tests mutants, those that pass one sieve with the next.
fn sift(tree: &Tree, mut names: Vec<String>, tested: &mut Tested) -> Result<()> {
    for sieve in &SIEVES {
        if names.is_empty() {
            return Ok(());
        }
        println!("mutants: {} with {}", names.len(), sieve.name);
        let found = tree.test(&names, sieve)?;
        tested.killed(sieve.name, found.caught.len(), found.hung.len());
        tested.unviable += found.unviable.len();
        names = found.missed;
    }
    tested.survivors.append(&mut names);
    Ok(())
}

fn by_the_clock() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs())
}
