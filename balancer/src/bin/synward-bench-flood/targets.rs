//! What is wanted, and whether it was seen.

use std::cmp::Ordering;
use synward::control::table::Table;
use synward_bench::report::{Entry, Params};

/// A rate counts only where the control's clients succeed at least so often, in percent.
const COUNTS: f64 = 99.99;

/// One line for each target that there are figures for.
pub fn table(entries: &[Entry]) -> Table {
    let mut table = Table::new(["target", "wanted", "seen", ""]);
    for Target { what, wanted, seen, verdict } in all(entries) {
        table.row([what, wanted, seen, verdict.word().to_owned()]);
    }
    table
}

/// What must never be seen, whatever it costs. A table sends its SYN-ACKs again, also to SYNs of the measurement before, whose
/// form was another: they are not held against it.
pub fn faults(entries: &[Entry]) -> Vec<String> {
    let sent_again = |entry: &Entry| entry.system == "table" && entry.row == "syn_acks_invalid";
    let of = |row, what: &str| {
        let guilty = entries.iter().filter(move |entry| entry.row == row && entry.max > 0.0 && !sent_again(entry));
        let what = what.to_owned();
        guilty.map(move |entry| format!("{}: {} {what} ({:?})", entry.system, entry.max, entry.params))
    };
    of("syn_acks_invalid", "SYN-ACKs that no client would take")
        .chain(of("forged_echoed", "forged ACKs were let in and echoed"))
        .collect()
}

struct Target {
    what: String,
    wanted: String,
    seen: String,
    verdict: Verdict,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Met,
    Missed,
    /// The rig was not up to the rate, so the figures say nothing.
    DoesNotCount,
}

impl Verdict {
    fn of(met: bool) -> Self {
        if met { Self::Met } else { Self::Missed }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "MISSED",
            Self::DoesNotCount => "does not count",
        }
    }
}

fn all(entries: &[Entry]) -> Vec<Target> {
    let mut targets = work(entries);
    targets.extend(scaling(entries));
    targets.extend(shares(entries));
    targets.extend(clients(entries));
    targets
}

/// The entry of this row, system and, as far as they are the same in both, circumstances.
fn find<'e>(entries: &'e [Entry], row: &str, system: &str, like: &Entry) -> Option<&'e Entry> {
    entries.iter().find(|entry| {
        let (own, other) = (&entry.params, &like.params);
        entry.row == row
            && entry.system == system
            && (own.syn_bytes, own.attack, own.by) == (other.syn_bytes, other.attack, other.by)
            && (row == "work_ns" || (own.rate, own.burst) == (other.rate, other.burst))
    })
}

fn of<'e>(entries: &'e [Entry], row: &'e str, system: &'e str) -> impl Iterator<Item = &'e Entry> {
    entries.iter().filter(move |entry| entry.row == row && entry.system == system)
}

fn ratio(what: String, value: f64, order: Ordering, limit: f64) -> Target {
    let (word, met) = match order {
        Ordering::Less => ("at most", value <= limit),
        Ordering::Equal | Ordering::Greater => ("at least", value >= limit),
    };
    let verdict = Verdict::of(met);
    Target { what, wanted: format!("{word} {limit} ×"), seen: format!("{value:.2} ×"), verdict }
}

fn work(entries: &[Entry]) -> Vec<Target> {
    let mut targets = Vec::new();
    // A test-run leaves out the driver, which is nearly all that a bare reflection costs.
    for shield in of(entries, "work_ns", "shield").filter(|entry| entry.params.by == Some("polls")) {
        let bytes = shield.params.syn_bytes.unwrap_or_default();
        for (other, limit) in [("kernel", 8.0), ("xdp_tx", 0.6)] {
            if let Some(entry) = find(entries, "work_ns", other, shield) {
                let what = format!("work, {bytes} bytes: {other} / shield");
                targets.push(ratio(what, entry.median / shield.median, Ordering::Greater, limit));
            }
        }
    }
    targets
}

/// The dearest filling of a shield beside the least.
fn scaling(entries: &[Entry]) -> Vec<Target> {
    let mut targets = Vec::new();
    for attack in ["syn", "ack"] {
        let costs = || of(entries, "scaling", "shield").filter(|entry| entry.params.attack == Some(attack));
        let least = costs().min_by_key(|entry| (entry.params.prefixes, entry.params.flows));
        let dearest = costs().max_by(|a, b| a.median.total_cmp(&b.median));
        if let (Some(least), Some(dearest)) = (least, dearest) {
            let what = format!("scaling, attack {attack}: dearest / emptiest");
            targets.push(ratio(what, dearest.median / least.median, Ordering::Less, 1.3));
        }
    }
    targets
}

fn shares(entries: &[Entry]) -> Vec<Target> {
    let mut targets = Vec::new();
    for (system, other, limit) in [("shield", "xdp_tx", 1.5), ("cookies", "l2fwd", 1.2), ("cookies", "kernel", 1.0)] {
        for own in of(entries, "core_share", system) {
            if let Some(entry) = find(entries, "core_share", other, own) {
                let (bytes, burst) = (own.params.syn_bytes.unwrap_or_default(), own.params.burst.unwrap_or_default());
                let what = format!("core, {bytes} bytes, bursts of {burst}: {system} / {other}");
                let mut target = ratio(what, own.median / entry.median, Ordering::Less, limit);
                if !takes_all_in(entries, own) || !takes_all_in(entries, entry) {
                    target.verdict = Verdict::DoesNotCount;
                }
                targets.push(target);
            }
        }
    }
    targets
}

/// Whether the flood that a share is of arrived, but for a hundredth: who gets less has less to do.
fn takes_all_in(entries: &[Entry], share: &Entry) -> bool {
    let params = Params { during: Some("core_share"), ..share.params.clone() };
    let received = of(entries, "received", share.system).find(|entry| entry.params == params);
    received.is_some_and(|entry| entry.median >= 0.99 * params.rate.unwrap_or_default() as f64)
}

fn clients(entries: &[Entry]) -> Vec<Target> {
    let mut targets = Vec::new();
    for shield in of(entries, "clients_ok", "shield") {
        let control = |row: &'static str| {
            let same = of(entries, row, "xdp_drop").filter(|entry| entry.params.server == Some("engine"));
            same.filter(|entry| {
                let (own, other) = (&entry.params, &shield.params);
                (own.syn_bytes, own.rate, own.attack) == (other.syn_bytes, other.rate, other.attack)
            })
        };
        let Some(ok) = control("clients_ok").next() else { continue };
        let (params, rate) = (&shield.params, shield.params.rate.unwrap_or_default() / 1_000);
        let what =
            format!("{} {rate} k/s, {} bytes", params.attack.unwrap_or_default(), params.syn_bytes.unwrap_or_default());
        if ok.median < COUNTS {
            let (wanted, seen) = (format!("control at least {COUNTS} %"), format!("{:.2} %", ok.median));
            targets.push(Target { what, wanted, seen, verdict: Verdict::DoesNotCount });
            continue;
        }
        targets.push(Target {
            what: format!("clients done, {what}: shield less than control by"),
            wanted: "at most 0.1 %".to_owned(),
            seen: format!("{:.2} %", ok.median - shield.median),
            verdict: Verdict::of(ok.median - shield.median <= 0.1),
        });
        let own = find(entries, "clients_p99_ms", "shield", shield);
        if let (Some(own), Some(other)) = (own, control("clients_p99_ms").next()) {
            targets.push(ratio(
                format!("p99, {what}: shield / control"),
                own.median / other.median,
                Ordering::Less,
                2.0,
            ));
        }
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{DoesNotCount, Met, Missed};
    use synward_bench::report::{Report, Subject};

    fn entries(values: &[(&'static str, &'static str, Option<&'static str>, f64)]) -> Vec<Entry> {
        let mut report = Report::default();
        for &(row, system, server, value) in values {
            let by = (row == "work_ns").then_some("polls");
            let during = (row == "received").then_some("core_share");
            let (burst, syn_bytes) = (Some(32), Some(74));
            let params = Params {
                rate: Some(400_000),
                attack: Some("syn"),
                server,
                by,
                during,
                burst,
                syn_bytes,
                ..Params::default()
            };
            report.add(Subject { row, system, params, unit: "" }, value);
        }
        report.entries()
    }

    fn verdicts(values: &[(&'static str, &'static str, Option<&'static str>, f64)]) -> Vec<Verdict> {
        all(&entries(values)).iter().map(|target| target.verdict).collect()
    }

    #[test]
    fn work_is_compared_with_the_kernel_and_with_a_bare_reflection() {
        let of = |shield| {
            verdicts(&[
                ("work_ns", "shield", None, shield),
                ("work_ns", "kernel", None, 2400.0),
                ("work_ns", "xdp_tx", None, 150.0),
            ])
        };
        assert_eq!(of(250.0), [Met, Met]);
        assert_eq!(of(290.0), [Met, Missed]);
        assert_eq!(of(301.0), [Missed, Missed]);
    }

    #[test]
    fn a_rate_counts_only_where_the_control_holds() {
        let engine = Some("engine");
        let of = |control, shield| {
            verdicts(&[
                ("clients_ok", "xdp_drop", engine, control),
                ("clients_ok", "shield", None, shield),
                ("clients_p99_ms", "xdp_drop", engine, 1.0),
                ("clients_p99_ms", "shield", None, 1.9),
            ])
        };
        assert_eq!(of(100.0, 99.95), [Met, Met]);
        assert_eq!(of(100.0, 99.8), [Missed, Met]);
        assert_eq!(of(99.98, 50.0), [DoesNotCount]);
        assert!(verdicts(&[("clients_ok", "shield", None, 100.0)]).is_empty());
    }

    #[test]
    fn a_share_counts_only_where_the_flood_arrived() {
        let of = |share, received| {
            verdicts(&[
                ("core_share", "shield", None, share),
                ("core_share", "xdp_tx", None, 20.0),
                ("received", "shield", None, received),
                ("received", "xdp_tx", None, 400_000.0),
            ])
        };
        assert_eq!(of(30.0, 399_000.0), [Met]);
        assert_eq!(of(31.0, 399_000.0), [Missed]);
        assert_eq!(of(3.0, 200_000.0), [DoesNotCount]);
    }

    #[test]
    fn scaling_is_the_dearest_beside_the_emptiest() {
        let cost = |prefixes, nanos| {
            let mut report = Report::default();
            for (prefixes, nanos) in [(0, 100.0), (prefixes, nanos)] {
                let params =
                    Params { attack: Some("syn"), prefixes: Some(prefixes), flows: Some(1), ..Params::default() };
                report.add(Subject { row: "scaling", system: "shield", params, unit: "ns" }, nanos);
            }
            all(&report.entries()).iter().map(|target| target.verdict).collect::<Vec<_>>()
        };
        assert_eq!(cost(1_000, 130.0), [Met]);
        assert_eq!(cost(1_000, 131.0), [Missed]);
    }

    #[test]
    fn what_must_never_be_seen_is_named() {
        let fine = [("syn_acks_invalid", "shield", None, 0.0), ("forged_echoed", "shield", None, 0.0)];
        assert!(faults(&entries(&fine)).is_empty());
        let guilty =
            faults(&entries(&[("syn_acks_invalid", "shield", None, 3.0), ("forged_echoed", "kernel", None, 1.0)]));
        assert!(
            guilty.len() == 2
                && guilty[0].starts_with("shield: 3 SYN-ACKs")
                && guilty[1].starts_with("kernel: 1 forged")
        );
    }
}
