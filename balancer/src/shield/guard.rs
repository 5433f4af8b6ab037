//! The thread that owns the programs' maps: it raises and lowers shields, gives out cookie keys, keeps the prefix lists, warns of
//! queues that no program has a socket for, and answers whoever wants to see or change them.
//!
//! It is on no segment's way. Should it end, the shields stay as they are, and the server ends.

use super::cookie_keys::CookieKeys;
use super::engine_shield::EngineShield;
use super::hopeless::Hopeless;
use super::meter::Meter;
use super::orders::{Order, Refused, ShieldHandle};
use super::policy::Change;
use super::prefixes::{Backend, Prefixes};
use super::queue_watch::QueueWatch;
use super::watched::{ListenerPlan, Watched};
use crate::config::ShieldSettings;
use crate::control::report::{Rate, ShieldReport};
use crate::log_limit::LogLimit;
use crossbeam::channel::{Receiver, RecvTimeoutError};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use synward_ebpf::{EbpfError, ListenerCounts, ListenerId, Sample, Shield, ShieldCounter};
use synward_engine::{Observer, monotonic};
use synward_proto::syn_cookie::KeySchedule;
use synward_proto::{Endpoint, Instant};

/// How often it looks.
const TICK: Duration = Duration::from_millis(100);

/// What the guard is to know from the start.
#[derive(Clone, Debug)]
pub struct GuardPlan {
    /// Every address of every listener.
    pub listeners: Vec<ListenerPlan>,
    /// When sources are hopeless.
    pub settings: ShieldSettings,
    /// Who must not be cut off.
    pub backends: Vec<Backend>,
    /// The cookie keys of the engine.
    pub cookie_keys: KeySchedule,
}

/// The program of an interface, and what the engine knows of it.
pub struct Program {
    pub(crate) interface: String,
    pub(crate) shield: Shield,
    pub(crate) seen_by_engine: Arc<EngineShield>,
    /// The listeners that it guards.
    pub(crate) listeners: Vec<(Endpoint, ListenerId)>,
}

/// A guard that runs.
#[derive(Debug)]
pub struct Guard {
    thread: thread::JoinHandle<()>,
    handle: ShieldHandle,
}

impl Guard {
    /// Starts the guard of these programs.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(plan: GuardPlan, programs: Vec<Program>, observer: Observer) -> io::Result<Self> {
        let (handle, orders) = ShieldHandle::new();
        let on_duty = OnDuty::new(plan, programs, observer);
        let thread = thread::Builder::new().name("guard".to_owned()).spawn(move || on_duty.run(&orders))?;
        Ok(Self { thread, handle })
    }

    /// A way to it.
    pub fn handle(&self) -> ShieldHandle {
        self.handle.clone()
    }

    /// Whether it has ended by itself, which it never should.
    pub(crate) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends it; false if it had panicked. The maps of the programs go with it.
    pub fn end(self) -> bool {
        self.handle.end();
        self.thread.join().is_ok()
    }
}

/// The guard on its thread.
struct OnDuty {
    shields: Vec<Shield>,
    /// For each shield, what the engine knows of it, and its listeners in the order of `watched`.
    engine_sides: Vec<(Arc<EngineShield>, Vec<Option<ListenerId>>)>,
    watched: Vec<Watched>,
    /// For each of them, when the engine had last answered by a cookie.
    engine_cookies: Vec<Option<Instant>>,
    keys: CookieKeys,
    prefixes: Prefixes,
    hopeless: Hopeless,
    drop_hopeless_for: Duration,
    verdicts: Meter,
    queues: Vec<QueueWatch>,
    observer: Observer,
    complaints: LogLimit,
}

impl OnDuty {
    fn new(plan: GuardPlan, programs: Vec<Program>, observer: Observer) -> Self {
        let now = monotonic();
        let GuardPlan { listeners, settings, backends, cookie_keys } = plan;
        let (mut shields, mut engine_sides, mut queues) = (Vec::new(), Vec::new(), Vec::new());
        for Program { interface, shield, seen_by_engine, listeners: guarded } in programs {
            let id = |plan: &ListenerPlan| guarded.iter().find(|(local, _)| *local == plan.local).map(|(_, id)| *id);
            engine_sides.push((seen_by_engine, listeners.iter().map(id).collect()));
            queues.push(QueueWatch::new(interface, shield.config().queues as usize));
            shields.push(shield);
        }
        Self {
            shields,
            engine_sides,
            engine_cookies: vec![None; listeners.len()],
            watched: listeners.into_iter().map(|plan| Watched::new(plan, now)).collect(),
            keys: CookieKeys::new(cookie_keys),
            prefixes: Prefixes::new(backends),
            hopeless: Hopeless::new(settings.drop_hopeless, now),
            drop_hopeless_for: settings.drop_hopeless_for,
            verdicts: Meter::default(),
            queues,
            observer,
            complaints: LogLimit::default(),
        }
    }

    /// Looks every [`TICK`], and follows orders meanwhile.
    fn run(mut self, orders: &Receiver<Order>) {
        let mut due = std::time::Instant::now();
        loop {
            match orders.recv_deadline(due) {
                Ok(Order::End) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(order) => self.obey(order),
                Err(RecvTimeoutError::Timeout) => {
                    self.look(monotonic());
                    due = std::time::Instant::now() + TICK;
                }
            }
        }
    }

    fn look(&mut self, now: Instant) {
        self.queues.iter_mut().for_each(|queues| queues.look(now));
        let looked = [
            self.keys.give(now, &mut self.shields),
            self.watch(now),
            self.prefixes.sweep(&mut self.shields, now),
            self.drop_hopeless(now),
            self.read_verdicts(now),
        ];
        for error in looked.into_iter().filter_map(Result::err) {
            if let Some(more) = self.complaints.allows(now) {
                tracing::error!(more, "the guard of the shield: {error}");
            }
        }
    }

    /// Looks at every listener, and raises and lowers shields.
    fn watch(&mut self, now: Instant) -> Result<(), EbpfError> {
        for index in 0..self.watched.len() {
            if !self.watched[index].is_guarded() {
                continue;
            }
            let counts = self.counts(index)?;
            let noted = self.observer.listener_pressure(&self.watched[index].local()).and_then(|it| it.last_cookie);
            let engine_cookie = noted != std::mem::replace(&mut self.engine_cookies[index], noted);
            if let Some(change) = self.watched[index].observe(now, counts, engine_cookie) {
                self.apply(index, change, now);
            }
        }
        Ok(())
    }

    /// What all interfaces count for a listener.
    fn counts(&self, index: usize) -> Result<ListenerCounts, EbpfError> {
        let mut sum = ListenerCounts::default();
        for (shield, (_, ids)) in self.shields.iter().zip(&self.engine_sides) {
            if let Some(id) = ids[index] {
                sum += shield.listener_counts(id)?;
            }
        }
        Ok(sum)
    }

    fn apply(&self, index: usize, change: Change, now: Instant) {
        let watched = &self.watched[index];
        let (listener, address) = (watched.name(), watched.local());
        for (engine_side, _) in &self.engine_sides {
            match change {
                Change::Raise(_) => engine_side.raise(&address),
                Change::Lower(_) => engine_side.lower(&address, now),
            }
        }
        match change {
            Change::Raise(cause) => {
                let syns_per_second = watched.syn_rate();
                tracing::warn!(listener, %address, syns_per_second, "the shield goes up: {}", cause.words());
            }
            Change::Lower(calm) => tracing::info!(listener, %address, ?calm, "the shield comes down: all is calm"),
        }
    }

    /// Drops those who are hopeless for a while.
    fn drop_hopeless(&mut self, now: Instant) -> Result<(), EbpfError> {
        let samples: Vec<Sample> = self.shields.iter_mut().flat_map(Shield::take_samples).collect();
        for source in self.hopeless.look(&samples, &self.observer, now) {
            let time = self.drop_hopeless_for;
            if self.prefixes.drop_hopeless(&mut self.shields, source, now + time)? {
                tracing::warn!(%source, ?time, "dropped: it sends and sends, and nobody there answers");
            }
        }
        Ok(())
    }

    fn read_verdicts(&mut self, now: Instant) -> Result<(), EbpfError> {
        let sums = self.verdict_sums()?;
        self.verdicts.read(now, sums);
        Ok(())
    }

    /// In the order of [`ShieldCounter::ALL`].
    fn verdict_sums(&self) -> Result<Vec<u64>, EbpfError> {
        let mut sums = vec![0; ShieldCounter::ALL.len()];
        for shield in &self.shields {
            for (sum, (_, count)) in sums.iter_mut().zip(shield.counters()?.iter()) {
                *sum += count;
            }
        }
        Ok(sums)
    }

    fn verdicts_now(&self) -> Result<BTreeMap<String, Rate>, EbpfError> {
        let names = ShieldCounter::ALL.iter().map(|counter| counter.name().to_owned());
        Ok(names.zip(self.verdicts.rates(&self.verdict_sums()?)).collect())
    }

    fn obey(&mut self, order: Order) {
        let now = monotonic();
        // Whoever has asked may have gone away; then nobody hears the answer.
        match order {
            Order::Report(answer) => drop(answer.send(self.report(now).map_err(unreadable))),
            Order::Verdicts(answer) => drop(answer.send(self.verdicts_now().map_err(unreadable))),
            Order::Prefixes(answer) => drop(answer.send(self.prefixes.all(&mut self.shields, now))),
            Order::List { prefix, verdict, time, answer } => {
                drop(answer.send(self.prefixes.list(&mut self.shields, prefix, verdict, (now, time))));
            }
            Order::Unlist { prefix, answer } => drop(answer.send(self.prefixes.unlist(&mut self.shields, prefix, now))),
            Order::End => {}
        }
    }

    fn report(&mut self, now: Instant) -> Result<ShieldReport, EbpfError> {
        let is_up = |local| self.engine_sides.iter().any(|(engine_side, _)| engine_side.is_up(&local));
        let listener =
            |(index, watched): (usize, &Watched)| Ok(watched.report(now, is_up(watched.local()), self.counts(index)?));
        let listeners = self.watched.iter().enumerate().map(listener).collect::<Result<_, EbpfError>>()?;
        let flows = || self.engine_sides.iter().map(|(engine_side, _)| engine_side.flows());
        Ok(ShieldReport {
            listeners,
            verdicts: self.verdicts_now()?,
            top_sources: self.hopeless.top(),
            known_flows: flows().map(|flows| flows.count()).sum(),
            known_flow_overflows: flows().map(|flows| flows.overflows()).sum(),
            lists: self.prefixes.sizes(&mut self.shields),
        })
    }
}

fn unreadable(error: EbpfError) -> Refused {
    Refused::Order(error.to_string())
}
