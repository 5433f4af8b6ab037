//! Whole hosts in virtual time: two engines, what lies between them, and everybody who means harm, all from one seed.
//!
//! A run is a storm in which anything may fail, and then a calm in which everything must be served or end for a reason, and
//! nothing may stay behind. What must hold is checked after every step.

mod applications;
mod attackers;
mod draw;
mod faults;
mod machine;
mod options;
mod path;
mod run;
mod stretches;
mod talker;
mod watcher;
mod world;

pub use attackers::{Attack, AttackKind};
pub use faults::{Fault, FaultKind, Side};
pub use options::{Acceptance, MachineOptions, Options, PathOptions, Plan};
pub use talker::{Flow, Temper};

use crate::pcap;
use std::any::Any;
use std::io;
use std::ops::AddAssign;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;
use world::World;

/// What happened in a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// Connections opened by the client.
    pub opened: u32,
    /// Of these, those that carried every byte both ways and were closed by both ends.
    pub complete: u32,
    /// Connections accepted a second time, by a cookie that came twice.
    pub ghosts: u32,
    /// Connections accepted of hosts that mean harm.
    pub guests: u32,
    /// Bytes that both applications received.
    pub bytes: u64,
    /// Frames that the hosts sent.
    pub frames: u64,
    /// Frames of attackers.
    pub attacks: u64,
    /// Of these, those that could have carried a valid cookie by chance.
    pub guesses: u64,
    /// Moments at which something happened.
    pub steps: u64,
    /// Virtual time of the whole run.
    pub took: Duration,
    /// From the end of the last connection until nothing was left of any: the longest of several times.
    pub emptied: Duration,
}

impl AddAssign for Outcome {
    /// Both together; of times until nothing was left, the longer.
    fn add_assign(&mut self, other: Self) {
        let Self { opened, complete, ghosts, guests, bytes, frames, attacks, guesses, steps, took, emptied } = other;
        self.opened += opened;
        self.complete += complete;
        self.ghosts += ghosts;
        self.guests += guests;
        self.bytes += bytes;
        self.frames += frames;
        self.attacks += attacks;
        self.guesses += guesses;
        self.steps += steps;
        self.took += took;
        self.emptied = self.emptied.max(emptied);
    }
}

/// Runs the world of `seed`.
///
/// # Errors
/// The first broken promise, and the options of the run.
pub fn simulate(seed: u64) -> Result<Outcome, String> {
    let mut world = World::new(seed).map_err(|problem| format!("seed {seed}: {problem}"))?;
    let run = catch_unwind(AssertUnwindSafe(|| world.run()));
    let problem = match run {
        Ok(Ok(())) => return Ok(world.outcome),
        Ok(Err(problem)) => problem,
        Err(panic) => format!("panic: {}", message_of(panic.as_ref())),
    };
    Err(format!("seed {seed}: {problem}\n{}again: {}", world.describe(), replay(seed)))
}

/// Runs the world of `seed` and writes every frame, as it leaves its sender, to a pcap file.
///
/// # Errors
/// When the file cannot be written.
pub fn record(seed: u64, path: &Path) -> io::Result<()> {
    let Ok(mut world) = World::new(seed) else { return Ok(()) };
    world.record = Some(Vec::new());
    // What went wrong is known already; here only the frames count.
    let _ = catch_unwind(AssertUnwindSafe(|| world.run()));
    let frames = world.record.unwrap_or_default();
    pcap::write(path, frames.iter().map(|(at, frame)| (*at, frame.as_slice())))
}

/// The command that runs a seed once more, alone, and leaves its frames in a file.
pub fn replay(seed: u64) -> String {
    format!("make soak ARGS=\"--seed {seed}\"")
}

fn message_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}
