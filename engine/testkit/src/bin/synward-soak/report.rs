//! What goes into the assurance table.

use crate::hunt::Hunt;
use anyhow::{Context, Result};
use serde_json::json;
use std::fs;
use std::path::Path;

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
    let rows = json!([
        { "check": "simulator", "ok": hunt.finding().is_none(), "seen": format!("{seen}{finding}") },
        { "check": "soak", "ok": is_clean(hunt), "seen": format!("{seen}{memory}{finding}") },
    ]);
    let path = folder.join("soak.json");
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(&path, format!("{rows:#}\n")));
    written.with_context(|| format!("cannot write {}", path.display()))
}
