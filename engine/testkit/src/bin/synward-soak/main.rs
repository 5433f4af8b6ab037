//! `make soak`: the simulator, seed after seed, until it is stopped or a promise is broken.

mod hunt;
mod memory;
mod report;

use anyhow::{Context, Result, anyhow, ensure};
use clap::Parser;
use hunt::Hunt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime};
use synward_testkit::simulator::{Options as World, record, simulate};

/// Between two lines.
const MINUTE: Duration = Duration::from_secs(60);

/// Runs whole hosts in a hostile world, seed after seed, until it is stopped.
#[derive(Debug, Parser)]
struct Options {
    /// Runs this seed alone, and writes its frames to a pcap file.
    #[arg(long, conflicts_with_all = ["seeds", "minutes"])]
    seed: Option<u64>,
    /// Runs these seeds: the first, two points, and the one behind the last. By the clock and without end, if none are given.
    #[arg(long)]
    seeds: Option<Seeds>,
    /// Stops after so many minutes.
    #[arg(long)]
    minutes: Option<u64>,
    /// How many run at once. One on each core, if nothing is said.
    #[arg(long)]
    threads: Option<usize>,
    /// Where the frames of failed runs go.
    #[arg(long, default_value = "target/seeds")]
    folder: PathBuf,
    /// Where `soak.json` goes.
    #[arg(long, default_value = "target/assurance")]
    assurance: PathBuf,
}

/// The first seed and the one behind the last.
#[derive(Clone, Debug)]
struct Seeds(Range<u64>);

impl FromStr for Seeds {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (first, end) = text.split_once("..").ok_or_else(|| anyhow!("seeds are given as 0..1000"))?;
        let (first, end) = (first.parse()?, end.parse()?);
        ensure!(first < end, "no seeds from {first} to {end}");
        Ok(Self(first..end))
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let ran = match options.seed {
        Some(seed) => run_alone(seed, &options.folder),
        None => soak(&options),
    };
    match ran {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one seed. Whether it kept every promise.
fn run_alone(seed: u64, folder: &Path) -> Result<bool> {
    let path = folder.join(format!("seed-{seed}.pcap"));
    record(seed, &path).with_context(|| format!("cannot write {}", path.display()))?;
    println!("frames of seed {seed} in {}", path.display());
    match simulate(seed) {
        Ok(outcome) => println!("{:#?}\nseed {seed}: {outcome:#?}", World::of(seed)),
        Err(problem) => {
            println!("{problem}");
            return Ok(false);
        }
    }
    Ok(true)
}

/// Runs many. Whether all kept every promise, and memory stayed flat.
fn soak(options: &Options) -> Result<bool> {
    let clock = SystemTime::UNIX_EPOCH.elapsed().context("the clock is before 1970")?.as_nanos() as u64;
    let seeds = options.seeds.as_ref().map_or(clock..u64::MAX, |Seeds(seeds)| seeds.clone());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = options.threads.unwrap_or(cores).max(1);
    let end = options.minutes.map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
    println!("soak: seeds from {} on {threads} threads", seeds.start);
    let mut hunt = Hunt::begin(seeds, threads);
    while !hunt.wait(end.map_or(MINUTE, |end| end.saturating_duration_since(Instant::now()).min(MINUTE)))? {
        println!("{}", hunt.line());
        // A soak without an end is stopped by whoever watches it: what it has seen by then is written each minute.
        report::write(&options.assurance, &hunt)?;
        if end.is_some_and(|end| end <= Instant::now()) {
            hunt.stop();
        }
    }
    println!("{}", hunt.line());
    report::write(&options.assurance, &hunt)?;
    if let Some((seed, problem)) = hunt.finding() {
        let path = options.folder.join(format!("seed-{seed}.pcap"));
        record(seed, &path).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{problem}\nframes: {}", path.display());
    }
    Ok(report::is_clean(&hunt))
}
