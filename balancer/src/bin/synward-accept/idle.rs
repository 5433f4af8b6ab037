//! What the engine costs when nothing happens.

use crate::Options;
use crate::row::Row;
use anyhow::{Context, Result};
use std::time::{Duration, Instant};
use synward::served::Served;
use synward_lab::{End, Host, Lab, LabConfig};

const WATCHED: Duration = Duration::from_secs(30);
const LIMIT: f64 = 2.0;

pub fn run(_: &Options) -> Result<Vec<Row>> {
    // NAPI in a thread of its own, so that its time can be charged too.
    let front = End { threaded_napi: true, ..End::default() };
    let lab = Lab::up(&LabConfig { front, ..LabConfig::default() })?;
    let mut server = Served::start(&crate::synward()?, lab.front(), &[])?;
    let mut watched = napi_threads(lab.front())?;
    watched.push(server.process().id());
    let (before, start) = (ticks(&watched)?, Instant::now());
    std::thread::sleep(WATCHED);
    let (after, seconds) = (ticks(&watched)?, start.elapsed().as_secs_f64());
    let share = (after - before) as f64 / rustix::param::clock_ticks_per_second() as f64 / seconds * 100.0;
    let what = format!("share of a core, all threads and {} NAPI threads, over 30 s", watched.len() - 1);
    Ok(vec![Row::new(&what, format!("below {LIMIT} %"), format!("{share:.2} %"), share < LIMIT)])
}

/// The kernel threads that poll the interface.
fn napi_threads(host: &Host) -> Result<Vec<u32>> {
    let prefix = format!("napi/{}-", host.interface());
    let mut threads = Vec::new();
    for entry in std::fs::read_dir("/proc").context("/proc")? {
        let Ok(entry) = entry else { continue };
        let Ok(pid) = entry.file_name().to_string_lossy().parse() else { continue };
        let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if name.starts_with(&prefix) {
            threads.push(pid);
        }
    }
    anyhow::ensure!(!threads.is_empty(), "no kernel thread is called {prefix}…: is threaded NAPI on?");
    Ok(threads)
}

/// User and system time of the processes, with all their threads, in clock ticks (proc_pid_stat(5)).
fn ticks(pids: &[u32]) -> Result<u64> {
    pids.iter().map(|pid| process_ticks(*pid)).sum()
}

fn process_ticks(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    // The name, in parentheses, may hold anything; the state is the first field behind it, utime the twelfth.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let field = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok());
    field(11).zip(field(12)).map(|(user, system)| user + system).with_context(|| format!("{path}: no times"))
}
