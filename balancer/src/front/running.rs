//! The threads of an engine's poll loops.
//!
//! The order of the start matters: every socket is in its program's map and every loop knows every listener before a program is attached,
//! so that no segment for us is answered with RST, neither by the kernel nor by a loop that has yet to hear who listens. A program has all that it needs to answer SYNs before it is
//! attached; the guard comes last, and goes last, since programs and loops work without it.

use super::Opened;
use crate::shield::{Guard, GuardPlan, Program, ShieldHandle};
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};
use synward_ebpf::{Attached, XdpMode};
use synward_engine::{
    BuildError, Fleet, Observer, PollLoop, RunError, ShardId, SocketCore, Stop, Workers, build_fleet,
};
use synward_nic::XskPort;

/// How long the loops may take until they know all listeners.
const PATIENCE: Duration = Duration::from_secs(30);

/// A worker on a poll loop's thread: what [`PollLoop::run_with`] calls.
pub type Rider = Box<dyn FnMut(&mut SocketCore, synward_proto::Instant) -> Option<synward_proto::Instant> + Send>;

/// An engine that is built, and not running yet.
pub struct Ready {
    poll_loops: Vec<PollLoop<XskPort>>,
    interfaces: Vec<(XdpMode, Program)>,
    /// The shards of each interface, in the order of the interfaces.
    pub shards: Vec<Vec<ShardId>>,
    /// The socket cores, one for each worker.
    pub workers: Vec<SocketCore>,
    /// What is to be seen of it.
    pub observer: Observer,
}

/// An engine that runs.
pub struct Running {
    stops: Vec<Stop>,
    threads: Vec<thread::JoinHandle<Result<(), RunError>>>,
    attached: Vec<Attached>,
    /// None until the programs are attached.
    guard: Option<Guard>,
}

/// The setting that the operator makes with another tool than ours.
fn explain(error: BuildError, programs: &[(XdpMode, Program)]) -> anyhow::Error {
    let names: Vec<_> = programs.iter().map(|(_, program)| program.interface.as_str()).collect();
    match error {
        BuildError::Setting { setting: "mtu", .. } => anyhow::Error::new(error).context(format!(
            "{}: the MTU is too large; lower it, as `ip link set mtu 1500 dev …` does",
            names.join(", ")
        )),
        other => anyhow::Error::new(other),
    }
}

impl Ready {
    /// Builds an engine on interfaces that are open.
    ///
    /// # Errors
    /// When a setting is out of range.
    pub fn build(opened: Vec<Opened>, workers: Workers) -> Result<Self> {
        let (mut interfaces, mut programs) = (Vec::new(), Vec::new());
        for Opened { xdp, program, interface } in opened {
            interfaces.push(interface);
            programs.push((xdp, program));
        }
        let Fleet { poll_loops, shards, workers, observer } =
            build_fleet(interfaces, workers).map_err(|error| explain(error, &programs))?;
        Ok(Self { poll_loops, interfaces: programs, shards, workers, observer })
    }

    /// Starts the loops, with `riders` on their threads where there are any, then attaches the programs, and sets the guard. Also gives
    /// the way to the guard, and the modes in force.
    ///
    /// # Errors
    /// When a thread cannot be had or a program not be attached.
    pub fn start(
        self,
        riders: Vec<(SocketCore, Rider)>,
        guard: GuardPlan,
    ) -> Result<(Running, ShieldHandle, BTreeMap<String, String>)> {
        let mut running = Running { stops: Vec::new(), threads: Vec::new(), attached: Vec::new(), guard: None };
        let mut riders = riders.into_iter();
        for (number, poll_loop) in self.poll_loops.into_iter().enumerate() {
            running.stops.push(poll_loop.stopper());
            let rider = riders.next();
            let turn = move || match rider {
                Some((core, rider)) => poll_loop.run_with(core, rider),
                None => poll_loop.run(),
            };
            running.threads.push(thread::Builder::new().name(format!("poll-{number}")).spawn(turn)?);
        }
        let started = running
            .await_listeners(&self.observer, guard.listeners.len())
            .and_then(|()| running.attach_and_guard(self.interfaces, guard, self.observer));
        match started {
            Ok(handle) => {
                let modes = running.modes();
                Ok((running, handle, modes))
            }
            // Why a loop has ended is told by the loop; else what stopped the start, not what stopping it adds.
            Err(error) if running.has_ended() => Err(running.stop().err().unwrap_or(error)),
            Err(error) => {
                let _ = running.stop();
                Err(error)
            }
        }
    }
}

impl Running {
    /// Waits until every loop knows so many listeners.
    fn await_listeners(&self, observer: &Observer, listeners: usize) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let known = observer.listeners()?.collect(left).context("waiting for the poll loops to begin")?;
            if known.len() >= listeners * self.threads.len() {
                return Ok(());
            }
        }
    }

    fn attach_and_guard(
        &mut self,
        interfaces: Vec<(XdpMode, Program)>,
        plan: GuardPlan,
        observer: Observer,
    ) -> Result<ShieldHandle> {
        let mut programs = Vec::new();
        for (xdp, mut program) in interfaces {
            let attached = program.shield.attach(&program.interface, xdp);
            self.attached.push(attached.with_context(|| program.interface.clone())?);
            programs.push(program);
        }
        let guard = Guard::start(plan, programs, observer)?;
        let handle = guard.handle();
        self.guard = Some(guard);
        Ok(handle)
    }

    /// Whether a loop or the guard has ended by itself.
    pub fn has_ended(&self) -> bool {
        let guard_ended = self.guard.as_ref().is_some_and(Guard::has_ended);
        guard_ended || self.threads.iter().any(thread::JoinHandle::is_finished)
    }

    /// Gives the interfaces back to the kernel and ends the loops.
    ///
    /// # Errors
    /// Why a loop had ended before.
    pub fn stop(self) -> Result<()> {
        let Self { stops, threads, attached, guard } = self;
        let names: Vec<_> = attached.iter().map(|attached| attached.interface().name.clone()).collect();
        drop(attached);
        stops.iter().for_each(Stop::stop);
        let mut result = Ok(());
        for thread in threads {
            match thread.join() {
                Ok(ended) => result = result.and(ended.with_context(|| names.join(", "))),
                Err(_) => bail!("a poll loop panicked"),
            }
        }
        if let Some(guard) = guard {
            ensure!(guard.end(), "the guard of the shield panicked");
        }
        result
    }

    /// The interfaces, and where their programs run.
    fn modes(&self) -> BTreeMap<String, String> {
        let joined = |word: &dyn Fn(&Attached) -> String| {
            let mut words: Vec<_> = self.attached.iter().map(word).collect();
            words.dedup();
            words.join(", ")
        };
        BTreeMap::from([
            ("interface".to_owned(), joined(&|attached| attached.interface().name.clone())),
            ("xdp".to_owned(), joined(&|attached| attached.mode().to_string())),
        ])
    }
}
