//! The real processes, `synward serve` and `synward run` on AF_XDP, with this test as their wire: it holds the queues of the TAP
//! devices at both ends, picks the queue on which each frame arrives, sees each frame that is sent, and loses, delays, reorders,
//! doubles and spoils by seed. At the other end is the kernel's TCP, or another of our own.
//!
//! Needs root; without it every test is reported as ignored, by name. A failure tells its seed and leaves what crossed the ends in
//! `target/tap`; `SYNWARD_SEED=n` runs the tests in that weather again, as far as a seed goes (see `synward_testkit::tap`).
//! `SYNWARD_LONG=1` adds transfers of a GiB and `SYNWARD_SEEDS=n` draws of any weather.
//!
//! These tests stand here, and not at the engine's, because here is what composes the real thing: sockets, program and threads.

mod bed;
#[path = "../common/books.rs"]
mod books;
#[path = "../common/bytes.rs"]
mod bytes;
mod client;
#[path = "../common/eventually.rs"]
mod eventually;
mod failing;
mod forged;
mod long;
mod queues;
mod serving;
mod weathers;

use bed::Test;
use libtest_mimic::{Arguments, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let skipped = !synward_lab::root_available();
    let tests = [serving::tests(), weathers::tests(), queues::tests(), failing::tests(), long::tests()].concat();
    let trials = tests.into_iter().map(|Test { name, plan, run }| {
        let trial = move |name: &str| plan.run(name, run).map_err(|error| format!("{error:#}").into());
        Trial::test(name.clone(), move || trial(&name)).with_ignored_flag(skipped)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}
