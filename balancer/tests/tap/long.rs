//! What takes longer than `make test` waits: `SYNWARD_LONG=1`.

use crate::bed::{Bed, Cast, Plan, Run, Test, number};
use anyhow::Result;
use std::time::Duration;
use synward_testkit::hostile::{Rng, Weather};
use synward_testkit::tap::Steering;

const MIB: u64 = 1 << 20;
/// Draws of weather unless `SYNWARD_SEEDS` says otherwise.
const SEEDS: u64 = 20;

pub fn tests() -> Vec<Test> {
    if std::env::var_os("SYNWARD_LONG").is_none() {
        return Vec::new();
    }
    let seeds = match number("SYNWARD_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SYNWARD_SEEDS").unwrap_or(SEEDS),
    };
    seeds.map(any_weather).chain(gibibytes()).collect()
}

/// Any weather, cast and steering that a seed makes.
fn any_weather(seed: u64) -> Test {
    let mut rng = Rng::new(seed);
    let cast = [Cast::Server, Cast::FrontBeforeKernel, Cast::FrontBeforeServer][rng.below(3) as usize];
    let steering = [Steering::Hash, Steering::One(0), Steering::Random][rng.below(3) as usize];
    let weather = Weather::draw(&mut rng);
    let queues = 1 + rng.below(3) as u16;
    let plan = Plan { cast, steering, weather, queues, seed, ..Plan::default() };
    Test::new(format!("long::seed_{seed}"), plan, |bed| {
        bed.echo_at_once(8, 30_000)?;
        bed.check_drained()
    })
}

/// A GiB each way at every setting of the fault list. The more is lost, the more connections share it: one alone is slowed by
/// loss, as TCP must be, to where it would take days.
fn gibibytes() -> impl Iterator<Item = Test> {
    let near = Weather { delay: Duration::from_micros(200), ..Weather::STILL };
    let (holdup, all) =
        (Duration::from_millis(2), Weather { loss: 10, duplication: 10, corruption: 10, ..near.clone() });
    let settings: [(&str, Weather, Run); 7] = [
        ("loss_of_1_percent", Weather { loss: 10, ..near.clone() }, |bed| gibibyte(bed, 16)),
        ("loss_of_5_percent", Weather { loss: 50, ..near.clone() }, |bed| gibibyte(bed, 64)),
        ("loss_of_10_percent", Weather { loss: 100, ..near.clone() }, |bed| gibibyte(bed, 256)),
        ("loss_of_30_percent", Weather { loss: 300, ..near.clone() }, |bed| gibibyte(bed, 1024)),
        ("10_percent_reordered", Weather { reordering: 100, holdup, ..near.clone() }, |bed| gibibyte(bed, 16)),
        ("10_percent_doubled", Weather { duplication: 100, ..near }, |bed| gibibyte(bed, 16)),
        ("all_of_it_and_1_percent_spoiled", Weather { reordering: 100, holdup, ..all }, |bed| gibibyte(bed, 64)),
    ];
    settings.into_iter().map(|(name, weather, run)| {
        Test::new(format!("long::gibibyte_at_{name}"), Plan { weather, ..Plan::default() }, run)
    })
}

fn gibibyte(bed: &mut Bed, clients: u64) -> Result<()> {
    bed.echo_at_once(clients as usize, 1024 * MIB / clients)?;
    bed.check_drained()
}
