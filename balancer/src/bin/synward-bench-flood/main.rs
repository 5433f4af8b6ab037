//! `make bench-flood`: what a SYN flood costs, and what clients notice of it, for the engine, its shield and others.
//!
//! One lab: attackers and clients have veth pairs of their own into the front, without bridges. Core 0 is the front's: what is
//! measured, and the kernel's threads that poll its interfaces. Core 1 has everything else: the flood, the far end that judges every
//! answer, the clients, and a backend where a proxy needs one. The systems take turns in that lab, row by row, and the rounds
//! repeat all of it; in every other round the order is reversed.
//!
//! | row | what it says |
//! | --- | --- |
//! | `work_ns` | see [`rows::work`] |
//! | `scaling` | see [`rows::scaling`] |
//! | `core_share` | see [`rows::share`] |
//! | `clients` | `clients_ok`, `clients_p50_ms`, `clients_p99_ms`: see [`rows::clients`] |
//!
//! Besides these there are in the document: `offered`, the frames of the flood that were sent each second, and `received`, those that
//! the front took in (the others found its ring full);
//! `syn_acks_valid`, the SYN-ACKs each second with nothing wrong, and `reflected`, the frames that came back as they were sent; `syn_acks_invalid`, how many there were with something wrong;
//! `cookies_echoed`, the share of sampled SYN-ACKs whose completion was let in and echoed; `forged_echoed`, how many forged ACKs
//! were; `during` says in the measurement of which row. The command fails where one of the second or the last was seen.
//!
//! Run it on an otherwise quiet machine.

mod bed;
mod head;
mod measure;
mod rows;
mod system;
mod tables;
mod targets;

use anyhow::{Context, Result, ensure};
use bed::Bed;
use clap::Parser;
use rows::Row;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use synward_bench::report::Report;
use system::{Contender, System};

/// The front's core.
const FRONT: usize = 0;
/// Everybody else's.
const OTHERS: usize = 1;

/// Measures floods against the engine, its shield and others.
#[derive(Debug, Parser)]
struct Options {
    /// How often everything is measured.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each measurement, after a fraction of one for warming up.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// What to measure; everything, if nothing is named.
    #[arg(long, value_enum, value_delimiter = ',')]
    rows: Vec<Row>,
    /// Whom to measure; everybody, if nobody is named.
    #[arg(long, value_enum, value_delimiter = ',')]
    systems: Vec<System>,
    /// One round of short measurements at few rates: shows that everything works, and no figure to trust.
    #[arg(long, conflicts_with_all = ["rounds", "seconds"])]
    quick: bool,
    /// Print the document instead of the tables.
    #[arg(long)]
    json: bool,
    /// Where `report.json` and `report.svg` go.
    #[arg(long, default_value = "target/bench-flood")]
    folder: PathBuf,
}

/// How much is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scope {
    /// Of one measurement.
    pub time: Duration,
    /// Fewer rates and forms of SYNs.
    pub quick: bool,
}

impl Options {
    fn scope(&self) -> Result<Scope> {
        let seconds = if self.quick { 0.5 } else { self.seconds };
        let time = Duration::try_from_secs_f64(seconds).context("--seconds")?;
        ensure!(time >= Duration::from_millis(100), "--seconds {seconds}: a measurement takes at least 0.1");
        Ok(Scope { time, quick: self.quick })
    }

    fn rounds(&self) -> usize {
        if self.quick { 1 } else { self.rounds }
    }

    fn takes_row(&self, row: Row) -> bool {
        self.rows.is_empty() || self.rows.contains(&row)
    }

    fn takes_system(&self, system: System) -> bool {
        self.systems.is_empty() || self.systems.contains(&system)
    }
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench-flood: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every answer was what it must be.
fn run(options: &Options) -> Result<bool> {
    synward_lab::take_down_on_signals()?;
    ensure!(
        std::thread::available_parallelism()?.get() > OTHERS,
        "this takes two cores: one for the front and one for everybody else"
    );
    let scope = options.scope()?;
    std::fs::create_dir_all(&options.folder).with_context(|| options.folder.display().to_string())?;
    // Threads and processes started from here on inherit it.
    synward_bench::processes::run_before_others(&[std::process::id()])?;
    let contenders = contenders(options)?;
    let mut bed = Bed::up()?;
    let head = head::read(&bed)?;
    let mut report = Report::default();
    for round in 0..options.rounds() {
        for row in Row::ALL.into_iter().filter(|row| options.takes_row(*row)) {
            let mut turns: Vec<_> = contenders.iter().filter(|contender| row.takes(**contender)).collect();
            if round % 2 == 1 {
                turns.reverse();
            }
            for contender in turns {
                let running = contender.start(&bed).with_context(|| format!("starting {contender}"))?;
                row.measure(&mut bed, *contender, scope, &mut report)
                    .with_context(|| format!("{row:?} of {contender}"))?;
                eprintln!("bench-flood: round {round}: {row:?} of {contender} measured");
                drop(running);
            }
        }
    }
    conclude(options, &head, &report)
}

/// Those that were asked for and can be had; the others are named.
fn contenders(options: &Options) -> Result<Vec<Contender>> {
    let mut contenders = Contender::all();
    contenders.retain(|contender| options.takes_system(contender.system));
    let mut there = Vec::new();
    for contender in contenders {
        match contender.missing()? {
            Some(reason) => eprintln!("bench-flood: {contender} is left out: {reason}"),
            None => there.push(contender),
        }
    }
    Ok(there)
}

fn conclude(options: &Options, head: &str, report: &Report) -> Result<bool> {
    let write = |name: &str, text: String| {
        let file = options.folder.join(name);
        std::fs::write(&file, text).with_context(|| file.display().to_string())?;
        Ok::<_, anyhow::Error>(file)
    };
    let document = write("report.json", report.json() + "\n")?;
    let picture = write("report.svg", report.svg())?;
    let entries = report.entries();
    if options.json {
        println!("{}", report.json());
    } else {
        println!("{head}\n{}", tables::all(&entries));
        println!("{}\n{}\n{}", targets::table(&entries), document.display(), picture.display());
    }
    let faults = targets::faults(&entries);
    for fault in &faults {
        eprintln!("bench-flood: {fault}");
    }
    Ok(faults.is_empty())
}
