//! A host: a fleet of shards and workers on ports in memory, turned by hand in virtual time.

use super::options::MachineOptions;
use crate::hostile::Rng;
use std::collections::VecDeque;
use std::time::Duration;
use synward_engine::{EngineConfig, Fleet, Gauges, Interface, ListenConfig, ListenerId, Observer, PollLoop, Queue};
use synward_engine::{Secrets, SocketCore, SocketError, build_fleet};
use synward_nic::{MemoryFaults, MemoryPort, MemoryPortConfig, MemoryWire, Port, PortStatistics};
use synward_proto::{Counter, Endpoint, Instant};

/// An engine that has not come to rest after so many turns at one time never will.
const MAX_TURNS: u32 = 100_000;

/// A queue of the machine's network card, and the poll loop that serves it.
struct Queued {
    poll_loop: PollLoop<MemoryPort>,
    wire: MemoryWire,
    faults: MemoryFaults,
    /// Frames that the port took.
    taken: u64,
    /// The thread does not run.
    stalled: bool,
}

/// A worker.
pub(super) struct Worker {
    /// Its sockets; none once it has ended.
    pub core: Option<SocketCore>,
    /// The thread does not run.
    pub stalled: bool,
}

/// A host.
pub(super) struct Machine {
    queues: Vec<Queued>,
    pub workers: Vec<Worker>,
    pub observer: Observer,
    /// What its clock shows at the start of the run, in nanoseconds.
    epoch: u64,
    /// How far the clock has jumped since.
    jumped: i64,
    /// It has, be it to and fro.
    has_jumped: bool,
    /// One before a crash had given a connection up.
    had_given_up: bool,
    scatter: u32,
    rng: Rng,
    sent: VecDeque<Vec<u8>>,
    complaint: Option<String>,
    /// How many connections had gone to TIME-WAIT at each moment of the last minutes.
    to_time_wait: VecDeque<(Duration, u64)>,
}

/// What must not be exceeded by any shard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub half_open: u64,
    pub transmit_backlog: u32,
    /// How long TIME-WAIT is.
    pub time_wait: Duration,
    /// How many of those in TIME-WAIT a newer SYN of the peer can have ended (RFC 6191).
    pub reopened: u64,
}

impl Machine {
    pub fn new(options: &MachineOptions, rng: Rng) -> Result<Self, String> {
        let MachineOptions { config, budget, shards, workers, epoch, scatter } = options.clone();
        let port = || MemoryPort::with_wire(MemoryPortConfig { budget, ..MemoryPortConfig::default() });
        let ports: Result<Vec<_>, _> = (0..shards).map(|_| port()).collect();
        let (ports, wires): (Vec<_>, Vec<_>) = ports.map_err(|error| error.to_string())?.into_iter().unzip();
        let faults: Vec<_> = ports.iter().map(MemoryPort::faults).collect();
        let queues = ports.into_iter().map(|port| Queue { port, core: None }).collect();
        let interface = Interface { config, rss: None, queues, shield: None };
        let Fleet { poll_loops, shards: _, workers, observer } =
            build_fleet(vec![interface], workers).map_err(|error| error.to_string())?;
        let parts = poll_loops.into_iter().zip(wires).zip(faults);
        let queued = |((poll_loop, wire), faults)| Queued { poll_loop, wire, faults, taken: 0, stalled: false };
        Ok(Self {
            queues: parts.map(queued).collect(),
            workers: workers.into_iter().map(|core| Worker { core: Some(core), stalled: false }).collect(),
            observer,
            epoch: epoch.as_nanos(),
            jumped: 0,
            has_jumped: false,
            had_given_up: false,
            scatter,
            rng,
            sent: VecDeque::new(),
            complaint: None,
            to_time_wait: VecDeque::new(),
        })
    }

    /// Another machine is in its place, with other secrets; the clock is the same. It does not run yet.
    pub fn start_again(&mut self, options: &MachineOptions) -> Result<(), String> {
        let secrets = Some(Secrets::from_seed(self.rng.next()));
        let options = MachineOptions { config: EngineConfig { secrets, ..options.config.clone() }, ..options.clone() };
        let Self { jumped, has_jumped, .. } = *self;
        let had_given_up = self.has_given_up();
        *self = Self { jumped, has_jumped, had_given_up, ..Self::new(&options, self.rng.fork())? };
        self.stop(true);
        Ok(())
    }

    /// Every worker listens.
    pub fn listen(&mut self, config: &ListenConfig) -> Result<Vec<ListenerId>, SocketError> {
        self.workers
            .iter_mut()
            .filter_map(|worker| worker.core.as_mut())
            .map(|core| core.listen(config.clone()))
            .collect()
    }

    /// Whether a worker is there and runs.
    pub fn is_heard(&self, worker: usize) -> bool {
        self.workers.get(worker).is_some_and(|worker| !worker.stalled && worker.core.is_some())
    }

    /// The sockets of a worker that runs.
    pub fn running(&mut self, worker: usize) -> Option<&mut SocketCore> {
        self.workers.get_mut(worker).filter(|worker| !worker.stalled)?.core.as_mut()
    }

    /// A frame arrives on a queue of the network card's choice. A full queue loses it.
    pub fn receive(&mut self, frame: &[u8]) -> bool {
        let count = self.queues.len() as u64;
        let queue = if self.rng.chance(self.scatter) { self.rng.below(count) } else { spread(frame) % count };
        let queue = &mut self.queues[queue as usize];
        let taken = queue.wire.push(frame);
        queue.taken += u64::from(taken);
        taken
    }

    /// The next frame that the machine has sent.
    pub fn take_sent(&mut self) -> Option<Vec<u8>> {
        self.sent.pop_front()
    }

    /// Turns everything that runs, at time `now`, until there is nothing more to do. Whether workers were told something.
    pub fn rest(&mut self, now: Duration) -> bool {
        let (time, mut told) = (self.clock(now), false);
        for _ in 0..MAX_TURNS {
            let mut idle = true;
            for queue in self.queues.iter_mut().filter(|queue| !queue.stalled) {
                idle &= queue.poll_loop.poll_once(time).is_idle();
                self.sent.extend(std::iter::from_fn(|| queue.wire.take()));
            }
            for worker in self.workers.iter_mut().filter(|worker| !worker.stalled) {
                let events = worker.core.as_mut().map_or(0, SocketCore::poll);
                idle &= events == 0;
                told |= events > 0;
            }
            if idle {
                return told;
            }
        }
        self.complaint.get_or_insert(format!("no rest after {MAX_TURNS} turns at {now:?}"));
        told
    }

    /// When the machine must be turned next, in time since the start.
    pub fn next_deadline(&self, now: Duration) -> Option<Duration> {
        let clock = self.clock(now);
        let running = self.queues.iter().filter(|queue| !queue.stalled);
        let due = running.filter_map(|queue| queue.poll_loop.next_deadline(clock)).min()?;
        Some(now + due.since(clock))
    }

    fn clock(&self, now: Duration) -> Instant {
        Instant::from_nanos((self.epoch + now.as_nanos() as u64).saturating_add_signed(self.jumped))
    }

    /// The clock jumps.
    pub fn jump(&mut self, by: Duration, forward: bool) {
        let nanos = by.as_nanos() as i64;
        self.jumped += if forward { nanos } else { -nanos };
        self.has_jumped = true;
    }

    /// The interface's MTU changes.
    pub fn set_mtu(&mut self, mtu: u16) {
        self.queues.iter_mut().for_each(|queue| queue.poll_loop.set_mtu(mtu.into()));
    }

    /// A poll loop's thread is stopped, or runs again.
    pub fn stall_shard(&mut self, shard: u16, stalled: bool) {
        self.queues[usize::from(shard)].stalled = stalled;
    }

    /// Whether every poll loop runs, and all that it has written is on the wire: then what was seen there is how things stand.
    pub fn is_plain(&mut self) -> bool {
        let is_plain = |queue: &mut Queued| !queue.stalled && queue.poll_loop.port().ledger().in_hand == 0;
        self.queues.iter_mut().all(is_plain) && self.observer.counter(Counter::TxBacklogDrops) == 0
    }

    /// Whether it has given up a connection for want of an answer, or for one that had to have its place.
    pub fn has_given_up(&self) -> bool {
        let reasons = [Counter::TCPAbortOnTimeout, Counter::TCPAbortOnMemory];
        self.had_given_up || reasons.iter().any(|&reason| self.observer.counter(reason) > 0)
    }

    /// A worker's thread is stopped, or runs again.
    pub fn stall_worker(&mut self, worker: u16, stalled: bool) {
        self.workers[usize::from(worker)].stalled = stalled;
    }

    /// All threads are stopped, or run again.
    pub fn stop(&mut self, stopped: bool) {
        self.queues.iter_mut().for_each(|queue| queue.stalled = stopped);
        self.workers.iter_mut().for_each(|worker| worker.stalled = stopped);
    }

    /// A worker ends.
    pub fn end_worker(&mut self, worker: u16) {
        self.workers[usize::from(worker)].core = None;
    }

    /// How a queue misbehaves.
    pub fn faults(&self, shard: u16) -> &MemoryFaults {
        &self.queues[usize::from(shard)].faults
    }

    /// Everything runs again, every device works, and the frames of one connection stay on one queue.
    pub fn recover(&mut self) {
        self.scatter = 0;
        for queue in &mut self.queues {
            queue.stalled = false;
            queue.faults.refuse_transmit(false);
            queue.faults.refuse_refill(false);
            queue.faults.hold_completions(false);
            queue.faults.link_down(false);
        }
        self.workers.iter_mut().for_each(|worker| worker.stalled = false);
    }

    /// What holds after every step: every frame has one owner, every received frame became one thing, nothing is above its limit.
    pub fn check(&mut self, now: Duration, limits: Limits) -> Result<(), String> {
        if let Some(complaint) = self.complaint.take() {
            return Err(complaint);
        }
        for queue in &mut self.queues {
            let ledger = queue.poll_loop.port().ledger();
            if !ledger.is_balanced() || ledger.in_hand > limits.transmit_backlog {
                return Err(format!("a frame has not one owner: {ledger:?}"));
            }
            let lost = queue.wire.statistics();
            if lost != PortStatistics::default() {
                return Err(format!("the simulator lost what was sent: {lost:?}"));
            }
        }
        for gauges in self.observer.gauges() {
            check_gauges(&gauges, limits)?;
        }
        self.check_time_waits(now, limits)?;
        self.check_outcomes()
    }

    /// Whoever went to TIME-WAIT within its length is there, but for those who were opened anew or made room for others. On a clock that
    /// jumps it may be shorter.
    fn check_time_waits(&mut self, now: Duration, limits: Limits) -> Result<(), String> {
        let Limits { time_wait: length, reopened, .. } = limits;
        let entered = self.observer.counter(Counter::TW);
        self.to_time_wait.push_back((now, entered));
        while self.to_time_wait.get(1).is_some_and(|(at, _)| *at + length <= now) {
            self.to_time_wait.pop_front();
        }
        let before = match self.to_time_wait.front() {
            Some((at, before)) if *at + length <= now => *before,
            _ => 0,
        };
        let (mut there, mut is_full) = (self.observer.counter(Counter::TWRecycled) + reopened, self.has_jumped);
        for gauges in self.observer.gauges() {
            there += gauges.time_waits;
            is_full |= entered >= gauges.time_waits_limit;
        }
        if entered - before > there && !is_full {
            return Err(format!("{} went to TIME-WAIT within its length, and {there} are there", entered - before));
        }
        Ok(())
    }

    /// Every frame that a port took was received, once, and became one thing.
    fn check_outcomes(&self) -> Result<(), String> {
        let (mut taken, mut received, mut steered, mut stalled) = (0, 0, 0, false);
        for (queue, outcomes) in self.queues.iter().zip(self.observer.outcomes()) {
            if !outcomes.is_balanced() {
                return Err(format!("a frame became nothing, or two things: {outcomes:?}"));
            }
            (taken, received, steered) =
                (taken + queue.taken, received + outcomes.received, steered + outcomes.steered);
            stalled |= queue.stalled;
        }
        if !stalled && received != taken + steered {
            return Err(format!("{received} frames received of {taken} and {steered} steered"));
        }
        Ok(())
    }

    /// Whether nothing is left of any connection, and every frame is home.
    pub fn check_empty(&mut self) -> Result<(), String> {
        for queue in &mut self.queues {
            let port = queue.poll_loop.port();
            port.reclaim();
            let ledger = port.ledger();
            if !ledger.is_balanced() || ledger.lent != 0 || ledger.in_hand != 0 || ledger.sending != 0 {
                return Err(format!("frames are not home: {ledger:?}"));
            }
        }
        for gauges in self.observer.gauges() {
            let Gauges { connections, time_waits, half_open, spliced, source_ports_used, orphans, .. } = gauges;
            if [connections, time_waits, half_open, spliced, source_ports_used, orphans].iter().any(|left| *left != 0) {
                return Err(format!("something is left over: {gauges:?}"));
            }
        }
        Ok(())
    }

    /// Connections that wait for accept at a listener.
    pub fn waiting(&self, local: &Endpoint) -> u32 {
        self.observer.listener_pressure(local).map_or(0, |pressure| pressure.accept_queue)
    }
}

fn check_gauges(gauges: &Gauges, limits: Limits) -> Result<(), String> {
    let within = [
        ("half open", gauges.half_open, limits.half_open.min(gauges.half_open_limit)),
        ("connections", gauges.connections, gauges.connections_limit),
        ("in TIME-WAIT", gauges.time_waits, gauges.time_waits_limit),
        ("frames lent", gauges.frames_lent, gauges.frames_lent_limit),
    ];
    match within.into_iter().find(|(_, value, limit)| value > limit) {
        Some((what, value, limit)) => Err(format!("{value} {what}, of at most {limit}")),
        None => Ok(()),
    }
}

/// What a network card might make of addresses and ports: frames of one connection stay together.
fn spread(frame: &[u8]) -> u64 {
    let ports = if frame.get(12..14) == Some(&[0x08, 0x00]) { 26..38 } else { 22..58 };
    let bytes = frame.get(ports).unwrap_or_default();
    bytes.iter().fold(0, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)))
}
