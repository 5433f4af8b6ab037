//! Whole hosts in a hostile world, many seeds: a fixed set, and fresh ones for a few seconds.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};
use synward_testkit::simulator::{Outcome, record, simulate};

/// Seeds that are always run.
const FIXED: u64 = 120;
/// For so long, others are.
const FRESH: Duration = Duration::from_secs(5);

/// Runs seeds on two threads for as long as `next` gives some, and says what came of them together.
fn run(next: impl Fn() -> Option<u64> + Sync) -> Outcome {
    let sum = Mutex::new(Outcome::default());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(seed) = next() {
                    let outcome =
                        simulate(seed).unwrap_or_else(|problem| panic!("{problem}\nframes: {}", recorded(seed)));
                    *sum.lock().expect("nobody panics with it") += outcome;
                }
            });
        }
    });
    sum.into_inner().expect("nobody panicked")
}

/// Where the frames of the run are, or why they are not.
fn recorded(seed: u64) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("seeds").join(format!("seed-{seed}.pcap"));
    record(seed, &path).map_or_else(|error| error.to_string(), |()| path.display().to_string())
}

#[test]
fn known_seeds_keep_every_promise() {
    let seed = AtomicU64::new(0);
    let sum = run(|| Some(seed.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < FIXED));
    println!("{sum:?}");
    assert!(sum.complete * 3 > sum.opened, "many connections live through the worst world: {sum:?}");
    assert!(sum.guests > 0 && sum.attacks > 0 && sum.bytes > 10_000_000, "{sum:?}");
}

/// A seed that fails is printed with the command that runs it again.
#[test]
fn fresh_seeds_keep_every_promise() {
    let clock = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_nanos() as u64;
    let (seed, began) = (AtomicU64::new(clock), Instant::now());
    let sum = run(|| (began.elapsed() < FRESH).then(|| seed.fetch_add(1, Ordering::Relaxed)));
    println!("seeds from {clock}: {sum:?}");
}

#[test]
fn a_seed_gives_the_same_run_every_time() {
    for seed in 0..10 {
        assert_eq!(simulate(seed), simulate(seed));
    }
}
