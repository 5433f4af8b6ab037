//! The proxy between clients and backends, in virtual time: engines on ports in memory, joined by a switch.
//!
//! Every test runs on every layout of the front that it is about, so that a splice within a shard and a relay by a worker
//! must come to the same.

mod bed;
mod choosing;
mod end;
mod failures;
mod limits;
mod simulation;
mod switch;
mod transfer;

use bed::{LAYOUTS, Layout};
use libtest_mimic::{Arguments, Trial};

/// A test, which panics when it fails.
type Test = (&'static str, fn(Layout));

fn main() {
    let arguments = Arguments::from_args();
    let tests = [transfer::TESTS, choosing::TESTS, failures::TESTS, limits::TESTS, simulation::TESTS].concat();
    let on_all = |(name, test): Test| {
        LAYOUTS.iter().map(move |&layout| {
            Trial::test(format!("{name}::{}", layout.name), move || {
                test(layout);
                Ok(())
            })
        })
    };
    libtest_mimic::run(&arguments, tests.into_iter().flat_map(on_all).collect()).exit();
}
