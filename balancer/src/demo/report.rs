//! What the demo saw, as a document and as a table.

use super::phase::{FloodSeen, Phase};
use crate::control::table::Table;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// Everything.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// `synward run`.
    pub(super) synward: Phases,
    /// The proxy on the kernel's TCP in the same place.
    pub(super) kernel: Phases,
    /// What that proxy is called.
    #[serde(skip)]
    pub(super) proxy: &'static str,
    /// Frames that synward dropped, by reason.
    pub(super) drops: BTreeMap<String, u64>,
    /// What the kernel dropped, by its counters.
    pub(super) kernel_drops: BTreeMap<String, u64>,
    /// What was measured, and how.
    pub(super) modes: BTreeMap<String, String>,
}

/// Both phases of one system.
#[derive(Debug, Serialize)]
pub(super) struct Phases {
    /// Without a flood.
    pub(super) calm: Phase,
    /// Under it.
    pub(super) flood: Phase,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.table())?;
        writeln!(f, "dropped by synward: {}", listed(&self.drops))?;
        writeln!(f, "dropped by the kernel under {}: {}", self.proxy, listed(&self.kernel_drops))?;
        for (name, phase) in self.phases() {
            for (failure, count) in &phase.clients.failures {
                writeln!(f, "{name}: {} failed: {failure}", grouped((*count).into()))?;
            }
        }
        writeln!(f)?;
        self.modes.iter().try_for_each(|(mode, value)| writeln!(f, "{mode}: {value}"))
    }
}

impl Report {
    fn phases(&self) -> [(String, &Phase); 4] {
        let Self { synward, kernel, proxy, .. } = self;
        [
            ("synward, calm".to_owned(), &synward.calm),
            ("synward, flooded".to_owned(), &synward.flood),
            (format!("{proxy}, calm"), &kernel.calm),
            (format!("{proxy}, flooded"), &kernel.flood),
        ]
    }

    fn table(&self) -> Table {
        let phases = self.phases();
        let [a, b, c, d] = phases.each_ref().map(|(name, _)| name.as_str());
        let mut table = Table::new(["", a, b, c, d]);
        let mut row = |name: &str, cell: &dyn Fn(&Phase) -> String| {
            let [a, b, c, d] = phases.each_ref().map(|(_, phase)| cell(phase));
            table.row([name.to_owned(), a, b, c, d]);
        };
        row("requests", &|phase| grouped(phase.clients.requests.into()));
        row("done within 1 s", &|phase| percent(phase.clients.success()));
        row("p50", &|phase| millis(phase.clients.p50_ms));
        row("p99", &|phase| millis(phase.clients.p99_ms));
        row("slowest", &|phase| millis(phase.clients.max_ms));
        row("SYNs sent a second", &of_flood(sent));
        row("SYNs offered a second", &of_flood(|flood| grouped(flood.syn_offered_per_s)));
        row("SYNs answered", &of_flood(answered));
        row("cookies sent", &|phase| grouped(phase.cookies_sent));
        row("of them by XDP", &|phase| grouped(phase.cookies_in_xdp));
        row("highest half-open", &|phase| grouped(phase.half_open_highest));
        table
    }
}

fn of_flood(cell: impl Fn(&FloodSeen) -> String) -> impl Fn(&Phase) -> String {
    move |phase| phase.flood.as_ref().map_or_else(|| "-".to_owned(), &cell)
}

fn sent(flood: &FloodSeen) -> String {
    format!("{} of {}", grouped(flood.syn_sent_per_s), grouped(flood.syn_wanted_per_s))
}

fn answered(flood: &FloodSeen) -> String {
    let share = flood.syn_answered as f64 / flood.syn_offered.max(1) as f64;
    // One decimal: some frames are on their way when the counters are read.
    format!("{} ({:.1} %)", grouped(flood.syn_answered), share * 100.0)
}

/// Rounded down: nothing is complete before it is.
fn percent(share: f64) -> String {
    format!("{:.2} %", (share * 1e4).floor() / 1e2)
}

fn millis(value: f64) -> String {
    format!("{value:.2} ms")
}

/// With a comma before every three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn listed(counts: &BTreeMap<String, u64>) -> String {
    let listed: Vec<_> = counts.iter().map(|(name, count)| format!("{name} {}", grouped(*count))).collect();
    if listed.is_empty() { "none".to_owned() } else { listed.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::{grouped, percent};

    #[test]
    fn numbers_are_grouped_by_three_digits() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (100_000, "100,000"), (1_234_567, "1,234,567")]
        {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn what_is_not_complete_is_not_a_hundred_percent() {
        assert_eq!(percent(1.0), "100.00 %");
        assert_eq!(percent(0.999_99), "99.99 %");
        assert_eq!(percent(0.5), "50.00 %");
    }
}
