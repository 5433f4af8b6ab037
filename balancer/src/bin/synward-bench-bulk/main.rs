//! `make bench-bulk`: goodput of bulk between the engine and the kernel's TCP, beside that between two kernels on the same path.
//!
//! Two paths that are alike, each with a server at one end, a client of the kernel's TCP at the other, and a router between
//! them, which loses packets on request, take turns. One server is the engine (`synward serve`), the other the kernel. Without
//! loss it is the kernel without offloads that is to be equalled, with loss the kernel with Reno; the client is the same for
//! both. The server runs on core 0 and the client on core 1; the router's work falls to whoever sends.
//!
//! | row | what it is |
//! | --- | --- |
//! | send, receive | what the server does |
//! | streams | connections at once |
//! | loss | percent of the packets that carry the bytes, dropped at random by nftables where they come into the router |
//! | goodput | Gb/s that the receiving application has read, or that were acknowledged to the sending one |
//! | CPU | seconds of both cores for each gigabyte: client, server, and the kernel's threads that work for both |
//! | ratio | the engine's goodput by the kernel's, round by round: median, least and greatest |
//!
//! There is no delay on the path but what the machine takes, some tens of microseconds: the kernel here lacks netem.
//! What long paths do to the engine is seen in virtual time, by its tests.
//!
//! Run it on an otherwise quiet machine. On another, ratios are worth more than rates.

mod bed;
mod measure;
mod report;

use anyhow::{Context, Result};
use clap::Parser;
use measure::Row;
use report::Report;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// The server's core.
const SERVER: usize = 0;
/// The client's.
const CLIENT: usize = 1;

/// Measures bulk between the engine and the kernel beside bulk between two kernels.
#[derive(Debug, Parser)]
struct Options {
    /// How often each row is measured.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each measurement, after half a second for warming up.
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Three rounds of one second.
    #[arg(long)]
    quick: bool,
    /// Only rows whose name contains this: `send`, `64 streams`, `1 % loss`.
    #[arg(long, default_value = "")]
    row: String,
    /// Where `report.json` goes.
    #[arg(long, default_value = "target/bench-bulk")]
    folder: PathBuf,
}

impl Options {
    fn rounds(&self) -> usize {
        if self.quick { 3 } else { self.rounds }
    }

    fn time(&self) -> Duration {
        Duration::from_secs(if self.quick { 1 } else { self.seconds })
    }

    fn rows(&self) -> Vec<Row> {
        Row::all().filter(|row| row.to_string().contains(&self.row)).collect()
    }
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-bulk: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    synward_lab::take_down_on_signals()?;
    anyhow::ensure!(
        std::thread::available_parallelism()?.get() > CLIENT,
        "this takes two cores: one for the server and one for the client"
    );
    anyhow::ensure!(!options.rows().is_empty(), "no row's name contains {:?}", options.row);
    std::fs::create_dir_all(&options.folder).with_context(|| options.folder.display().to_string())?;
    // Threads and processes started from here on inherit it.
    synward_bench::processes::run_before_others(&[std::process::id()])?;
    let report: Report = measure::run(options)?;
    let file = options.folder.join("report.json");
    std::fs::write(&file, serde_json::to_string_pretty(&report)?).with_context(|| file.display().to_string())?;
    println!("{report}\n{}", file.display());
    Ok(())
}
