//! Two engines over a hostile link, many seeds.
//!
//! A failing run prints its seed; `SYNWARD_SEED=n` runs that one alone, `SYNWARD_SEEDS=n` as many as are wanted.

use std::path::Path;
use synward_testkit::hostile::{Outcome, record, simulate};

const SEEDS: u64 = 300;

/// A number from the environment; one that is none is a mistake worth stopping for.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|error| panic!("{name}={text}: {error}")))
}

/// Where the frames of the run are, or why they are not.
fn recorded(seed: u64) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("conversations").join(format!("seed-{seed}.pcap"));
    record(seed, &path).map_or_else(|error| error.to_string(), |()| path.display().to_string())
}

#[test]
fn bytes_arrive_once_and_in_order_and_everything_drains() {
    let seeds = match number("SYNWARD_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SYNWARD_SEEDS").unwrap_or(SEEDS),
    };
    let mut sum = Outcome::default();
    let alone = seeds.end - seeds.start == 1;
    for seed in seeds {
        if alone {
            println!("frames of seed {seed} in {}", recorded(seed));
        }
        let outcome = simulate(seed).unwrap_or_else(|problem| panic!("{problem}\n  pcap {}", recorded(seed)));
        let Outcome { opened, complete, ghosts, bytes, frames, took } = outcome;
        sum.opened += opened;
        sum.complete += complete;
        sum.ghosts += ghosts;
        sum.bytes += bytes;
        sum.frames += frames;
        sum.took += took;
    }
    println!("{sum:?}");
    assert!(
        alone || sum.complete * 100 >= sum.opened * 95,
        "few connections are lost even in the worst weather: {sum:?}"
    );
}

#[test]
fn a_seed_gives_the_same_run_every_time() {
    for seed in 0..5 {
        assert_eq!(simulate(seed), simulate(seed));
    }
}
