//! Real peers: bulk between the engine and the kernel's TCP over a path with losses or of a smaller MTU, every byte
//! compared; the engine as server (`synward serve`) and as client (`synward run` towards its backends). Needs root; without
//! it every test is reported as ignored, by name.

mod bed;
#[path = "../common/books.rs"]
mod books;
#[path = "../common/bytes.rs"]
mod bytes;
mod dialling;
#[path = "../common/eventually.rs"]
mod eventually;
mod iperf;
mod path_mtu;
mod serving;
mod streams;

use libtest_mimic::{Arguments, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let skipped = !synward_lab::root_available();
    let tests = [serving::tests(), dialling::tests(), path_mtu::tests(), iperf::tests()].concat();
    let trials = tests.into_iter().map(|bed::Test { name, run }| {
        Trial::test(name, move || run().map_err(|error| format!("{error:#}").into())).with_ignored_flag(skipped)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}
