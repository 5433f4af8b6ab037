//! `make planted`: does the simulator notice? Each patch of `engine/testkit/planted` is one realistic bug; it is put into a copy of the
//! tree, and seeds are run until one fails.

mod tree;

use anyhow::{Context, Error, Result};
use clap::Parser;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use synward_testkit::assurance::{Outcome, write_outcomes};
use tree::{Found, Tree};

/// A bug is to be found within so many seeds.
const SEEDS: u64 = 1000;

/// Puts one bug after the other into a copy of the tree and runs the simulator until it notices.
#[derive(Debug, Parser)]
struct Options {
    /// Only patches whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Where the copy of the tree goes, and what is built of it.
    #[arg(long, default_value = "target/planted")]
    folder: PathBuf,
    /// Where `planted.json` goes.
    #[arg(long, default_value = "target/assurance")]
    assurance: PathBuf,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("planted: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every bug was found.
fn run(options: &Options) -> Result<bool> {
    let tree = Tree::copy(Path::new("."), &options.folder)?;
    let mut rows = Vec::new();
    for patch in patches(&options.only)? {
        let name = patch.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let found =
            tree.with_patch(&patch, || tree.search(SEEDS)).with_context(|| format!("{name}: cannot be tried"))?;
        match &found {
            Some(Found { seed, problem }) => println!("{name:<32} seed {seed:>4}  {problem}"),
            None => println!("{name:<32} not found by {SEEDS} seeds"),
        }
        rows.push((name, found));
        write(&options.assurance, &rows)?;
    }
    let missed = rows.iter().filter(|(_, found)| found.is_none()).count();
    println!("{} of {} found", rows.len() - missed, rows.len());
    Ok(missed == 0)
}

/// The patches, in their order.
fn patches(only: &str) -> Result<Vec<PathBuf>> {
    let folder = "engine/testkit/planted";
    let entries =
        fs::read_dir(folder).with_context(|| format!("no {folder} here: run this from the root of the tree"))?;
    let mut patches = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    patches
        .retain(|path| path.extension().is_some_and(|kind| kind == "patch") && path.to_string_lossy().contains(only));
    patches.sort();
    Ok(patches)
}

/// Writes the rows of the assurance table.
fn write(folder: &Path, rows: &[(String, Option<Found>)]) -> Result<()> {
    let row = |(name, found): &(String, Option<Found>)| {
        let seen = match found {
            Some(Found { seed, problem }) => format!("found by seed {seed}: {problem}"),
            None => format!("not found by {SEEDS} seeds"),
        };
        Outcome { check: format!("planted {name}"), ok: found.is_some(), seen, ..Outcome::default() }
    };
    let rows: Vec<_> = rows.iter().map(row).collect();
    write_outcomes(&folder.join("planted.json"), &rows).map_err(Error::msg)
}
