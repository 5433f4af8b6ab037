//! Ten thousand connections through the front end at once, each asked before and after a long silence.

use crate::Options;
use crate::bed::{Bed, NOTHING};
use crate::memory::{Memory, mebibytes};
use crate::row::Row;
use anyhow::{Result, anyhow};
use std::time::Duration;
use synward_bench::load::{Held, Hold, Request};
use synward_bench::processes::resident;

const SIZE: u32 = 10_000;
/// A client takes two connections in the front, whose records are there from the start, and whose buffers are gone while nothing
/// is said.
const GROWTH_EACH: u64 = 2 * 1024;

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
    let (mut memory, mut at_once) = (Memory::of(front)?, 0);
    let held = std::thread::scope(|scope| -> Result<Held> {
        let running = scope.spawn(|| bed.client().enter(|| hold.run()));
        let watched = memory.watch_until(|| {
            at_once = at_once.max(bed.gauge("spliced")?);
            Ok(running.is_finished())
        });
        let held = running.join().map_err(|_| anyhow!("the clients panicked"))???;
        watched.map(|()| held)
    })?;
    for (failure, count) in held.opened.failures.iter().chain(&held.held.failures) {
        eprintln!("accept: proxy-herd: {count} requests failed: {failure}");
    }
    let left = bed.left_over()?;
    let all = |what: &str, count: u64| Row::new(what, SIZE.to_string(), count.to_string(), count == u64::from(SIZE));
    let resident = [memory.before, memory.top, resident(front)?].map(mebibytes);
    Ok(vec![
        all("asked and answered", held.opened.ok),
        all("through the front at once", at_once),
        all("asked and answered again after 30 s of silence", held.held.ok),
        memory.growth(u64::from(SIZE) * GROWTH_EACH),
        Row::report("resident memory before / at the top / after", resident.join(" / ")),
        Row::new("left over", NOTHING, &left, left == NOTHING),
    ])
}
