//! The AF_XDP port against a real kernel. Every test builds a veth pair of its own, unless the environment names two real
//! interfaces (see `wire.rs`; `make test-zerocopy` does, in a virtual machine). All need root and are reported as ignored,
//! by name, without it, as are those that the interfaces cannot be used for.

mod devices;
mod ends;
mod lifetimes;
mod queues;
mod rings;
mod wire;

use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;
use synward_nic::Mode;

/// A test: its name, what it is for, and what panics if it fails.
type Test = (&'static str, On, fn());

/// Which interfaces a test is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    Anything,
    /// One end learns what becomes of the other.
    Veth,
    ZeroCopy,
    /// There is no zero-copy.
    CopyOnly,
}

impl On {
    fn is_here(self) -> bool {
        match self {
            Self::Anything => true,
            Self::Veth => !wire::is_real(),
            Self::ZeroCopy => wire::best_mode() == Mode::ZeroCopy,
            Self::CopyOnly => wire::best_mode() == Mode::Copy,
        }
    }
}

fn main() -> ExitCode {
    if let Some(queue_holder) = std::env::var_os(lifetimes::HOLDER) {
        return lifetimes::hold(&queue_holder);
    }
    let root = synward_lab::root_available();
    let tests = [rings::TESTS, queues::TESTS, lifetimes::TESTS, devices::TESTS].concat();
    let trials = tests.into_iter().map(|(name, on, test)| {
        let run = move || {
            test();
            Ok(())
        };
        Trial::test(name, run).with_kind("root").with_ignored_flag(!root || !on.is_here())
    });
    // One at a time: each has both processors' worth of polling to do.
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
