//! The index of a run: what was to be proved, and what proved it.

use crate::requirements::{Requirements, Row};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// How each trial that ran ended. Clones share it.
#[derive(Clone, Default)]
pub struct Record(Arc<Mutex<BTreeMap<String, bool>>>);

impl Record {
    /// Notes the end of a trial.
    pub fn note(&self, trial: &str, passed: bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(trial.to_owned(), passed);
    }

    /// Whether it passed; `None` when it did not run.
    fn passed(&self, trial: &str) -> Option<bool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(trial).copied()
    }
}

/// A script or a law, and what it claims.
pub struct Proof {
    /// Its name as the index shows it.
    pub name: String,
    /// Where it stands, from the repository's root.
    pub path: String,
    /// What it claims to prove.
    pub proves: Vec<String>,
    /// Trials without which it proves nothing.
    pub trials: Vec<String>,
    /// Its trials on the kernel: they may be missing, but not fail.
    pub kernel: Vec<String>,
    /// Why it has none.
    pub without_kernel: Option<String>,
}

impl Proof {
    /// Whether it ran and passed.
    fn holds(&self, record: &Record) -> bool {
        self.trials.iter().all(|trial| record.passed(trial) == Some(true))
            && self.kernel.iter().all(|trial| record.passed(trial) != Some(false))
    }

    /// What the kernel said to it.
    fn kernel(&self, record: &Record) -> String {
        let passed = self.kernel.iter().filter(|trial| record.passed(trial) == Some(true)).count();
        match (&self.without_kernel, passed) {
            (Some(reason), _) => format!("not on Linux: {reason}"),
            (None, 0) if self.kernel.is_empty() => String::from("a law"),
            (None, 0) => String::from("Linux not asked in this run"),
            (None, _) => String::from("Linux agrees"),
        }
    }
}

/// What a run has shown.
pub struct Index<'a> {
    requirements: &'a Requirements,
    proofs: &'a [Proof],
    record: &'a Record,
}

impl<'a> Index<'a> {
    /// Of a run that is over.
    pub fn new(requirements: &'a Requirements, proofs: &'a [Proof], record: &'a Record) -> Self {
        Self { requirements, proofs, record }
    }

    /// What is wrong with the claims, whatever ran: names that are no row's, and proofs of what is said to deviate.
    pub fn wrong_claims(&self) -> Vec<String> {
        let claims = self.proofs.iter().flat_map(|proof| proof.proves.iter().map(move |id| (proof, id)));
        let wrong = |(proof, id): (&Proof, &String)| match self.requirements.find(id) {
            None => Some(format!("{} claims {id}, which is no row of requirements.toml", proof.path)),
            Some(row) if row.deviation.is_some() => {
                Some(format!("{} claims {id}, which deviations.toml excuses", proof.path))
            }
            Some(row) if !row.by.is_empty() => Some(format!("{} claims {id}, which others prove", proof.path)),
            Some(_) => None,
        };
        claims.filter_map(wrong).collect()
    }

    /// The rows that nothing has proved and nothing excuses.
    pub fn holes(&self) -> Vec<&'a Row> {
        self.requirements.rows.iter().filter(|row| !self.is_settled(row)).collect()
    }

    fn is_settled(&self, row: &Row) -> bool {
        let rows = row.by.iter().filter_map(|id| self.requirements.find(id));
        row.deviation.is_some()
            || (!row.by.is_empty() && rows.into_iter().all(|row| self.is_settled(row)))
            || self.proofs_of(&row.id).next().is_some()
    }

    fn proofs_of(&self, id: &str) -> impl Iterator<Item = &'a Proof> {
        let of_row = move |proof: &&Proof| proof.proves.iter().any(|claim| claim == id);
        let holding: Vec<&Proof> = self.proofs.iter().filter(of_row).filter(|proof| proof.holds(self.record)).collect();
        holding.into_iter()
    }

    /// Writes it to `path`, whose folder lies two below the repository's root.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, self.text())
    }

    /// The index as text.
    pub fn text(&self) -> String {
        let rows = &self.requirements.rows;
        let settled = rows.iter().filter(|row| self.is_settled(row)).count();
        let excused = rows.iter().filter(|row| row.deviation.is_some()).count();
        let mut text = format!(
            "# What this run proved\n\n{settled} of {} rows, {excused} of them excused as deviations; {} holes.\n",
            rows.len(),
            self.holes().len()
        );
        let mut group = "";
        for row in rows {
            let heading = heading(&row.id);
            if heading != group {
                group = heading;
                let _ =
                    write!(text, "\n## {heading}\n\n| row | where | what | proved by |\n| --- | --- | --- | --- |\n");
            }
            let _ = writeln!(text, "| {} | {} | {} | {} |", row.id, row.section, row.text, self.cell(row));
        }
        text
    }

    /// What the run has shown, for the page of assurance: a line for each row, and one for each script.
    pub fn outcomes(&self) -> Vec<serde_json::Value> {
        let row = |row: &Row| {
            let seen = match (&row.deviation, row.by.is_empty()) {
                (Some(reason), _) => format!("*deviation*: {reason}"),
                (None, false) => row.by.join(", "),
                (None, true) => {
                    let proofs =
                        self.proofs_of(&row.id).map(|proof| format!("{} ({})", proof.name, proof.kernel(self.record)));
                    proofs.collect::<Vec<_>>().join(", ")
                }
            };
            let what = format!("{} ({})", row.text, row.section);
            json!({ "check": format!("requirement {}", row.id), "what": what, "ok": self.is_settled(row), "seen": seen })
        };
        let proof = |proof: &Proof| {
            let seen = format!("{} trials, {}", proof.trials.len(), proof.kernel(self.record));
            json!({ "check": format!("script {}", proof.name), "ok": proof.holds(self.record), "seen": seen })
        };
        self.requirements.rows.iter().map(row).chain(self.proofs.iter().map(proof)).collect()
    }

    fn cell(&self, row: &Row) -> String {
        if let Some(reason) = &row.deviation {
            return format!("*deviation*: {reason}");
        }
        if !row.by.is_empty() {
            return row.by.join(", ");
        }
        let proofs: Vec<String> = self
            .proofs_of(&row.id)
            .map(|proof| format!("[{}](../../{}) ({})", proof.name, proof.path, proof.kernel(self.record)))
            .collect();
        if proofs.is_empty() { String::from("**nothing**") } else { proofs.join("<br>") }
    }
}

fn heading(id: &str) -> &'static str {
    match id.split(['-', ' ']).next() {
        Some("RFC") => "Other RFCs",
        Some("threats") => "Checklist and decisions",
        _ => "RFC 9293",
    }
}
