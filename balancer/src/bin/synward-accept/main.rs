//! `make accept`: what is about time or volume, as a table of wanted against seen.
//!
//! Run it on an otherwise quiet machine. Every row says what was wanted and what was seen; the exit status says whether
//! every wanted thing was seen.

mod bed;
mod cookie_space;
mod crowd;
mod flaps;
mod flood;
mod frames;
mod herd;
mod idle;
mod kill_9;
mod memory;
mod paused;
mod proxy_bulk;
mod proxy_herd;
mod proxy_kill;
mod proxy_stopped;
mod report;
mod row;
mod scripts;
mod syn_cost;
mod tap;

use anyhow::Result;
use clap::Parser;
use row::Row;
use std::process::ExitCode;
use synward::control::table::Table;

/// Runs everything that is about time or volume, and prints a table of wanted against seen.
#[derive(Debug, Parser)]
struct Options {
    /// Run only the parts whose name contains this.
    only: Option<String>,
    /// Seconds of each flood phase (200 requests a second).
    #[arg(long, default_value_t = 50)]
    flood_seconds: u32,
    /// SYNs a second of the flood.
    #[arg(long, default_value_t = 100_000)]
    flood_rate: u64,
    /// How often the front is killed.
    #[arg(long, default_value_t = 1000)]
    kills: u32,
}

type Part = (&'static str, fn(&Options) -> Result<Vec<Row>>);

const PARTS: &[Part] = &[
    ("scripts", scripts::run),
    ("syn-cost", syn_cost::run),
    ("cookie-space", cookie_space::run),
    ("crowd-size", crowd::size),
    ("crowd-cost", crowd::cost),
    ("frames", frames::run),
    ("proxy-bulk", proxy_bulk::run),
    ("proxy-herd", proxy_herd::run),
    ("proxy-stopped", proxy_stopped::run),
    ("proxy-kill", proxy_kill::run),
    ("tap", tap::run),
    ("kill-9", kill_9::run),
    ("paused", paused::run),
    ("flaps", flaps::run),
    ("idle", idle::run),
    ("herd", herd::run),
    ("flood", flood::run),
];

fn main() -> ExitCode {
    let options = Options::parse();
    if let Err(error) = synward_lab::take_down_on_signals() {
        eprintln!("accept: {error}");
        return ExitCode::FAILURE;
    }
    let ran: Vec<_> = PARTS
        .iter()
        .copied()
        .filter(|(name, _)| options.only.as_deref().is_none_or(|only| name.contains(only)))
        .map(|(name, run)| (name, run_part(name, run, &options)))
        .collect();
    if let Err(error) = report::write(&ran) {
        eprintln!("accept: the report could not be written: {error:#}");
    }
    let mut table = Table::new(["part", "what", "wanted", "seen", ""]);
    let mut failed = 0;
    for (name, rows) in ran {
        for row in rows {
            failed += u32::from(!row.ok);
            let verdict = if row.ok { "ok" } else { "NOT MET" };
            table.row([name.to_owned(), row.what, row.wanted, row.seen, verdict.to_owned()]);
        }
    }
    println!("{table}");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        println!("{failed} not met");
        ExitCode::FAILURE
    }
}

fn run_part(name: &str, run: fn(&Options) -> Result<Vec<Row>>, options: &Options) -> Vec<Row> {
    eprintln!("accept: {name}");
    let rows = run(options).unwrap_or_else(|error| vec![Row::broken(&format!("{error:#}"))]);
    for row in &rows {
        eprintln!("accept: {name}: {}: wanted {}, seen {}", row.what, row.wanted, row.seen);
    }
    rows
}
