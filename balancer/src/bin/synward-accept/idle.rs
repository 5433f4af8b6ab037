//! What the engine costs when nothing happens.

use crate::Options;
use crate::row::Row;
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};
use synward::served::{self, Served};
use synward_bench::processes::{self, run_time};
use synward_lab::{End, Lab, LabConfig};

const WATCHED: Duration = Duration::from_secs(30);
const LIMIT: f64 = 2.0;

pub fn run(_: &Options) -> Result<Vec<Row>> {
    // NAPI in a thread of its own, so that its time can be charged too.
    let front = End { threaded_napi: true, ..End::default() };
    let lab = Lab::up(&LabConfig { front, ..LabConfig::default() })?;
    let mut server = Served::start(&served::program()?, lab.front(), &[])?;
    let prefix = format!("napi/{}-", lab.front().interface());
    let mut watched = processes::named(&prefix)?;
    ensure!(!watched.is_empty(), "no kernel thread is called {prefix}…: is threaded NAPI on?");
    watched.push(server.process().id());
    let (before, start) = (run_time(&watched)?, Instant::now());
    std::thread::sleep(WATCHED);
    let (after, wall) = (run_time(&watched)?, start.elapsed());
    let share = (after - before).as_secs_f64() / wall.as_secs_f64() * 100.0;
    let what = format!("share of a core, all threads and {} NAPI threads, over 30 s", watched.len() - 1);
    Ok(vec![Row::new(&what, format!("below {LIMIT} %"), format!("{share:.2} %"), share < LIMIT)])
}
