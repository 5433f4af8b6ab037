//! Test beds on the real kernel. Without root every test here is reported as ignored, by name.

mod child;
mod frames;
mod host;
mod removal;
mod routed;
mod taps;
mod traffic;

use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};

/// What a test returns.
type Outcome = Result<(), Failed>;

fn main() {
    child::run_if_asked();
    let arguments = Arguments::from_args();
    let tests = [removal::tests(), host::tests(), traffic::tests(), routed::tests(), taps::tests()];
    let root = synward_lab::root_available();
    let trials = tests.into_iter().flatten().map(|(name, test)| Trial::test(name, test).with_ignored_flag(!root));
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

/// A list of named tests.
type Tests = Vec<(&'static str, fn() -> Outcome)>;

/// Fails a test unless it holds.
fn check(holds: bool, what: impl Into<String>) -> Outcome {
    if holds { Ok(()) } else { Err(what.into().into()) }
}

/// Looks until it holds; for what the kernel does a moment later. The limit only ends a test that has failed.
fn until(what: &str, mut holds: impl FnMut() -> bool) -> Outcome {
    let limit = Instant::now() + Duration::from_secs(20);
    while !holds() {
        check(Instant::now() < limit, format!("waited in vain until {what}"))?;
        thread::yield_now();
    }
    Ok(())
}
