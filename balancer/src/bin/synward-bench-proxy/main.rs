//! `make bench-proxy`: connections and requests a second through the front end, beside HAProxy in TCP mode on the same core.
//!
//! Both stand in labs of their own that are alike, in front of two nginx each, and take turns. Everything measured runs at the
//! highest ordinary priority. Core 0 is the front's: its threads, and the kernel's that poll its interface. Core 1 has
//! everything else: clients, web servers, and the kernel's threads that poll their interfaces and those of the bridge.
//! Since core 1 may be what limits the rate, the figure to compare is the rate for each second that core 0 was in use.
//!
//! Run it on an otherwise quiet machine.

mod bed;
mod beside;
mod front;
mod measure;
mod profile;
mod report;
mod scaling;

use anyhow::{Context, Result};
use clap::Parser;
use report::Report;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// The front's core.
const FRONT: usize = 0;
/// Everybody else's.
const OTHERS: usize = 1;

/// Measures the front end beside HAProxy, and one poll loop beside two.
#[derive(Debug, Parser)]
struct Options {
    /// How often each is measured.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each measurement, after one for warming up.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Leave out one poll loop beside two.
    #[arg(long)]
    no_scaling: bool,
    /// Instead of measuring, show where the front's core spends its time, by `perf`.
    #[arg(long)]
    profile: bool,
    /// Where `report.json` and the profiles go.
    #[arg(long, default_value = "target/bench-proxy")]
    folder: PathBuf,
}

impl Options {
    fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-proxy: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    synward_lab::take_down_on_signals()?;
    anyhow::ensure!(
        std::thread::available_parallelism()?.get() > OTHERS,
        "this takes two cores: one for the front and one for everybody else"
    );
    std::fs::create_dir_all(&options.folder).with_context(|| options.folder.display().to_string())?;
    // Threads and processes started from here on inherit it.
    synward_bench::processes::run_before_others(&[std::process::id()])?;
    if options.profile {
        return profile::run(options);
    }
    let report = Report { beside: beside::run(options)?, scaling: scaling::run(options)? };
    let file = options.folder.join("report.json");
    std::fs::write(&file, serde_json::to_string_pretty(&report)?).with_context(|| file.display().to_string())?;
    println!("{report}\n{}", file.display());
    Ok(())
}
