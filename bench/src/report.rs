//! What rounds of a benchmark have shown: values collected by what they are of, and written as JSON and as a chart.

mod chart;

use serde::Serialize;

/// What a value is of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subject {
    /// What is measured: `work_ns`, `clients_ok`.
    pub row: &'static str,
    /// Of which system.
    pub system: &'static str,
    /// Under which circumstances.
    pub params: Params,
    /// In which unit.
    pub unit: &'static str,
}

/// The circumstances of a measurement, as far as they apply.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Params {
    /// The length of a SYN's frame, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub syn_bytes: Option<u32>,
    /// Frames of the flood a second, as ordered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<u64>,
    /// Frames of the flood that leave at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// What the flood consists of: `syn`, `ack`, `mixed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attack: Option<&'static str>,
    /// How work was measured: `polls` or `test_run`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<&'static str>,
    /// Who serves the clients, where the system itself does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<&'static str>,
    /// In which row's measurement the value was seen, where it says more about that row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub during: Option<&'static str>,
    /// Prefixes in the lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefixes: Option<u32>,
    /// Known flows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flows: Option<u32>,
}

/// The values of one subject, summed up. What `report.json` is an array of.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Entry {
    /// [`Subject::row`].
    pub row: &'static str,
    /// [`Subject::system`].
    pub system: &'static str,
    /// [`Subject::params`].
    pub params: Params,
    /// [`Subject::unit`].
    pub unit: &'static str,
    /// The middle value, or the mean of the two in the middle.
    pub median: f64,
    /// The least value.
    pub min: f64,
    /// The greatest value.
    pub max: f64,
    /// How many values there are.
    pub runs: usize,
}

/// Values in the order in which their subjects came up.
#[derive(Clone, Debug, Default)]
pub struct Report {
    series: Vec<(Subject, Vec<f64>)>,
}

impl Report {
    /// Adds a value; one that is not finite says nothing, and is left out.
    pub fn add(&mut self, subject: Subject, value: f64) {
        if !value.is_finite() {
            return;
        }
        match self.series.iter_mut().find(|(known, _)| *known == subject) {
            Some((_, values)) => values.push(value),
            None => self.series.push((subject, vec![value])),
        }
    }

    /// Each subject with its values summed up.
    pub fn entries(&self) -> Vec<Entry> {
        self.series.iter().map(|(subject, values)| Entry::of(subject, values)).collect()
    }

    /// The entries as a JSON array.
    pub fn json(&self) -> String {
        // Strings and finite numbers have a form in JSON.
        serde_json::to_string_pretty(&self.entries()).unwrap_or_default()
    }

    /// The entries as an SVG document: bars for what one answer costs, and lines for how clients fare by the rate of a flood.
    pub fn svg(&self) -> String {
        chart::draw(&self.entries())
    }
}

impl Entry {
    fn of(subject: &Subject, values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let Subject { row, system, params, unit } = subject.clone();
        let of = |at: usize| sorted.get(at).copied().unwrap_or(f64::NAN);
        let (half, last) = (sorted.len() / 2, sorted.len().saturating_sub(1));
        let median =
            if sorted.len().is_multiple_of(2) { f64::midpoint(of(half.wrapping_sub(1)), of(half)) } else { of(half) };
        Self { row, system, params, unit, median, min: of(0), max: of(last), runs: sorted.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn subject(system: &'static str, rate: u64) -> Subject {
        let params =
            Params { syn_bytes: Some(74), rate: Some(rate), burst: Some(32), attack: Some("syn"), ..Params::default() };
        Subject { row: "clients_ok", system, params, unit: "%" }
    }

    #[test]
    fn values_of_a_subject_come_together_whatever_lies_between() {
        let mut report = Report::default();
        for (system, rate, value) in [
            ("kernel", 100, 3.0),
            ("shield", 100, 9.0),
            ("kernel", 100, 1.0),
            ("kernel", 200, 7.0),
            ("kernel", 100, 2.0),
        ] {
            report.add(subject(system, rate), value);
        }
        let of: Vec<_> = report.entries().iter().map(|e| (e.system, e.median, e.min, e.max, e.runs)).collect();
        assert_eq!(of, [("kernel", 2.0, 1.0, 3.0, 3), ("shield", 9.0, 9.0, 9.0, 1), ("kernel", 7.0, 7.0, 7.0, 1)]);
    }

    #[test]
    fn the_median_of_an_even_number_is_between_the_two_in_the_middle() {
        let mut report = Report::default();
        [4.0, 1.0, 2.0, 100.0].into_iter().for_each(|value| report.add(subject("kernel", 1), value));
        assert_eq!(report.entries()[0].median, 3.0);
    }

    #[test]
    fn what_is_not_finite_is_no_value() {
        let mut report = Report::default();
        [f64::NAN, f64::INFINITY].into_iter().for_each(|value| report.add(subject("kernel", 1), value));
        assert!(report.entries().is_empty());
        assert_eq!(report.json(), "[]");
    }

    #[test]
    fn the_document_is_an_array_of_rows_with_what_applies() {
        let mut report = Report::default();
        report.add(subject("shield", 800_000), 99.9);
        let params = Params { syn_bytes: Some(60), by: Some("test_run"), ..Params::default() };
        report.add(Subject { row: "work_ns", system: "xdp_tx", params, unit: "ns" }, 21.0);
        let document: Value = serde_json::from_str(&report.json()).expect("JSON");
        let expected = json!([
            {"row": "clients_ok", "system": "shield",
             "params": {"syn_bytes": 74, "rate": 800_000, "burst": 32, "attack": "syn"},
             "unit": "%", "median": 99.9, "min": 99.9, "max": 99.9, "runs": 1},
            {"row": "work_ns", "system": "xdp_tx", "params": {"syn_bytes": 60, "by": "test_run"},
             "unit": "ns", "median": 21.0, "min": 21.0, "max": 21.0, "runs": 1},
        ]);
        assert_eq!(document, expected);
    }
}
