//! The phases of a run, and what is asked of each.

use super::attackers::AttackKind;
use super::faults::{FaultKind, Side};
use super::options::{FIRST_PORT, Options, Plan};
use super::talker::{End, Flow, Talker, Temper};
use super::world::World;
use std::time::Duration;
use synward_engine::SocketError;

/// Steps of a run, at most: one that has more turns without end.
const MAX_STEPS: u64 = 5_000_000;
/// Once it is calm, every connection has ended after this.
const SERVED_WITHIN: Duration = Duration::from_secs(4 * 3600);
/// And nothing is left of any of them after this: no timer of a connection without an application is longer.
const EMPTY_WITHIN: Duration = Duration::from_secs(1800);
/// Connections that are opened afterwards, one after the other.
const PROBES: u16 = 3;
/// Each is over after this.
const PROBED_WITHIN: Duration = Duration::from_secs(10);

impl World {
    /// The whole run.
    pub fn run(&mut self) -> Result<(), String> {
        self.storm()?;
        self.calm_down();
        self.serve_all()?;
        self.account()?;
        self.become_empty()?;
        for number in 0..PROBES {
            self.probe(number)?;
        }
        self.become_empty()?;
        self.outcome.took = self.now;
        self.drop_all()
    }

    fn storm(&mut self) -> Result<(), String> {
        let end = self.options.calm;
        loop {
            self.step()?;
            self.check_steps()?;
            if !self.advance(end) {
                return Ok(());
            }
        }
    }

    /// Steps until `done`, for at most `limit`.
    fn step_until(&mut self, limit: Duration, what: &str, done: impl Fn(&mut Self) -> bool) -> Result<(), String> {
        let end = self.now + limit;
        loop {
            self.step()?;
            self.check_steps()?;
            if done(self) {
                return Ok(());
            }
            if !self.advance(end) {
                return Err(format!("{what} after {limit:?} of calm"));
            }
        }
    }

    fn check_steps(&self) -> Result<(), String> {
        if self.outcome.steps > MAX_STEPS { Err(format!("no end after {MAX_STEPS} steps")) } else { Ok(()) }
    }

    fn serve_all(&mut self) -> Result<(), String> {
        let is_done = |world: &mut Self| world.serving.is_done() && world.dialling.is_done(&world.options.plans);
        self.step_until(SERVED_WITHIN, "a connection has no end", is_done)
    }

    fn become_empty(&mut self) -> Result<(), String> {
        let is_empty = |world: &mut Self| world.server.check_empty().is_ok() && world.client.check_empty().is_ok();
        let began = self.now;
        let became = self.step_until(EMPTY_WITHIN, "not empty", is_empty);
        self.outcome.emptied = self.outcome.emptied.max(self.now - began);
        became.map_err(|problem| {
            let left = [self.server.check_empty(), self.client.check_empty()];
            let left: Vec<_> = left.into_iter().filter_map(Result::err).collect();
            format!("{problem}: {left:?}")
        })
    }

    /// Every connection is complete at both ends, or its loss has a reason that this world gives.
    fn account(&mut self) -> Result<(), String> {
        self.outcome.ghosts = self.serving.ghosts;
        self.outcome.guests = self.serving.guests_seen;
        let given_up = self.server.has_given_up() || self.client.has_given_up();
        for (number, talker) in self.dialling.talkers.iter().enumerate() {
            let Some(talker) = talker else { return Err(format!("plan {number} was never begun")) };
            let served = self.serving.served.iter().find(|served| served.plan == number);
            let served = served.map(|served| &served.talker);
            judge(&self.options, &self.options.plans[number], talker, served, given_up)
                .map_err(|problem| format!("client of plan {number}: {problem}"))?;
            if let Some(served) = served {
                judge(&self.options, &self.options.plans[number], served, Some(talker), given_up)
                    .map_err(|problem| format!("server of plan {number}: {problem}"))?;
            }
            let ends = [Some(talker), served].into_iter().flatten();
            self.outcome.bytes +=
                ends.filter(|end| end.end == Some(End::Complete)).map(Talker::incoming_length).sum::<u64>();
            self.outcome.complete += u32::from(talker.end == Some(End::Complete));
        }
        Ok(())
    }

    /// Whoever connects after the storm is served.
    fn probe(&mut self, number: u16) -> Result<(), String> {
        let flow = |salt| Flow { salt, length: 10_000, tag: None };
        let temper = Temper { pause: Duration::ZERO, when_told: false, mouthful: 4096 };
        let port = FIRST_PORT + 1_000 + number;
        let at = self.now + Duration::from_secs(1);
        let plan = Plan { at, port, up: flow(1), down: flow(2), client: temper, server: temper };
        self.options.plans.push(plan);
        self.options.patient = true;
        let is_done = |world: &mut Self| world.serving.is_done() && world.dialling.is_done(&world.options.plans);
        self.step_until(PROBED_WITHIN, "a connection after the storm has no end", is_done)?;
        let complete = |end: &Option<&Talker>| end.is_some_and(|end| end.end == Some(End::Complete));
        let ends = [
            self.dialling.talkers.last().and_then(Option::as_ref),
            self.serving.served.last().map(|served| &served.talker),
        ];
        if ends.iter().all(complete) { Ok(()) } else { Err(format!("a connection after the storm failed: {ends:?}")) }
    }

    /// The applications go, and nothing stays.
    fn drop_all(&mut self) -> Result<(), String> {
        for machine in [&mut self.server, &mut self.client] {
            machine.workers.iter_mut().for_each(|worker| worker.core = None);
            machine.rest(self.now);
        }
        self.server.check_empty().map_err(|problem| format!("server without application: {problem}"))?;
        self.client.check_empty().map_err(|problem| format!("client without application: {problem}"))
    }
}

/// Whether an end of a connection ended as it may.
fn judge(options: &Options, plan: &Plan, talker: &Talker, peer: Option<&Talker>, given_up: bool) -> Result<(), String> {
    match talker.end {
        Some(End::Complete | End::Abandoned) => Ok(()),
        Some(End::Failed(SocketError::TimedOut)) => Ok(()),
        // What the peer gave up is reset when it says something more.
        Some(End::Failed(SocketError::ConnectionReset | SocketError::BrokenPipe))
            if given_up || may_be_reset(options) || peer.is_none_or(|peer| peer.end != Some(End::Complete)) =>
        {
            Ok(())
        }
        // Whoever starts again has received requests before it listens; and a SYN in the window of a half-open connection that somebody
        // else has begun in the client's name is answered with a reset (Linux: `tcp_check_req`).
        Some(End::Failed(SocketError::ConnectionRefused))
            if options.crashes(Side::Server) || options.is_under(AttackKind::BlindSyn) =>
        {
            Ok(())
        }
        // Others needed its place.
        Some(End::Failed(SocketError::NoBuffers)) if given_up => Ok(()),
        // The port is in TIME-WAIT from before.
        Some(End::Failed(SocketError::AddressInUse)) if plan.up.tag.is_some() && plan.port != 0 => Ok(()),
        Some(End::Failed(SocketError::AddressNotAvailable)) if plan.port == 0 && options.ports_run_out() => Ok(()),
        // Of a connection that was given up, the application hears what a router said last.
        Some(End::Failed(_)) if given_up && options.is_under(AttackKind::Icmp) => Ok(()),
        Some(End::Failed(error)) => Err(format!("failed: {error}")),
        None => Err("has no end".into()),
    }
}

/// Whether somebody in this world resets connections.
fn may_be_reset(options: &Options) -> bool {
    let config = &options.server.config;
    // A cookie is answered with a reset when it comes half a minute late, or when a later segment overtakes the first; and a
    // peer that has closed too early may be gone.
    let by_rule = config.syncookies > 0 || !options.patient || config.abort_on_overflow;
    let by_limits = config.max_connections < 100;
    let by_fault = options.faults.iter().any(|fault| matches!(fault.kind, FaultKind::WorkerEnd(_)));
    let by_attack = options.is_under(AttackKind::RightReset);
    by_rule || by_limits || by_fault || by_attack
}
