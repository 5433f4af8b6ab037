//! A link that goes down and up a hundred times while clients come.

use crate::Options;
use crate::bed::{Bed, NOTHING};
use crate::row::Row;
use anyhow::{Result, anyhow};
use std::thread::sleep;
use std::time::Duration;

const FLAPS: u32 = 100;
const RATE: u32 = 100;
/// Between two flaps.
const UP: Duration = Duration::from_millis(400);
/// More than all flaps take.
const SECONDS: u32 = 90;

pub fn run(_: &Options) -> Result<Vec<Row>> {
    let bed = Bed::up(1, "", "", |_| Ok(()))?;
    let mut flaps = 0;
    let outcome = std::thread::scope(|scope| -> Result<_> {
        let running = scope.spawn(|| bed.ask(RATE * SECONDS, RATE));
        while flaps < FLAPS && !running.is_finished() {
            sleep(UP);
            bed.lab.front().link_down()?;
            bed.lab.front().link_up()?;
            flaps += 1;
        }
        running.join().map_err(|_| anyhow!("the clients panicked"))?
    })?;
    for (failure, count) in &outcome.failures {
        eprintln!("accept: flaps: {count} requests failed: {failure}");
    }
    let left = bed.left_over()?;
    let times = format!("{:.2} / {:.2} / {:.2} ms", outcome.p50_ms, outcome.p99_ms, outcome.max_ms);
    Ok(vec![
        Row::new("down and up under load", FLAPS.to_string(), flaps.to_string(), flaps == FLAPS),
        Row::new(
            "requests answered",
            outcome.requests.to_string(),
            outcome.ok.to_string(),
            outcome.ok == outcome.requests,
        ),
        Row::report("p50 / p99 / slowest", times),
        Row::new("left over", NOTHING, &left, left == NOTHING),
    ])
}
