//! What a server and a front end do when the process, the machine or the wire fails: `synward` as a process of its own, in network
//! namespaces, with the kernel's TCP as its peers. What takes long or counts much is in `make accept`. Needs root; without it every
//! test is reported as ignored, by name.

#[allow(dead_code, reason = "shared with `veth`, which needs all of it")]
#[path = "../veth/bed.rs"]
mod bed;
#[path = "../common/books.rs"]
mod books;
mod death;
mod devices;
#[path = "../common/eventually.rs"]
mod eventually;
#[allow(dead_code, reason = "shared with `front`, which needs all of it")]
#[path = "../front/bed.rs"]
mod front;
mod limits;
mod load;
mod pauses;

use libtest_mimic::{Arguments, Trial};

type Test = (&'static str, fn() -> anyhow::Result<()>);

fn main() {
    let arguments = Arguments::from_args();
    let skipped = !synward_lab::root_available();
    let tests = [death::TESTS, devices::TESTS, limits::TESTS, pauses::TESTS].concat();
    let trials = tests.into_iter().map(|(name, test): Test| {
        Trial::test(name, move || test().map_err(|error| format!("{error:#}").into())).with_ignored_flag(skipped)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}
