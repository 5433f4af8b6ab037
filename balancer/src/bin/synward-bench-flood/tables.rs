//! The entries as tables.

use std::fmt::Write;
use synward::control::table::Table;
use synward_bench::report::{Entry, Params};

pub fn all(entries: &[Entry]) -> String {
    let mut text = String::new();
    for (title, table) in [
        ("Work for one answer, nanoseconds: median (least to greatest).", work(entries)),
        ("What the shield's program costs for a frame, nanoseconds: median (least to greatest).", scaling(entries)),
        ("Share of the front's core under a flood: median (least to greatest).", share(entries)),
        ("Clients under a flood: medians.", clients(entries)),
    ] {
        if let Some(table) = table {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{title}\n\n{table}");
        }
    }
    text
}

fn work(entries: &[Entry]) -> Option<Table> {
    let mut table = Table::new(["system", "SYN", "by", "ns"]);
    let rows: Vec<_> = entries.iter().filter(|entry| entry.row == "work_ns").collect();
    for entry in &rows {
        table.row([
            entry.system.to_owned(),
            bytes(&entry.params),
            entry.params.by.unwrap_or_default().to_owned(),
            spread(entry),
        ]);
    }
    (!rows.is_empty()).then_some(table)
}

fn scaling(entries: &[Entry]) -> Option<Table> {
    let mut table = Table::new(["attack", "prefixes", "known flows", "ns"]);
    let rows: Vec<_> = entries.iter().filter(|entry| entry.row == "scaling").collect();
    for entry in &rows {
        table.row([
            entry.params.attack.unwrap_or_default().to_owned(),
            entry.params.prefixes.unwrap_or_default().to_string(),
            entry.params.flows.unwrap_or_default().to_string(),
            spread(entry),
        ]);
    }
    (!rows.is_empty()).then_some(table)
}

fn share(entries: &[Entry]) -> Option<Table> {
    let mut table =
        Table::new(["system", "SYN", "SYNs/s", "burst", "share, %", "offered/s", "received/s", "answers/s", "echoed"]);
    let rows: Vec<_> = entries.iter().filter(|entry| entry.row == "core_share").collect();
    for entry in &rows {
        table.row([
            name(entry),
            bytes(&entry.params),
            thousands(entry.params.rate.unwrap_or_default() as f64),
            entry.params.burst.unwrap_or_default().to_string(),
            spread(entry),
            beside(entries, entry, "offered", thousands),
            beside(entries, entry, "received", thousands),
            beside(entries, entry, "syn_acks_valid", thousands) + &beside(entries, entry, "reflected", thousands),
            beside(entries, entry, "cookies_echoed", percent),
        ]);
    }
    (!rows.is_empty()).then_some(table)
}

fn clients(entries: &[Entry]) -> Option<Table> {
    let mut rows: Vec<_> = entries.iter().filter(|entry| entry.row == "clients_ok").collect();
    rows.sort_by_key(|entry| (entry.params.attack, entry.params.syn_bytes, entry.params.rate));
    let mut table = Table::new([
        "attack",
        "SYN",
        "frames/s",
        "system",
        "ok",
        "p50, ms",
        "p99, ms",
        "offered/s",
        "received/s",
        "answers/s",
        "echoed",
    ]);
    for entry in &rows {
        table.row([
            entry.params.attack.unwrap_or_default().to_owned(),
            bytes(&entry.params),
            thousands(entry.params.rate.unwrap_or_default() as f64),
            name(entry),
            format!("{:.2} %", entry.median),
            beside(entries, entry, "clients_p50_ms", millis),
            beside(entries, entry, "clients_p99_ms", millis),
            beside(entries, entry, "offered", thousands),
            beside(entries, entry, "received", thousands),
            beside(entries, entry, "syn_acks_valid", thousands) + &beside(entries, entry, "reflected", thousands),
            beside(entries, entry, "cookies_echoed", percent),
        ]);
    }
    (!rows.is_empty()).then_some(table)
}

/// The median of another row under the same circumstances, or of what was seen during this one.
fn beside(entries: &[Entry], of: &Entry, row: &str, form: fn(f64) -> String) -> String {
    let is_of = |during: &str| of.row.starts_with(during);
    let found = entries.iter().find(|entry| {
        let params = Params { during: None, ..entry.params.clone() };
        let same = entry.row == row && entry.system == of.system && params == of.params;
        same && entry.params.during.is_none_or(is_of)
    });
    found.map_or_else(String::new, |entry| form(entry.median))
}

fn name(entry: &Entry) -> String {
    match entry.params.server {
        Some(server) => format!("{} ({server})", entry.system),
        None => entry.system.to_owned(),
    }
}

fn bytes(params: &Params) -> String {
    params.syn_bytes.map_or_else(String::new, |bytes| bytes.to_string())
}

fn spread(entry: &Entry) -> String {
    format!("{:.1} ({:.1} to {:.1})", entry.median, entry.min, entry.max)
}

fn thousands(value: f64) -> String {
    format!("{:.1} k", value / 1e3)
}

fn percent(value: f64) -> String {
    format!("{value:.1} %")
}

fn millis(value: f64) -> String {
    format!("{value:.2}")
}
