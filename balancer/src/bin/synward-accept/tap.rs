//! The real processes with a test as their wire, for longer than `make test` waits: many draws of any weather, and a GiB each way at
//! every setting of the fault list.

use crate::Options;
use crate::row::Row;
use anyhow::{Context, Result, ensure};
use std::process::Command;

/// Most of the time a test waits for the wire.
const THREADS: &str = "4";
/// Draws of weather.
const SEEDS: &str = "100";

pub fn run(_: &Options) -> Result<Vec<Row>> {
    let output = Command::new("cargo")
        .args([
            "test",
            "--release",
            "--quiet",
            "--package",
            "synward",
            "--test",
            "tap",
            "--",
            "long::",
            "--format",
            "pretty",
        ])
        .args(["--test-threads", THREADS])
        .envs([("SYNWARD_LONG", "1"), ("SYNWARD_SEEDS", SEEDS)])
        .output()
        .context("cargo test")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        eprintln!("{text}{}", String::from_utf8_lossy(&output.stderr));
    }
    let tests: Vec<_> = text.lines().filter_map(verdict).collect();
    ensure!(!tests.is_empty(), "no test ran: are you root?");
    let (seeds, settings): (Vec<_>, Vec<_>) = tests.into_iter().partition(|(name, _)| name.starts_with("seed_"));
    let passed = seeds.iter().filter(|(_, verdict)| *verdict == "ok").count();
    let of = format!("{passed} of {}", seeds.len());
    let weathers =
        Row::new("any weather, all bytes there and nothing sent wrongly", "every seed", of, passed == seeds.len());
    let row = |(name, verdict): (&str, &str)| {
        Row::new(&format!("{}, both ways", name.replace('_', " ")), "byte for byte", verdict, verdict == "ok")
    };
    // Killed, say: what it did not come to has no verdict.
    let status = output.status;
    let ended =
        Row::new("the tests ended by themselves, all well", "exit status: 0", status.to_string(), status.success());
    Ok([weathers].into_iter().chain(settings.into_iter().map(row)).chain([ended]).collect())
}

/// The name of a test below `long`, and what is said of it.
fn verdict(line: &str) -> Option<(&str, &str)> {
    let (name, verdict) = line.strip_prefix("test long::")?.split_once(" ... ")?;
    Some((name.trim(), verdict.trim()))
}
