//! Two hosts, the way between them, their applications, and everybody who means harm.

use super::applications::{Client, Server};
use super::attackers::{Attackers, is_zombie};
use super::faults::{FaultKind, Scene, Side};
use super::machine::{Limits, Machine};
use super::options::{MachineOptions, Options, address};
use super::path::Path;
use super::watcher::Watcher;
use super::{Outcome, draw};
use crate::hostile::Rng;
use std::net::IpAddr;
use std::time::Duration;
use synward_proto::Endpoint;

/// Looks of the applications at one moment: one that is told something more has no rest.
const MAX_LOOKS: u32 = 10_000;

/// A frame with the time when it was sent.
pub(super) type Sent = (Duration, Vec<u8>);

/// Everything there is.
pub(super) struct World {
    pub now: Duration,
    pub options: Options,
    pub server: Machine,
    pub client: Machine,
    up: Path,
    down: Path,
    pub serving: Server,
    pub dialling: Client,
    attackers: Attackers,
    watcher: Watcher,
    /// When each fault begins and ends, by time, as far as that is to come.
    changes: Vec<(Duration, FaultKind, bool)>,
    pub outcome: Outcome,
    /// Every frame that was sent, when that is wanted.
    pub record: Option<Vec<Sent>>,
}

impl World {
    pub fn new(seed: u64) -> Result<Self, String> {
        let mut rng = Rng::new(seed);
        let options = draw::draw(&mut rng);
        let router = address(options.ipv6, 9);
        let mut server = Machine::new(&options.server, rng.fork())?;
        let client = Machine::new(&options.client, rng.fork())?;
        let mut changes = Vec::new();
        for fault in &options.faults {
            changes.extend([(fault.at, fault.kind, true), (fault.at + fault.lasts, fault.kind, false)]);
        }
        changes.sort_by_key(|change| std::cmp::Reverse(change.0));
        Ok(Self {
            now: Duration::ZERO,
            serving: Server::new(&options, &mut server)?,
            dialling: Client::default(),
            server,
            client,
            up: Path::new(&options.paths[0], router, rng.fork()),
            down: Path::new(&options.paths[1], router, rng.fork()),
            attackers: Attackers::new(&options, rng.fork()),
            watcher: Watcher::new(&options),
            changes,
            options,
            outcome: Outcome::default(),
            record: None,
        })
    }

    /// Everything that happens at this moment.
    pub fn step(&mut self) -> Result<(), String> {
        self.outcome.steps += 1;
        self.break_and_mend()?;
        self.outcome.opened += self.dialling.open(self.now, &self.options, &mut self.client)?;
        self.attack();
        self.arrive();
        self.talk()?;
        self.depart()?;
        self.check()
    }

    /// From now on nothing breaks, and nobody attacks.
    pub fn calm_down(&mut self) {
        while let Some((_, kind, broken)) = self.changes.pop() {
            // What would have been for good is not to happen any more, but what is mended in time is.
            if !broken {
                self.scene().set(kind, false);
            }
        }
        self.scene().mend();
        self.attackers.stop();
        self.outcome.guesses = self.attackers.guesses;
    }

    fn scene(&mut self) -> Scene<'_> {
        let Self { server, client, up, down, .. } = self;
        Scene { server, client, up, down }
    }

    fn break_and_mend(&mut self) -> Result<(), String> {
        while let Some((_, kind, broken)) = self.changes.pop_if(|change| change.0 <= self.now) {
            self.scene().set(kind, broken);
            match kind {
                FaultKind::WorkerEnd(worker) if broken => self.serving.lose_worker(worker.into()),
                FaultKind::Crash(side) if broken => self.crash(side)?,
                FaultKind::ClockJump { side, by, .. } if broken => self.watcher.on_clock_jump(side, by),
                _ => {}
            }
        }
        Ok(())
    }

    /// A host and its application are others, which know nothing of what was.
    fn crash(&mut self, side: Side) -> Result<(), String> {
        let Self { options, server, client, serving, dialling, watcher, .. } = self;
        watcher.on_crash(side);
        match side {
            Side::Server => {
                server.start_again(&options.server)?;
                serving.start_again(options, server)
            }
            Side::Client => {
                dialling.lose_all();
                client.start_again(&options.client)
            }
        }
    }

    fn attack(&mut self) {
        let machines = [(Side::Server, &mut self.server), (Side::Client, &mut self.client)];
        let plain: Vec<Side> = machines.into_iter().filter_map(|(side, it)| it.is_plain().then_some(side)).collect();
        for shot in self.attackers.shoot(self.now, &self.options, &self.watcher, &plain) {
            self.outcome.attacks += 1;
            if let Some(record) = &mut self.record {
                record.push((self.now, shot.frame.clone()));
            }
            self.put(shot.to, &shot.frame, shot.genuine);
        }
    }

    /// Frames arrive. A port without room loses them, as a network card would.
    fn arrive(&mut self) {
        while let Some(frame) = self.up.receive(self.now) {
            self.put(Side::Server, &frame, true);
        }
        while let Some(frame) = self.down.receive(self.now) {
            self.put(Side::Client, &frame, true);
        }
    }

    fn put(&mut self, to: Side, frame: &[u8], genuine: bool) {
        let machine = match to {
            Side::Server => &mut self.server,
            Side::Client => &mut self.client,
        };
        if machine.receive(frame) {
            self.watcher.on_arrival(to, frame, genuine);
        }
    }

    /// Both engines act, the applications look at their sockets, and the engines act on it, until no application is told anything.
    fn talk(&mut self) -> Result<(), String> {
        let Self { now, options, server, client, serving, dialling, watcher, .. } = self;
        client.rest(*now);
        server.rest(*now);
        for _ in 0..MAX_LOOKS {
            serving.look(*now, options, server, watcher, dialling)?;
            dialling.look(*now, client)?;
            serving.close(dialling, options.patient, (server, client))?;
            let told = [client.rest(*now), server.rest(*now)];
            if told == [false; 2] {
                return Ok(());
            }
        }
        Err(format!("applications are told something more after {MAX_LOOKS} looks at {now:?}"))
    }

    /// Frames leave. The server's reach the client, or those who gave themselves an address of theirs.
    fn depart(&mut self) -> Result<(), String> {
        while let Some(frame) = self.client.take_sent() {
            self.leave(Side::Client, &frame)?;
            if let Some(error) = self.up.send(self.now, frame) {
                self.down.send(self.now, error);
            }
        }
        while let Some(frame) = self.server.take_sent() {
            self.leave(Side::Server, &frame)?;
            let to = destination(&frame);
            if to == Some(self.options.client_address()) {
                if let Some(error) = self.down.send(self.now, frame) {
                    self.up.send(self.now, error);
                }
            } else if to.is_some_and(|to| is_zombie(&self.options, &Endpoint::new(to, 0))) {
                self.attackers.zombies.hear(self.now, &frame);
            }
        }
        Ok(())
    }

    fn leave(&mut self, from: Side, frame: &[u8]) -> Result<(), String> {
        self.outcome.frames += 1;
        if let Some(record) = &mut self.record {
            record.push((self.now, frame.to_vec()));
        }
        self.attackers.see(from.other(), frame);
        self.watcher.on_sent(from, frame)
    }

    fn check(&mut self) -> Result<(), String> {
        // Where ports are shared, an open may use one again that is in TIME-WAIT.
        let half_open = self.options.half_open_limit();
        let machines = [
            (Side::Server, &mut self.server, &self.options.server),
            (Side::Client, &mut self.client, &self.options.client),
        ];
        for (side, machine, MachineOptions { config, budget, .. }) in machines {
            let (transmit_backlog, time_wait) = (budget.transmit_backlog, config.time_wait);
            let reopened = match side {
                Side::Server => self.watcher.new_syns,
                Side::Client if self.options.plans.iter().any(|plan| plan.up.tag.is_some()) => {
                    self.outcome.opened.into()
                }
                Side::Client => 0,
            };
            let checked = machine.check(self.now, Limits { half_open, transmit_backlog, time_wait, reopened });
            checked.map_err(|problem| format!("{side:?}: {problem}"))?;
        }
        let (waiting, most) = (self.server.waiting(self.serving.local()), self.options.accept_limit());
        if waiting > most { Err(format!("{waiting} wait for accept, of at most {most}")) } else { Ok(()) }
    }

    /// When anything happens next.
    pub fn next_event(&self) -> Option<Duration> {
        let looks =
            self.dialling.talkers.iter().flatten().chain(self.serving.served.iter().map(|served| &served.talker));
        let looks = looks.filter_map(super::talker::Talker::next_look);
        let opens = self.dialling.next_open(&self.options, self.now).filter(|_| self.client.is_heard(0));
        let machines = [self.client.next_deadline(self.now), self.server.next_deadline(self.now)];
        let others = [
            self.up.next_arrival(),
            self.down.next_arrival(),
            self.attackers.next_shot(),
            self.serving.next_look(&self.options),
            self.changes.last().map(|change| change.0),
        ];
        // What is past could not happen: its thread stands still.
        let later = looks.chain(others.into_iter().flatten()).filter(|at| *at > self.now);
        later.chain(opens).chain(machines.into_iter().flatten()).min()
    }

    /// Time passes until the next event, but not past `end`. False when that is reached, or nothing more will happen.
    pub fn advance(&mut self, end: Duration) -> bool {
        match self.next_event() {
            Some(next) if next <= end => {
                self.now = next.max(self.now + Duration::from_nanos(1));
                true
            }
            _ => {
                self.now = end;
                false
            }
        }
    }
}

/// Where an IP packet goes.
fn destination(frame: &[u8]) -> Option<IpAddr> {
    match frame.get(12..14)? {
        [0x08, 0x00] => <[u8; 4]>::try_from(frame.get(30..34)?).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(frame.get(38..54)?).ok().map(IpAddr::from),
    }
}

impl World {
    /// How things stand, for whoever looks for the reason of a failure.
    pub fn describe(&self) -> String {
        let mut text = format!("at {:?}, {:?}\n{:#?}\n", self.now, self.outcome, self.options);
        for (number, talker) in self.dialling.talkers.iter().enumerate() {
            text += &talker.as_ref().map_or_else(String::new, |talker| format!("client of plan {number}: {talker}\n"));
        }
        for served in &self.serving.served {
            text += &format!("server of plan {}: {}\n", served.plan, served.talker);
        }
        text += &self.serving.describe_others();
        for (name, machine) in [("server", &self.server), ("client", &self.client)] {
            for (gauges, outcomes) in machine.observer.gauges().zip(machine.observer.outcomes()) {
                text += &format!("{name}: {gauges:?} {outcomes:?}\n");
            }
            let snapshot = machine.observer.snapshot();
            let counted = snapshot.counters.iter().chain(&snapshot.drops).filter(|(_, count)| **count > 0);
            text += &counted.map(|(what, count)| format!("{what} {count}  ")).collect::<String>();
            text.push('\n');
        }
        text
    }
}
