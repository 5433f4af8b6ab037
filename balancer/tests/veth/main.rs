//! The whole thing on veth pairs: `synward serve` as a process of its own, and the kernel's TCP, curl and raw sockets as
//! its peers. Needs root; without it every test is reported as ignored, by name.

mod bed;
#[path = "../common/books.rs"]
mod books;
#[path = "../common/bytes.rs"]
mod bytes;
#[path = "../common/eventually.rs"]
mod eventually;
mod faults;
#[path = "../common/file.rs"]
mod file;
mod neighbourhood;
mod options;
mod ports;
mod transfer;

use libtest_mimic::{Arguments, Trial};

type Test = (&'static str, fn() -> anyhow::Result<()>);

fn main() {
    let arguments = Arguments::from_args();
    let skipped = !synward_lab::root_available();
    let tests = [transfer::TESTS, options::TESTS, neighbourhood::TESTS, faults::TESTS, ports::TESTS].concat();
    let trials = tests.into_iter().map(|(name, test): Test| {
        Trial::test(name, move || test().map_err(|error| format!("{error:#}").into())).with_ignored_flag(skipped)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}
