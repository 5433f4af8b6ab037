//! What the engine learns from the kernel, in network namespaces. Without root every test is reported as ignored, by name.

mod next_hops;
mod rss;

use libtest_mimic::{Arguments, Failed, Trial};
use std::thread;
use std::time::{Duration, Instant};
use synward_lab::Host;

/// What a test returns.
type Outcome = Result<(), Failed>;
/// A test: its name, and what it does.
type Test = (&'static str, fn() -> Outcome);

/// How long the kernel may take for what it does a moment later: three times an unanswered ARP or NDP round of three
/// seconds. Only a test that has failed waits that long.
const LIMIT: Duration = Duration::from_secs(20);

fn main() {
    let arguments = Arguments::from_args();
    let root = synward_lab::root_available();
    let tests = [next_hops::TESTS, rss::TESTS].concat();
    let trials =
        tests.into_iter().map(|(name, test): Test| Trial::test(name, test).with_kind("root").with_ignored_flag(!root));
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

/// Fails a test unless it holds.
fn check(holds: bool, what: impl Into<String>) -> Outcome {
    if holds { Ok(()) } else { Err(what.into().into()) }
}

/// Looks until it holds.
fn until(what: &str, mut holds: impl FnMut() -> bool) -> Outcome {
    let limit = Instant::now() + LIMIT;
    while !holds() {
        check(Instant::now() < limit, format!("waited in vain until {what}"))?;
        thread::yield_now();
    }
    Ok(())
}

/// Runs `ip` in the namespace of a host, and returns what it prints.
fn ip(host: &Host, arguments: &str) -> Result<String, Failed> {
    let output = host.command("ip").args(arguments.split_whitespace()).output()?;
    let problem = String::from_utf8_lossy(&output.stderr);
    check(output.status.success(), format!("ip {arguments} on {}: {problem}", host.name()))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
