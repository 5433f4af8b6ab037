//! The library on an interface, in network namespaces, with the kernel's TCP as its peer. Without root every test is reported as
//! ignored, by name.

#[path = "../c/compiler.rs"]
mod compiler;
mod served;

use libtest_mimic::{Arguments, Failed, Trial};

/// What a test returns.
type Outcome = Result<(), Failed>;
/// A test: its name, and what it does.
type Test = (&'static str, fn() -> Outcome);

fn main() {
    let arguments = Arguments::from_args();
    let root = synward_lab::root_available();
    let trials = served::TESTS
        .iter()
        .map(|&(name, test): &Test| Trial::test(name, test).with_kind("root").with_ignored_flag(!root));
    libtest_mimic::run(&arguments, trials.collect()).exit();
}
