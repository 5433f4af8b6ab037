//! Network namespaces without names: each belongs to the threads in it and ends with them, whatever happens to the test.
//!
//! Invariant defended: a thread that unshares its network namespace shares nothing else than before.

use std::process::Command;
use std::thread;

use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Runs `body` on a thread in a new network namespace and waits for it; passes its panic on.
pub fn isolated<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
    thread::spawn(move || {
        enter_new();
        body()
    })
    .join()
    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Moves this thread into a new network namespace.
pub fn enter_new() {
    // SAFETY: NEWNET alone; descriptors stay shared.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.expect("a new network namespace");
}

/// Runs `ip` with these words in the namespace of this thread.
pub fn ip(words: &str) {
    let output = Command::new("ip").args(words.split_whitespace()).output().expect("ip is installed (iproute2)");
    assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Makes the veth pair `near` and `far` with two queues each, both ends here and up.
pub fn veth_pair() {
    ip("link add near numrxqueues 2 numtxqueues 2 type veth peer name far numrxqueues 2 numtxqueues 2");
    ip("link set near up");
    ip("link set far up");
}
