//! The conversations for which the kernel needs longer than `make test` waits.

use crate::Options;
use crate::row::Row;
use anyhow::{Context, Result};
use std::process::Command;

pub fn run(_: &Options) -> Result<Vec<Row>> {
    let output = Command::new("cargo")
        .args(["test", "--quiet", "--package", "synward-engine", "--test", "conversations", "--", "kernel"])
        .env("SYNWARD_LONG", "1")
        .output()
        .context("cargo test")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let summary = text.lines().rev().find(|line| line.starts_with("test result:")).unwrap_or("no result");
    if !output.status.success() {
        eprintln!("{text}{}", String::from_utf8_lossy(&output.stderr));
    }
    let ran = summary.contains(" passed") && !summary.contains(" 0 passed");
    let wanted = "all scripts pass against the kernel";
    Ok(vec![Row::new("conversations against Linux, long ones too", wanted, summary, output.status.success() && ran)])
}
