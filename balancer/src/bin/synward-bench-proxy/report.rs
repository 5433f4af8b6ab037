//! What was seen, as a document and as tables.

use crate::beside::{Beside, Rounds};
use crate::measure::{CONNECTIONS, Kind, Seen};
use crate::scaling::Scaling;
use serde::Serialize;
use std::fmt;
use synward::control::table::Table;
use synward_bench::{median, median_and_range};

/// Everything.
#[derive(Debug, Serialize)]
pub struct Report {
    pub beside: Beside,
    pub scaling: Vec<Scaling>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Medians over rounds, {CONNECTIONS} connections at once.\n")?;
        writeln!(f, "{}", self.rates())?;
        if let Some((other, systems)) = self.beside.systems.split_last() {
            writeln!(f, "Ratios to {}, round by round: median (least to greatest).\n", other.system)?;
            writeln!(f, "{}", ratios(systems, other))?;
        }
        if !self.scaling.is_empty() {
            writeln!(f, "One poll loop beside two; everybody on both cores; CPU seconds a second.\n")?;
            writeln!(f, "{}", self.scaling_table())?;
        }
        self.beside.about.iter().try_for_each(|(name, text)| writeln!(f, "{name}: {text}"))
    }
}

impl Report {
    fn rates(&self) -> Table {
        let mut table = Table::new([
            "",
            "rate",
            "p50",
            "p99",
            "core busy",
            "front",
            "its NAPI",
            "per busy second",
            "per front second",
            "failed",
        ]);
        for kind in Kind::ALL {
            for rounds in &self.beside.systems {
                let seen = rounds.seen.of(kind);
                let middle = |of: fn(&Seen) -> f64| median(seen.iter().map(of));
                table.row([
                    format!("{}, {}", kind.name(), rounds.system),
                    format!("{:.0}", middle(|seen| seen.rate)),
                    format!("{:.2} ms", middle(|seen| seen.p50_ms)),
                    format!("{:.2} ms", middle(|seen| seen.p99_ms)),
                    percent(middle(|seen| seen.core_busy)),
                    percent(middle(|seen| seen.front_share)),
                    percent(middle(|seen| seen.polling_share)),
                    format!("{:.0}", middle(|seen| seen.per_busy_second)),
                    format!("{:.0}", middle(|seen| seen.per_front_second)),
                    seen.iter().map(|seen| seen.failed).sum::<u64>().to_string(),
                ]);
            }
        }
        table
    }

    fn scaling_table(&self) -> Table {
        let mut table = Table::new(["", "poll loops", "rate", "front", "clients", "backends", "bridge", "failed"]);
        for kind in Kind::ALL {
            for scaling in &self.scaling {
                let seen = scaling.seen.of(kind);
                let middle = |of: fn(&Seen) -> f64| median(seen.iter().map(of));
                table.row([
                    kind.name().to_owned(),
                    scaling.poll_loops.to_string(),
                    format!("{:.0}", middle(|seen| seen.rate)),
                    format!("{:.2}", middle(|seen| seen.front_share)),
                    format!("{:.2}", middle(|seen| seen.clients_share)),
                    format!("{:.2}", middle(|seen| seen.backends_share)),
                    format!("{:.2}", middle(|seen| seen.switch_share)),
                    seen.iter().map(|seen| seen.failed).sum::<u64>().to_string(),
                ]);
            }
        }
        table
    }
}

fn ratios(systems: &[Rounds], other: &Rounds) -> Table {
    let mut table = Table::new(["", "rate", "per busy second", "per front second"]);
    for kind in Kind::ALL {
        for rounds in systems {
            let ratio = |of: fn(&Seen) -> f64| {
                let pairs = rounds.seen.of(kind).iter().zip(other.seen.of(kind));
                median_and_range(pairs.map(|(ours, theirs)| of(ours) / of(theirs)))
            };
            table.row([
                format!("{}, {}", kind.name(), rounds.system),
                ratio(|seen| seen.rate),
                ratio(|seen| seen.per_busy_second),
                ratio(|seen| seen.per_front_second),
            ]);
        }
    }
    table
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}
