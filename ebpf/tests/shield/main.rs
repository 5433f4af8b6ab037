//! The shield against a real kernel. Every test runs in network namespaces of its own, which vanish with its threads; all
//! need root and are reported as ignored, by name, without it.

mod attachment;
mod bench;
mod ceilings;
mod cookies;
mod frame;
mod guard;
mod icmp;
mod limits;
mod namespace;
mod prefix_list;
mod ranges;
mod samples;
mod segment;
mod sources;
mod traffic;
mod verdicts;
mod xdp_socket;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

/// Set for a child process that plays a part in a test instead of running tests; its value names the part.
const ROLE: &str = "SYNWARD_TEST_ROLE";

/// A test: its name, and what panics if it fails.
type Test = (&'static str, fn());

fn main() -> ExitCode {
    match std::env::var(ROLE).as_deref() {
        Ok(attachment::HOLDER) => attachment::hold(),
        Ok(attachment::UNPRIVILEGED) => attachment::unprivileged(),
        _ => {}
    }
    let root = rustix::process::geteuid().is_root();
    let tests = [
        verdicts::TESTS,
        cookies::TESTS,
        guard::TESTS,
        ranges::TESTS,
        prefix_list::TESTS,
        limits::TESTS,
        ceilings::TESTS,
        samples::TESTS,
        icmp::TESTS,
        attachment::TESTS,
        traffic::TESTS,
    ]
    .concat();
    let trials = tests.into_iter().map(|(name, test)| {
        let run = move || {
            test();
            Ok(())
        };
        Trial::test(name, run).with_kind("root").with_ignored_flag(!root)
    });
    // One at a time: a process forked by one test holds copies of another's attachments until it has executed its program.
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
