//! What vouches for the engine: each threat, fault and requirement, the checks that cover it, and how they ended last.
//!
//! Rows stand in `docs/assurance/*.toml`, one file for each section. Checks are tests of `make test`, and what runs longer and leaves a
//! report in `target/assurance`. How each ended last is kept in `docs/assurance/results.json`, so that a page can be made at any
//! time, though nobody runs an hour's soak for it.

mod page;
mod results;
mod rows;
mod test_log;

pub use page::Page;
pub use results::{Outcome, Results, Run, write_outcomes};
pub use rows::{Row, Section, read_sections};
pub use test_log::{Count, TestLog};

/// Checks that are no tests of `make test`: the first word of their names. Whoever runs them leaves a report.
const REPORTED: [&str; 10] =
    ["accept", "fuzz", "miri", "mutants", "planted", "requirement", "script", "simulator", "soak", "zerocopy"];

/// Whether a check leaves a report, and is not a test of `make test`.
pub fn is_reported(check: &str) -> bool {
    check.split(' ').next().is_some_and(|kind| REPORTED.contains(&kind))
}
