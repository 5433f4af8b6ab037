//! Where the front's core spends its time, as `perf` samples it.

use crate::bed::Node;
use crate::beside::Side;
use crate::front::System;
use crate::measure::{Kind, load_while};
use crate::{FRONT, Options};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use synward_bench::processes;

/// How long before and after the sampling the load is on.
const MARGIN: Duration = Duration::from_secs(1);
/// How many symbols are shown.
const SHOWN: usize = 40;

/// Samples each system under each kind of load.
pub fn run(options: &Options) -> Result<()> {
    for (system, name) in [(System::Synward { workers: 0 }, "synward"), (System::Haproxy, "haproxy")] {
        let side = Side::start(system)?;
        for kind in Kind::ALL {
            let what = kind.name().trim_end_matches("/s");
            let file = options.folder.join(format!("{name}-{what}.perf"));
            load_while(&side.bed, kind, options.time() + 2 * MARGIN, || {
                std::thread::sleep(MARGIN);
                record(&file, options.time())
            })?;
            let threads =
                processes::thread_names(&[&side.front.processes[..], &side.bed.polling(Node::Front)].concat())?;
            println!("{}, {}: {}", system.name(), kind.name(), file.display());
            println!("{}", report(&file, &threads, "overhead,comm", usize::MAX)?);
            println!("{}", report(&file, &threads, "overhead,comm,symbol", SHOWN)?);
        }
    }
    Ok(())
}

fn record(file: &Path, time: Duration) -> Result<()> {
    let recorded = Command::new("perf")
        .args(["record", "--quiet", "-e", "cpu-clock", "-F", "4999", "-g", "--cpu", &FRONT.to_string(), "--output"])
        .arg(file)
        .args(["--", "sleep", &time.as_secs().to_string()])
        .stdout(Stdio::null())
        .status()
        .context("perf: apt-get install linux-perf")?;
    ensure!(recorded.success(), "perf record failed");
    Ok(())
}

/// The rows with most samples, of all samples of these threads.
fn report(file: &Path, threads: &[String], fields: &str, rows: usize) -> Result<String> {
    let output = Command::new("perf")
        .args(["report", "--stdio", "--no-children", "--call-graph", "none", "--percentage", "relative"])
        .args(["--fields", fields, "--comm", &threads.join(","), "--input"])
        .arg(file)
        .stderr(Stdio::null())
        .output()
        .context("perf")?;
    ensure!(output.status.success(), "perf report failed");
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    Ok(lines.take(rows).map(|line| line.trim_end().to_owned() + "\n").collect())
}
