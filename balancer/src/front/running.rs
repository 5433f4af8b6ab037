//! The threads of an engine's poll loops.
//!
//! The order of the start matters: every socket is in its program's map and every loop is on its way before a program is attached, so
//! that no segment for us reaches the kernel, which would answer it with RST.

use super::Opened;
use crate::control::server::Counts;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::thread;
use synward_ebpf::{Attached, Shield, XdpMode};
use synward_engine::{Fleet, Observer, PollLoop, RunError, ShardId, SocketCore, Stop, Workers, build_fleet};
use synward_nic::XskPort;
use synward_proto::Instant;

/// A worker on a poll loop's thread: what [`PollLoop::run_with`] calls.
pub type Rider = Box<dyn FnMut(&mut SocketCore, Instant) -> Option<Instant> + Send>;

/// An engine that is built, and not running yet.
pub struct Ready {
    poll_loops: Vec<PollLoop<XskPort>>,
    interfaces: Vec<(String, XdpMode, Shield)>,
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
}

impl Ready {
    /// Builds an engine on interfaces that are open.
    ///
    /// # Errors
    /// When a setting is out of range.
    pub fn build(opened: Vec<Opened>, workers: Workers) -> Result<Self> {
        let (mut interfaces, mut shields) = (Vec::new(), Vec::new());
        for Opened { name, xdp, shield, interface } in opened {
            interfaces.push(interface);
            shields.push((name, xdp, shield));
        }
        let Fleet { poll_loops, shards, workers, observer } = build_fleet(interfaces, workers)?;
        Ok(Self { poll_loops, interfaces: shields, shards, workers, observer })
    }

    /// Starts the loops, with `riders` on their threads where there are any, and then attaches the programs. Also gives what the programs
    /// count, and the modes in force.
    ///
    /// # Errors
    /// When a thread cannot be had or a program not be attached.
    pub fn start(self, riders: Vec<(SocketCore, Rider)>) -> Result<(Running, Counts, BTreeMap<String, String>)> {
        let mut running = Running { stops: Vec::new(), threads: Vec::new(), attached: Vec::new() };
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
        let mut shields = Vec::new();
        for (name, xdp, mut shield) in self.interfaces {
            let attached = shield.attach(&name, xdp).with_context(|| name.clone());
            match attached {
                Ok(attached) => running.attached.push(attached),
                Err(error) => {
                    // What stopped the start is told, not what stopping it adds.
                    let _ = running.stop();
                    return Err(error);
                }
            }
            shields.push(shield);
        }
        let modes = running.modes();
        Ok((running, counts_of(shields), modes))
    }
}

impl Running {
    /// Whether a loop has ended by itself.
    pub fn has_ended(&self) -> bool {
        self.threads.iter().any(thread::JoinHandle::is_finished)
    }

    /// Gives the interfaces back to the kernel and ends the loops.
    ///
    /// # Errors
    /// Why a loop had ended before.
    pub fn stop(self) -> Result<()> {
        let Self { stops, threads, attached } = self;
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

/// What the programs count, all together.
fn counts_of(shields: Vec<Shield>) -> Counts {
    Box::new(move || {
        let mut sums = BTreeMap::new();
        for shield in &shields {
            match shield.counters() {
                Ok(counters) => {
                    for (counter, count) in counters.iter() {
                        *sums.entry(counter.name().to_owned()).or_default() += count;
                    }
                }
                Err(error) => tracing::warn!("{error}"),
            }
        }
        sums
    })
}
