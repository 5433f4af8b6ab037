//! Ten thousand connections through the front end at once, each asked before and after a long silence.

use crate::Options;
use crate::bed::{Bed, NOTHING};
use crate::row::Row;
use anyhow::{Result, anyhow};
use std::time::Duration;
use synward_bench::load::{Hold, Request};
use synward_bench::processes::resident;

const SIZE: u32 = 10_000;
const SAMPLE: Duration = Duration::from_millis(100);
/// A client takes two connections in the front, whose records are there from the start.
const GROWTH_EACH: u64 = 2 * 4096;

pub fn run(_: &Options) -> Result<Vec<Row>> {
    let mut bed = Bed::up(2, "", "", |_| Ok(()))?;
    let hold = Hold {
        target: bed.address(),
        request: Request::Http,
        connections: SIZE,
        silence: Duration::from_secs(30),
        patience: Duration::from_secs(30),
    };
    let front = bed.front.process().id();
    let before = resident(front)?;
    let (mut top, mut spliced) = (before, 0);
    let held = std::thread::scope(|scope| -> Result<_> {
        let running = scope.spawn(|| bed.client().enter(|| hold.run()));
        while !running.is_finished() {
            top = top.max(resident(front)?);
            spliced = spliced.max(bed.gauge("spliced")?);
            std::thread::sleep(SAMPLE);
        }
        running.join().map_err(|_| anyhow!("the clients panicked"))?.map_err(Into::into)
    })??;
    for (failure, count) in held.opened.failures.iter().chain(&held.held.failures) {
        eprintln!("accept: proxy-herd: {count} requests failed: {failure}");
    }
    let left = bed.left_over()?;
    let after = resident(front)?;
    let all = |what: &str, count: u64| Row::new(what, SIZE.to_string(), count.to_string(), count == SIZE.into());
    let limit = u64::from(SIZE) * GROWTH_EACH;
    Ok(vec![
        all("asked and answered", held.opened.ok),
        all("through the front at once", spliced),
        all("asked and answered again after 30 s of silence", held.held.ok),
        Row::new(
            "growth of the front's resident memory at the top",
            format!("at most {} MiB", limit >> 20),
            mebibytes(top - before),
            top - before <= limit,
        ),
        Row::report(
            "resident memory before / at the top / after",
            [before, top, after].map(mebibytes).join(" / "),
        ),
        Row::new("left over", NOTHING, &left, left == NOTHING),
    ])
}

pub fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1024.0 / 1024.0)
}
