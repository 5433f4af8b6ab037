//! All rows, in turns.

use crate::bed::{Bed, System};
use crate::report::{Report, Rows};
use crate::{CLIENT, Options};
use anyhow::{Context, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use synward_bench::bulk::{Bulk, Way};

const WARM_UP: Duration = Duration::from_millis(500);

/// What is measured.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Row {
    pub way: Way,
    pub streams: usize,
    /// Percent.
    pub loss: f64,
}

impl Row {
    pub fn all() -> impl Iterator<Item = Self> {
        [Way::Send, Way::Receive].into_iter().flat_map(|way| {
            [1, 64].into_iter().flat_map(move |streams| [0.0, 1.0, 5.0].map(|loss| Self { way, streams, loss }))
        })
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match self.way {
            Way::Send => "send",
            Way::Receive => "receive",
        };
        let streams = if self.streams == 1 { "stream" } else { "streams" };
        write!(f, "{way}, {} {streams}, {} % loss", self.streams, self.loss)
    }
}

/// What was seen of one system in one round.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Seen {
    /// Gb/s.
    pub goodput: f64,
    /// CPU seconds of both cores for each gigabyte.
    pub cpu_per_gigabyte: f64,
}

pub fn run(options: &Options) -> Result<Report> {
    let beds = [Bed::up(System::Engine)?, Bed::up(System::Kernel)?];
    let mut rows: Vec<_> = options.rows().into_iter().map(Rows::new).collect();
    for round in 0..options.rounds() {
        for Rows { row, engine, kernel } in &mut rows {
            let mut order = [(System::Engine, &beds[0], engine), (System::Kernel, &beds[1], kernel)];
            if round % 2 == 1 {
                order.reverse();
            }
            for (system, bed, all) in order {
                let seen = measure(bed, *row, options.time())
                    .with_context(|| format!("{row}, {}\n{}", system.name(), bed.log()))?;
                eprintln!("bench-bulk: round {round}: {row}: {}: {:.2} Gb/s", system.name(), seen.goodput);
                all.push(seen);
            }
        }
    }
    Ok(Report { about: about(&beds)?, rows })
}

fn measure(bed: &Bed, row: Row, time: Duration) -> Result<Seen> {
    let Row { way, streams, loss } = row;
    bed.set_loss(way, loss)?;
    let bulk = Bulk { target: bed.target(way), way, streams, warm_up: WARM_UP, time, cores: &[CLIENT] };
    let outcome = bed.client().enter(|| bulk.run(|| bed.used()))??;
    let [before, after] = outcome.seen;
    let gigabytes = outcome.bytes as f64 / 1e9;
    Ok(Seen { goodput: outcome.goodput(), cpu_per_gigabyte: (after - before).as_secs_f64() / gigabytes })
}

fn about(beds: &[Bed; 2]) -> Result<BTreeMap<String, String>> {
    let mut about = BTreeMap::new();
    for (system, bed) in System::ALL.into_iter().zip(beds) {
        about.insert(system.name().to_owned(), bed.description()?);
    }
    about.insert("client".to_owned(), beds[0].description_of_client()?);
    about.insert("path".to_owned(), "veth, a router of the kernel's between, MTU 1500, no delay".to_owned());
    let load = std::fs::read_to_string("/proc/loadavg").context("/proc/loadavg")?;
    about.insert("load average at the end".to_owned(), load.split(' ').take(3).collect::<Vec<_>>().join(", "));
    Ok(about)
}
