//! A million connections: what an idle one takes, and whether the others make a segment or a timer dearer.

use crate::Options;
use crate::row::Row;
use anyhow::Result;
use synward_bench::crowd::{BURST, Crowd, TALKERS, measure};

/// Connections whose memory is measured.
const CROWD: u32 = 1_000_000;
/// Bytes that an idle connection may take, all told.
const BYTES: f64 = 512.0;
/// Crowds whose costs are compared, the smallest first.
const SIZES: [u32; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// How often each crowd has its turn.
const ROUNDS: usize = 500;
/// How much dearer a segment or a timer may be in the largest crowd than in the smallest.
const RATIO: f64 = 1.5;

pub fn size(_: &Options) -> Result<Vec<Row>> {
    let bytes = Crowd::new(CROWD, false)?.bytes_each();
    let what = format!("resident memory of one of {CROWD} idle established connections");
    Ok(vec![Row::new(&what, format!("at most {BYTES} bytes"), format!("{bytes:.0} bytes"), bytes <= BYTES)])
}

pub fn cost(_: &Options) -> Result<Vec<Row>> {
    let costs = measure(&SIZES, ROUNDS)?;
    let small = costs[0];
    let mut rows = Vec::new();
    for cost in costs {
        let mut row = |what: &str, ns: f64, least: f64| {
            let (ratio, what) = (ns / least, format!("{what}, {} connections", cost.size));
            let wanted = format!("at most {RATIO} × that of {}", small.size);
            rows.push(Row::new(&what, wanted, format!("{ns:.0} ns, {ratio:.2} ×"), ratio <= RATIO));
        };
        row(&format!("a segment, {TALKERS} talk in bursts of {BURST}"), cost.segment_ns, small.segment_ns);
        row("a keepalive timer and its probe", cost.timer_ns, small.timer_ns);
        let spread = format!("{:.0} ns, {:.2} ×", cost.spread_ns, cost.spread_ns / small.spread_ns);
        rows.push(Row::report(&format!("a segment, all talk, {} connections", cost.size), spread));
    }
    Ok(rows)
}
