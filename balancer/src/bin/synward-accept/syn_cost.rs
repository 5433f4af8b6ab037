//! Nanoseconds per SYN on a port without system calls.

use crate::Options;
use crate::row::Row;
use anyhow::Result;
use synward_bench::syn_cost::{BURST, measure};

/// Bursts of each kind: 256,000 SYNs.
const BURSTS: usize = 4000;
/// The aim.
const RATIO: f64 = 2.0;

pub fn run(_: &Options) -> Result<Vec<Row>> {
    let cost = measure(BURSTS)?;
    let row = |name: &str, ns: f64| {
        let ratio = ns / cost.floor_ns;
        let wanted = format!("reported; aim below {RATIO} × floor");
        Row::new(name, wanted, format!("{ns:.0} ns, {ratio:.2} × floor"), true)
    };
    Ok(vec![
        Row::report(&format!("floor, median of {BURSTS} bursts of {BURST}"), format!("{:.0} ns", cost.floor_ns)),
        row("poll_once, SYN through the table", cost.table_ns),
        row("poll_once, SYN through a cookie", cost.cookie_ns),
    ])
}
