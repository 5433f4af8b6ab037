//! The rows as a file, for the page that says what vouches for the engine.

use crate::row::Row;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// One row. Those of parts that did not run this time stay as they were.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    /// `accept` and the part.
    check: String,
    ok: bool,
    seen: String,
}

/// Writes the rows of the parts that ran, by the names of the parts, to `target/assurance/accept.json`.
pub fn write(ran: &[(&str, Vec<Row>)]) -> Result<()> {
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(2).context("a program in a folder of the target folder")?;
    let path = target.join("assurance/accept.json");
    // None there yet, or one that another version has written: then it begins anew.
    let before = fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    save(&path, &merged(before, ran)).with_context(|| path.display().to_string())
}

fn save(path: &Path, entries: &[Entry]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, serde_json::to_string_pretty(entries)? + "\n")?;
    Ok(())
}

fn merged(mut entries: Vec<Entry>, ran: &[(&str, Vec<Row>)]) -> Vec<Entry> {
    for (part, rows) in ran {
        let check = format!("accept {part}");
        entries.retain(|entry| entry.check != check);
        entries.extend(rows.iter().map(|row| Entry {
            check: check.clone(),
            ok: row.ok,
            seen: format!("{}: {} (wanted: {})", row.what, row.seen, row.wanted),
        }));
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::{Entry, merged};
    use crate::row::Row;

    #[test]
    fn parts_that_did_not_run_keep_their_rows() {
        let entry = |check: &str, ok, seen: &str| Entry { check: check.into(), ok, seen: seen.into() };
        let before = vec![entry("accept flood", true, "old"), entry("accept idle", true, "kept")];
        let ran = [("flood", vec![Row::new("a", "1", "2", false), Row::report("b", "3")])];
        let wanted = [
            entry("accept idle", true, "kept"),
            entry("accept flood", false, "a: 2 (wanted: 1)"),
            entry("accept flood", true, "b: 3 (wanted: (reported))"),
        ];
        assert_eq!(merged(before, &ran), wanted);
    }
}
