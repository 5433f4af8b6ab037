//! The parts of `nic`, `ebpf` and the engine that threads share, under [loom]: their very sources, with loom's atomics in the
//! place of the language's, run in every order of steps that up to `PREEMPTIONS` preemptions give, and with every value that
//! the memory model lets a load see.
//!
//! What is shared through other crates has models of the same order here: the rings of `rtrb` and crossbeam's queue in `sync`,
//! the eventfd in `eventfd`.
//!
//! Loom remembers the last access to a value only: a load of one thread before a load and a swap of another is not tried in the
//! other order. So who only looks is started last, for loom begins with the threads as they were started.
//!
//! Mutexes of the models' own would order what the sources must order themselves, so what models note is in relaxed atomics:
//! those are seen late unless the sources see to it.

// The tests in those sources run in the crates that they belong to. Lints are asked of all targets, and build this one all the same.
#![cfg(not(test))]

pub mod accept_limit;
pub mod flow_buckets;
pub mod frames_home;
pub mod parked;
pub mod rings;
pub mod steered;
pub mod wake_ups;

mod eventfd;
mod stubs;
mod sync;

// What the sources name besides.
use stubs::{Accepted, ConnectConfig, ListenerId, Rss, SocketCore, SocketError, SocketId};
use stubs::{connections, table_hash};

// Their own crates format them, and know where their tests are.
#[path = "../../src/accept_queue.rs"]
#[rustfmt::skip]
#[allow(dead_code, reason = "models use a part")]
mod accept_queue;
#[path = "../../src/bell.rs"]
#[rustfmt::skip]
#[allow(dead_code, reason = "models use a part")]
mod bell;
#[path = "../../src/ends.rs"]
#[rustfmt::skip]
#[allow(dead_code, reason = "models use a part")]
mod ends;
#[path = "../../../ebpf/src/flow_bucket.rs"]
#[rustfmt::skip]
#[allow(dead_code, reason = "models use a part")]
mod flow_bucket;
#[path = "../../../nic/src/frame_return.rs"]
#[rustfmt::skip]
#[allow(dead_code, reason = "models use a part")]
mod frame_return;
#[path = "../../src/parking.rs"]
#[rustfmt::skip]
#[allow(dead_code, missing_docs, reason = "models use a part")]
mod parking;
#[path = "../../src/shield_link.rs"]
#[rustfmt::skip]
#[allow(dead_code, reason = "models use a part")]
mod shield_link;
#[path = "../../src/steering.rs"]
#[rustfmt::skip]
#[allow(dead_code, reason = "models use a part")]
mod steering;
#[path = "../../src/tally.rs"]
#[rustfmt::skip]
#[allow(dead_code, reason = "models use a part")]
mod tally;

/// The most preemptions in a run that is tried. All known races of real programs need fewer (Musuvathi and Qadeer, 2007, found
/// none that needs more than two); more take hours.
const PREEMPTIONS: usize = 3;

/// Runs a model in every order.
fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(model);
}
