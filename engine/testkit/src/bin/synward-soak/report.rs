//! What goes into the assurance table.

use crate::hunt::Hunt;
use anyhow::{Error, Result};
use std::path::Path;
use synward_testkit::assurance::{Outcome, write_outcomes};

/// Whether every promise was kept and memory did not grow.
pub fn is_clean(hunt: &Hunt) -> bool {
    hunt.finding().is_none() && hunt.memory().is_flat()
}

/// Writes `soak.json`.
///
/// # Errors
/// When the file cannot be written.
pub fn write(folder: &Path, hunt: &Hunt) -> Result<()> {
    let finding = hunt.finding().map_or_else(String::new, |(seed, _)| format!("; seed {seed} fails"));
    let memory = hunt.memory().quarters().map_or_else(String::new, |(early, late)| {
        format!(", {early:.0} MiB after warming up and {late:.0} MiB at the end")
    });
    let seen = hunt.line();
    let outcome = |check: &str, ok, seen| Outcome { check: check.into(), ok, seen, ..Outcome::default() };
    let outcomes = [
        outcome("simulator", hunt.finding().is_none(), format!("{seen}{finding}")),
        outcome("soak", is_clean(hunt), format!("{seen}{memory}{finding}")),
    ];
    write_outcomes(&folder.join("soak.json"), &outcomes).map_err(Error::msg)
}
