//! The AF_XDP port against a real kernel, over veth pairs. Every test builds a pair of its own; all need root and are
//! reported as ignored, by name, without it.

mod devices;
mod ends;
mod lifetimes;
mod rings;

use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;

/// A test: its name, and what panics if it fails.
type Test = (&'static str, fn());

fn main() -> ExitCode {
    if let Some(queue_holder) = std::env::var_os(lifetimes::HOLDER) {
        return lifetimes::hold(&queue_holder);
    }
    let root = synward_lab::root_available();
    let tests = [rings::TESTS, devices::TESTS, lifetimes::TESTS].concat();
    let trials = tests.into_iter().map(|(name, test)| {
        let run = move || {
            test();
            Ok(())
        };
        Trial::test(name, run).with_kind("root").with_ignored_flag(!root)
    });
    // One at a time: each has both processors' worth of polling to do.
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
