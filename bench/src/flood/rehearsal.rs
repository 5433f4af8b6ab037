//! What a program costs on a flood, by BPF test-run: the work of the program alone, without driver, wake-ups or a frame's way.
//!
//! Every run writes a fresh frame of the flood and tail-calls the program under test, which may answer in place or drop: the next
//! run writes every byte anew. What writing and calling cost is measured with a program that does nothing, and taken off.
//!
//! The program under test is one that is loaded already, with the maps it works on: its tables, lists and keys are as its owner
//! has set them, and it counts what it is shown.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use aya::maps::{Array, MapData, ProgramArray};
use aya::programs::{ProgramFd, TestRun, TestRunOptions, loaded_programs};
use aya::{Ebpf, include_bytes_aligned};
use synward_ebpf::Interface;

use super::FloodConfig;
use super::generator::{Order, Progress};
use crate::object::{program, take_map};

/// A rehearsal is in so many parts, and the fastest counts: whatever else the core does makes a part slower, never faster.
const PARTS: u32 = 8;

/// What a run of a program costs.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RunCost {
    /// Nanoseconds a frame, of the program alone.
    pub nanos: f64,
    /// What the program decided, mostly, about the last frame of each part: a number of `enum xdp_action`. A filter that is full
    /// of flows now and then takes a stranger for one of them.
    pub action: u32,
}

/// The cost of the program that the kernel knows by this number, over so many frames of a flood on the interface, and in the
/// network namespace, that the flood is configured for: so many that setting up the run costs nothing of note for each. Nothing is
/// sent.
///
/// # Errors
/// There is no such program, or the kernel does not let it be called from another one; no frames.
pub fn run_cost(config: &FloodConfig, program_id: u32, frames: u32) -> Result<RunCost> {
    ensure!(frames > 0, "a cost is of at least one frame");
    let subject = loaded_programs()
        .filter_map(Result::ok)
        .find(|program| program.id() == program_id)
        .with_context(|| format!("no program {program_id} is loaded"))?
        .fd()?;
    let mut rehearsal = Rehearsal::load(config)?;
    let nothing = program(&mut rehearsal.object, "nothing")?.fd()?.try_clone()?;
    let (mut floor, mut with) = (f64::INFINITY, f64::INFINITY);
    let mut actions = Vec::new();
    for _ in 0..PARTS {
        floor = floor.min(rehearsal.run(&nothing, frames.div_ceil(PARTS))?.nanos);
        let run = rehearsal.run(&subject, frames.div_ceil(PARTS))?;
        with = with.min(run.nanos);
        actions.push(run.action);
    }
    let times = |action: &u32| actions.iter().filter(|other| *other == action).count();
    let action = actions.iter().copied().max_by_key(times).unwrap_or_default();
    Ok(RunCost { nanos: with - floor, action })
}

struct Rehearsal {
    object: Ebpf,
    subjects: ProgramArray<MapData>,
    frame: Vec<u8>,
}

impl Rehearsal {
    fn load(config: &FloodConfig) -> Result<Self> {
        config.check()?;
        let interface = Interface::by_name(&config.interface)?;
        let mut object = Ebpf::load(include_bytes_aligned!(concat!(env!("OUT_DIR"), "/flood.bpf.o")))
            .context("loading the flood generator (it needs CAP_BPF and CAP_NET_ADMIN)")?;
        for name in ["rehearsal", "nothing"] {
            program(&mut object, name)?.load().with_context(|| format!("loading `{name}`"))?;
        }
        let mut orders: Array<_, Order> = take_map(&mut object, "orders")?;
        orders.set(0, Order::new(config, &interface)?, 0)?;
        let mut progresses: Array<_, Progress> = take_map(&mut object, "progresses")?;
        progresses.set(0, Progress::of_seed(config.seed), 0)?;
        let subjects = take_map(&mut object, "subjects")?;
        let frame = vec![0; config.form.frame_bytes(config.target.is_ipv6())];
        Ok(Self { object, subjects, frame })
    }

    /// What writing a frame and a run of `subject` cost together.
    fn run(&mut self, subject: &ProgramFd, frames: u32) -> Result<RunCost> {
        self.subjects.set(0, subject, 0).context("the kernel does not let this program be called from another")?;
        let options = TestRunOptions { data_in: Some(&self.frame), repeat: frames, ..TestRunOptions::new() };
        let start = Instant::now();
        let run = program(&mut self.object, "rehearsal")?.test_run(options).context("a test-run")?;
        // The kernel's own account is in whole nanoseconds a run.
        Ok(RunCost { nanos: start.elapsed().as_secs_f64() * 1e9 / f64::from(frames), action: run.return_value })
    }
}
