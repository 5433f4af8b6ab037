//! What was seen, as a document and as a table.

use crate::measure::{Row, Seen};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use synward::control::table::Table;
use synward_bench::{median, median_and_range};

/// Everything.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What was measured, and where.
    pub about: BTreeMap<String, String>,
    pub rows: Vec<Rows>,
}

/// A row, and what was seen of both systems in each round.
#[derive(Debug, Serialize)]
pub struct Rows {
    #[serde(flatten)]
    pub row: Row,
    pub engine: Vec<Seen>,
    pub kernel: Vec<Seen>,
}

impl Rows {
    pub fn new(row: Row) -> Self {
        Self { row, engine: Vec::new(), kernel: Vec::new() }
    }

    /// The engine's goodput by the kernel's, round by round.
    fn ratios(&self) -> impl Iterator<Item = f64> + Clone {
        self.engine.iter().zip(&self.kernel).map(|(engine, kernel)| engine.goodput / kernel.goodput)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(["", "engine", "kernel", "ratio", "CPU engine", "CPU kernel"]);
        for rows in &self.rows {
            let goodput = |seen: &[Seen]| format!("{:.3} Gb/s", median(seen.iter().map(|seen| seen.goodput)));
            let cpu = |seen: &[Seen]| format!("{:.2} s/GB", median(seen.iter().map(|seen| seen.cpu_per_gigabyte)));
            table.row([
                rows.row.to_string(),
                goodput(&rows.engine),
                goodput(&rows.kernel),
                median_and_range(rows.ratios()),
                cpu(&rows.engine),
                cpu(&rows.kernel),
            ]);
        }
        writeln!(f, "Goodput of bulk, medians over rounds; the ratio is wanted to be 1 or more.\n\n{table}")?;
        self.about.iter().try_for_each(|(name, text)| writeln!(f, "{name}: {text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Report, Row, Rows, Seen};
    use synward_bench::bulk::Way;

    #[test]
    fn ratios_are_taken_round_by_round() {
        let seen = |goodput| Seen { goodput, cpu_per_gigabyte: 1.0 };
        let mut rows = Rows::new(Row { way: Way::Send, streams: 64, loss: 1.0 });
        rows.engine.extend([4.0, 3.0, 1.0].map(seen));
        rows.kernel.extend([2.0, 1.0, 1.0].map(seen));
        let text = Report { about: [].into(), rows: vec![rows] }.to_string();
        assert!(text.contains("send, 64 streams, 1 % loss") && text.contains("2.00 (1.00 to 3.00)"), "{text}");
    }
}
