//! What works when much is wrong with the wire: all bytes arrive, once, in order, as they were sent.

use crate::bed::{Bed, Cast, Plan, Run, Test};
use anyhow::Result;
use std::time::Duration;
use synward_testkit::hostile::{Bursts, Weather};

const MIB: u64 = 1 << 20;
/// What a wire takes on which nothing else is wrong: the time to a neighbouring city.
const NEAR: Weather = Weather { delay: Duration::from_millis(1), ..Weather::STILL };
const HOLDUP: Duration = Duration::from_millis(5);

pub fn tests() -> Vec<Test> {
    let bursts = Some(Bursts { begin: 5, end: 100, loss: 800, lull: Duration::from_secs(1) });
    let weathers: [(&str, Weather, Run); 7] = [
        ("still", NEAR, transfers),
        ("lossy", Weather { loss: 20, ..NEAR }, transfers),
        ("bursty", Weather { bursts, ..NEAR }, transfers),
        ("reordering", Weather { reordering: 100, holdup: HOLDUP, ..NEAR }, transfers),
        ("doubling", Weather { duplication: 100, ..NEAR }, transfers),
        ("spoiling", Weather { corruption: 20, ..NEAR }, transfers_and_drops_the_spoiled),
        ("terrible", terrible(), transfers_and_drops_the_spoiled),
    ];
    let casts = [("server", Cast::Server), ("front", Cast::FrontBeforeServer)];
    let mut tests = Vec::new();
    for (name, weather, run) in weathers {
        for (of, cast) in casts {
            let plan = Plan { cast, weather: weather.clone(), ..Plan::default() };
            tests.push(Test::new(format!("weathers::{name}_for_a_{of}"), plan, run));
        }
    }
    tests
}

/// Everything at once.
fn terrible() -> Weather {
    let jitter = Duration::from_millis(2);
    Weather { jitter, loss: 10, duplication: 50, reordering: 50, holdup: HOLDUP, corruption: 10, ..NEAR }
}

/// One large transfer beside several small ones, both ways at once.
fn transfers(bed: &mut Bed) -> Result<()> {
    std::thread::scope(|scope| {
        let large = scope.spawn(|| bed.echo(MIB));
        bed.echo_at_once(8, 50_000)?;
        large.join().map_err(|_| anyhow::anyhow!("a client panicked"))?
    })?;
    bed.check_drained()
}

fn transfers_and_drops_the_spoiled(bed: &mut Bed) -> Result<()> {
    transfers(bed)?;
    bed.check_some_spoiled()
}
