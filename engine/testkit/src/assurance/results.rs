//! How each check ended last.

use super::{Section, TestLog, is_reported};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// How a check ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// The check's name. Several outcomes may have one: a part of `make accept` leaves one for each row of its table.
    pub check: String,
    /// What it looks at, where its name does not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub what: String,
    /// Whether what was wanted was seen.
    pub ok: bool,
    /// What was seen.
    pub seen: String,
    /// The day on which it ran; where a report does not say, that on which it was taken in.
    #[serde(default)]
    pub date: String,
    /// The commit that it ran on, in the same way.
    #[serde(default)]
    pub commit: String,
}

/// Where and when a run took place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// The day.
    pub date: String,
    /// The commit.
    pub commit: String,
}

/// How each check ended last, in the order in which the checks were first seen.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Results(Vec<Outcome>);

impl Results {
    /// Reads what is kept; nothing, where there is no file yet.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn read(path: &Path) -> Result<Self, String> {
        if path.exists() { read_outcomes(path).map(Self) } else { Ok(Self::default()) }
    }

    /// Keeps them, a line each, so that a change of one is a change of one line.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), String> {
        let lines: Result<Vec<_>, _> = self.0.iter().map(serde_json::to_string).collect();
        let lines = lines.map_err(|error| error.to_string())?;
        let text = format!("[\n{}\n]\n", lines.join(",\n"));
        std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Takes in the report that a tool has left: it replaces what is known of the checks that it names.
    ///
    /// # Errors
    /// A report that cannot be read.
    pub fn take_report(&mut self, path: &Path, run: &Run) -> Result<(), String> {
        let report = read_outcomes(path)?;
        self.replace(report, run);
        Ok(())
    }

    /// Takes in a run of the tests, as far as rows name them.
    pub fn take_tests(&mut self, log: &TestLog, sections: &[Section], run: &Run) {
        let named = sections.iter().flat_map(|section| &section.row).flat_map(|row| &row.by);
        let tests = named.filter(|check| !is_reported(check)).filter_map(|check| {
            let count = log.count(check)?;
            let many = |number, what| if number == 0 { String::new() } else { format!(", {number} {what}") };
            let (failed, ignored) = (many(count.failed, "failed"), many(count.ignored, "did not run"));
            let ok = count.failed == 0 && count.passed > 0;
            let seen = format!("{} passed{failed}{ignored}", count.passed);
            Some(Outcome {
                check: check.clone(),
                what: String::new(),
                ok,
                seen,
                date: String::new(),
                commit: String::new(),
            })
        });
        self.replace(tests.collect(), run);
    }

    fn replace(&mut self, outcomes: Vec<Outcome>, run: &Run) {
        let mut place = None;
        let mut kept = Vec::with_capacity(self.0.len() + outcomes.len());
        for old in self.0.drain(..) {
            if outcomes.iter().any(|new| new.check == old.check) {
                place.get_or_insert(kept.len());
            } else {
                kept.push(old);
            }
        }
        let place = place.unwrap_or(kept.len());
        let mut seen: Vec<Outcome> = Vec::new();
        for mut outcome in outcomes {
            for (said, known) in [(&mut outcome.date, &run.date), (&mut outcome.commit, &run.commit)] {
                if said.is_empty() {
                    said.clone_from(known);
                }
            }
            if !seen.contains(&outcome) {
                seen.push(outcome);
            }
        }
        kept.splice(place..place, seen);
        self.0 = kept;
    }

    /// How a check ended: none, where nobody ever ran it.
    pub fn of<'a>(&'a self, check: &'a str) -> impl Iterator<Item = &'a Outcome> {
        self.0.iter().filter(move |outcome| match check.strip_suffix('*') {
            // Tests are kept under the name by which a row calls them, star included.
            Some(prefix) if is_reported(check) => outcome.check.starts_with(prefix),
            _ => outcome.check == check,
        })
    }

    /// The outcomes of one kind of check, in their order.
    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Outcome> {
        self.0.iter().filter(move |outcome| outcome.check.split(' ').next() == Some(kind))
    }
}

fn read_outcomes(path: &Path) -> Result<Vec<Outcome>, String> {
    let at = |error: String| format!("{}: {error}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| at(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| at(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assurance::Row;

    fn outcome(check: &str, ok: bool) -> Outcome {
        let [what, seen, date, commit] = [(); 4].map(|()| String::new());
        Outcome { check: check.into(), what, ok, seen, date, commit }
    }

    fn run(date: &str) -> Run {
        Run { date: date.into(), commit: "abc".into() }
    }

    fn shown(results: &Results) -> Vec<(&str, bool, &str)> {
        results.0.iter().map(|outcome| (outcome.check.as_str(), outcome.ok, outcome.date.as_str())).collect()
    }

    #[test]
    fn a_new_outcome_replaces_the_old_ones_of_its_check() {
        let mut results = Results::default();
        results.replace(vec![outcome("accept a", true), outcome("fuzz b", true)], &run("monday"));
        let mut other_row = outcome("accept a", true);
        other_row.seen = "another row".into();
        results.replace(vec![outcome("accept a", false), other_row, outcome("soak", true)], &run("tuesday"));
        let rows = [("accept a", false, "tuesday"), ("accept a", true, "tuesday"), ("soak", true, "tuesday")];
        assert_eq!(shown(&results), [&rows[..], &[("fuzz b", true, "monday")]].concat());
        assert_eq!(results.of("accept a").count(), 2);
        assert_eq!(results.of("accept").count(), 0);
        assert_eq!(results.of("accept *").count(), 2);
        assert_eq!(results.of_kind("fuzz").count(), 1);
    }

    #[test]
    fn tests_count_only_when_one_ran_and_none_failed() {
        let by = ["t a::*", "t b", "t c", "t gone", "fuzz x"].map(String::from).to_vec();
        let row = Row { what: "w".into(), wanted: "x".into(), by, gap: None };
        let sections = [Section { section: "s".into(), row: vec![row] }];
        let log = "Running tests/t.rs (target/debug/deps/t-0)\n\
                   test a::x ... ok\ntest a::y ... ignored\ntest b ... FAILED\ntest c ... ignored\n";
        let mut results = Results::default();
        results.take_tests(&TestLog::parse(log), &sections, &run("monday"));
        let seen: Vec<_> =
            results.0.iter().map(|outcome| (outcome.check.as_str(), outcome.ok, &outcome.seen[..])).collect();
        let wanted = [
            ("t a::*", true, "1 passed, 1 did not run"),
            ("t b", false, "0 passed, 1 failed"),
            ("t c", false, "0 passed, 1 did not run"),
        ];
        assert_eq!(seen, wanted);
    }
}
