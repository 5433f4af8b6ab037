//! `make mutants`: does the suite notice? Mutants of `synward-proto` and `synward-nic`, drawn by a seed.
//!
//! cargo-mutants says what can be broken; each mutant is put into a copy of the working tree. It is tested with its own package's
//! tests first; one that survives those is tested with the engine's and this crate's that need no kernel: the conversations,
//! whole engines, the simulator. Mutants that cannot be compiled are replaced by others. `.cargo/mutants.toml` leaves out,
//! each with its reason, those that no test could tell from the original.

mod draw;
mod mutant;
mod report;
mod sieve;
mod tree;

use anyhow::{Result, ensure};
use clap::Parser;
use mutant::Mutant;
use report::Tested;
use sieve::{SIEVES, Seen, Sieve};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};
use tree::Tree;

/// Whose mutants.
const PACKAGES: [&str; 2] = ["synward-proto", "synward-nic"];

/// Of a hundred mutants, so many must be killed.
const WANTED_PERCENT: usize = 95;

/// The longest that tests may take, and what of the time that they have is for compiling.
const LONGEST: Duration = Duration::from_secs(3600);
const TO_COMPILE: Duration = Duration::from_secs(120);

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
    /// Where the copy of the tree and what is built of it go.
    #[arg(long, default_value = "target/mutants")]
    folder: PathBuf,
    /// Where `mutants.json` goes.
    #[arg(long, default_value = "target/assurance")]
    assurance: PathBuf,
}

/// What became of a mutant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It does not compile.
    Unviable,
    /// All tests passed.
    Survived,
    /// These tests failed, or did not end.
    Killed(&'static str, Seen),
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
    let tree = Tree::copy(Path::new("."), &options.folder)?;
    let all = mutant::list(&tree, &PACKAGES)?;
    let of_all = all.len();
    let chosen: Vec<Mutant> = all.into_iter().filter(|mutant| mutant.name.contains(&options.only)).collect();
    ensure!(!chosen.is_empty(), "cargo-mutants finds no mutant whose name contains `{}`", options.only);
    println!("mutants: {} of {of_all} to draw from", chosen.len());
    let patience = patience_of_each(&tree)?;

    let mut tested = Tested::default();
    for mutant in draw::by_seed(chosen, seed) {
        if tested.viable() == options.count {
            break;
        }
        let fate = mutant.within(&tree, || sift(&tree, &mutant, &patience))??;
        println!("mutants: {fate}: {}", mutant.name);
        tested.note(&mutant.name, fate);
    }
    print!("{tested}");
    tested.write(&options.assurance, seed, WANTED_PERCENT)?;
    Ok(tested.suffices(WANTED_PERCENT))
}

/// The tests must pass with nothing broken, or they would seem to notice everything. How long each sieve may take from then on:
/// far longer than it just did, so that other work on the machine does not look like a mutant that was noticed.
fn patience_of_each(tree: &Tree) -> Result<[Duration; SIEVES.len()]> {
    let mut patience = [LONGEST; SIEVES.len()];
    for (sieve, patience) in SIEVES.iter().zip(&mut patience) {
        // The first time compiles, the second is measured.
        for _ in 0..2 {
            let began = Instant::now();
            let seen = sieve.test(tree, &PACKAGES, LONGEST)?;
            let log = tree.log().display();
            ensure!(seen == Seen::Nothing, "{} fail without a mutant, see {log}: mend that first", sieve.name);
            *patience = LONGEST.min(TO_COMPILE + began.elapsed() * 10);
        }
        println!("mutants: {} pass without a mutant, and have {patience:.0?} from now on", sieve.name);
    }
    Ok(patience)
}

/// Tests a mutant that is in the tree, with one sieve after the other.
fn sift(tree: &Tree, mutant: &Mutant, patience: &[Duration]) -> Result<Fate> {
    let own = [mutant.package.as_str()];
    if !Sieve::compiles(tree, &own)? {
        return Ok(Fate::Unviable);
    }
    for (sieve, &patience) in SIEVES.iter().zip(patience) {
        match sieve.test(tree, &own, patience)? {
            Seen::Nothing => {}
            seen => return Ok(Fate::Killed(sieve.name, seen)),
        }
    }
    Ok(Fate::Survived)
}

fn by_the_clock() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs())
}
