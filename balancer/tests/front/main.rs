//! The front end on veth pairs: `synward run` as a process of its own, nginx behind it, curl before it. Needs root; without it
//! every test is reported as ignored, by name.

mod bed;
mod bulk;
#[path = "../common/bytes.rs"]
mod bytes;
mod failing;
#[path = "../common/file.rs"]
mod file;
mod serving;
mod shield;

use libtest_mimic::{Arguments, Trial};

type Test = (&'static str, fn() -> anyhow::Result<()>);

fn main() {
    let arguments = Arguments::from_args();
    let skipped = !synward_lab::root_available();
    let tests = [serving::TESTS, bulk::TESTS, failing::TESTS, shield::TESTS].concat();
    let trials = tests.into_iter().map(|(name, test): Test| {
        Trial::test(name, move || test().map_err(|error| format!("{error:#}").into())).with_ignored_flag(skipped)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}
