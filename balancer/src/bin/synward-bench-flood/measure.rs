//! One flood, and what is seen of it.

use crate::bed::{Bed, SEED};
use crate::system::Contender;
use crate::{FRONT, OTHERS};
use anyhow::{Context, Result, anyhow};
use std::thread::sleep;
use std::time::{Duration, Instant};
use synward_bench::completion::Completions;
use synward_bench::core_share::{CoreShare, Use};
use synward_bench::flood::{Attack, Flood, FloodConfig, Running, SynForm};
use synward_bench::paced::{Outcome, Paced, Request};
use synward_bench::processes::run_behind_those;
use synward_bench::report::{Params, Report, Subject};
use synward_bench::validator::{Sight, Sights};

/// How long a flood is on before anything is measured.
const WARM_UP: Duration = Duration::from_millis(300);
/// Connections that clients open in a second.
const CLIENTS: u32 = 1_000;
/// From connect to the end of the echo.
const DEADLINE: Duration = Duration::from_secs(1);
/// A frame that is later than this is not sent: the time that clients take from the generator must not come back as a burst.
const CATCH_UP: Duration = Duration::from_millis(1);
/// The kernel's batches: long enough for the longest burst.
const BATCH: u32 = 256;

/// A flood to be measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Order {
    pub form: SynForm,
    pub rate: u64,
    pub burst: u32,
    pub attack: Attack,
}

/// What was seen of a flood in so much time.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub wall: Duration,
    /// Frames that the flood sent.
    pub offered: u64,
    /// Frames that the front's interface took in.
    pub received: u64,
    /// What came back.
    pub sights: Sights,
}

impl Seen {
    /// Answers: SYN-ACKs with nothing wrong; frames that came back from a system that reflects; frames that were taken in by one that
    /// answers nothing.
    pub fn answers(&self, contender: Contender) -> u64 {
        if contender.system.reflects() {
            self.sights.of(Sight::Reflected)
        } else if contender.server.is_some() {
            self.received
        } else {
            self.sights.of(Sight::Valid)
        }
    }

    /// So many a second.
    pub fn rate(&self, count: u64) -> f64 {
        count as f64 / self.wall.as_secs_f64()
    }
}

impl Order {
    pub const fn syn_bytes(self) -> u32 {
        match self.form {
            SynForm::Bare => 60,
            SynForm::Client => 74,
        }
    }

    pub const fn attack_name(self) -> &'static str {
        match self.attack {
            Attack::Syn => "syn",
            Attack::Ack => "ack",
            Attack::Mixed => "mixed",
        }
    }

    /// The circumstances of a measurement of this contender under this flood.
    pub fn params(self, contender: Contender) -> Params {
        Params {
            syn_bytes: Some(self.syn_bytes()),
            rate: Some(self.rate),
            burst: Some(self.burst),
            attack: Some(self.attack_name()),
            server: contender.server.map(|server| server.name()),
            ..Params::default()
        }
    }

    /// The flood as it is ordered from the generator.
    pub fn config(self, bed: &Bed) -> FloodConfig {
        FloodConfig {
            rate: self.rate,
            attack: self.attack,
            form: self.form,
            burst: self.burst,
            batch: BATCH.min(self.burst.next_power_of_two().max(64)),
            seed: SEED,
            duration: Duration::from_secs(600),
            catch_up: CATCH_UP,
            ..FloodConfig::new(bed.attacker().interface(), bed.flooded().mac(), bed.target().into())
        }
    }

    fn start(self, bed: &Bed) -> Result<Running> {
        let config = self.config(bed);
        bed.attacker().enter(|| {
            synward_bench::pin(&[OTHERS])?;
            // Whoever is woken on that core comes before the next frames.
            run_behind_those()?;
            Flood::start(&config).context("starting the flood")
        })?
    }
}

/// What the counters say now.
struct Mark {
    at: Instant,
    offered: u64,
    received: u64,
    sights: Sights,
}

impl Mark {
    fn now(bed: &Bed, flood: Option<&Running>) -> Result<Self> {
        let offered = flood.map_or(Ok(0), Running::sent)?;
        let (received, sights) = (bed.flooded().stats()?.rx_packets, bed.far_end.sights()?);
        Ok(Self { at: Instant::now(), offered, received, sights })
    }

    fn to(&self, later: &Self) -> Seen {
        Seen {
            wall: later.at - self.at,
            offered: later.offered - self.offered,
            received: later.received - self.received,
            sights: later.sights.since(&self.sights),
        }
    }
}

/// Floods for so long, and watches the front's core.
pub fn watch(bed: &Bed, order: Order, time: Duration) -> Result<(Seen, Use)> {
    let flood = order.start(bed)?;
    let mut core = CoreShare::watch(FRONT)?;
    sleep(WARM_UP);
    let before = Mark::now(bed, Some(&flood))?;
    core.lap();
    sleep(time);
    let used = core.lap();
    let after = Mark::now(bed, Some(&flood))?;
    flood.stop()?;
    Ok((before.to(&after), used))
}

/// Lets clients connect at their pace for so long while a flood is on; one of no frames is none.
pub fn with_clients(bed: &Bed, order: Order, time: Duration) -> Result<(Outcome, Seen)> {
    let clients = Paced {
        target: bed.target().into(),
        request: Request::Echo,
        requests: (f64::from(CLIENTS) * time.as_secs_f64()) as u32,
        rate: CLIENTS,
        deadline: DEADLINE,
    };
    let flood = if order.rate > 0 { Some(order.start(bed)?) } else { None };
    sleep(WARM_UP);
    let before = Mark::now(bed, flood.as_ref())?;
    let outcome = std::thread::scope(|scope| {
        let clients = scope.spawn(|| {
            bed.client().enter(|| {
                synward_bench::pin(&[OTHERS])?;
                clients.run()
            })
        });
        clients.join().map_err(|_| anyhow!("the clients panicked"))
    })???;
    let after = Mark::now(bed, flood.as_ref())?;
    flood.map(Running::stop).transpose()?;
    Ok((outcome, before.to(&after)))
}

/// What else was seen while a row was measured.
#[derive(Clone, Copy, Debug)]
pub struct Beside {
    /// The row.
    pub during: &'static str,
    pub seen: Seen,
    pub completions: Completions,
}

impl Beside {
    /// Adds what the far end found: rates, and the counts that must be zero.
    pub fn report(&self, report: &mut Report, contender: Contender, order: Order) {
        let Self { during, seen, completions } = self;
        let params = Params { during: Some(during), ..order.params(contender) };
        let mut add = |row, unit, value| {
            report.add(Subject { row, system: contender.system.name(), params: params.clone(), unit }, value);
        };
        add("offered", "1/s", seen.rate(seen.offered));
        add("received", "1/s", seen.rate(seen.received));
        add("syn_acks_invalid", "count", seen.sights.invalid() as f64);
        add("forged_echoed", "count", completions.forged_echoed as f64);
        if contender.system.reflects() {
            add("reflected", "1/s", seen.rate(seen.sights.of(Sight::Reflected)));
            return;
        }
        add("syn_acks_valid", "1/s", seen.rate(seen.sights.of(Sight::Valid)));
        // Of none there is no share.
        add("cookies_echoed", "%", completions.echoed as f64 / completions.completed as f64 * 100.0);
    }
}
