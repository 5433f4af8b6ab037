//! One measurement.

use crate::bed::{Bed, Node};
use crate::front::Front;
use crate::{FRONT, OTHERS};
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::time::Duration;
use synward_bench::core_share::CoreShare;
use synward_bench::load::{Load, Request, Style, Until};
use synward_bench::processes::run_time;

/// Connections at once.
pub const CONNECTIONS: u32 = 64;
const WARM_UP: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Connect, one request, close.
    Connections,
    /// One request after the other.
    Requests,
}

impl Kind {
    pub const ALL: [Self; 2] = [Self::Connections, Self::Requests];

    pub fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections/s",
            Self::Requests => "requests/s",
        }
    }

    fn style(self) -> Style {
        match self {
            Self::Connections => Style::ConnectEach,
            Self::Requests => Style::KeepAlive,
        }
    }
}

/// What was seen in one measurement. CPU times are in seconds, and a share of 1 is one core.
#[derive(Clone, Debug, Serialize)]
pub struct Seen {
    /// Requests answered a second.
    pub rate: f64,
    pub failed: u64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// Requests answered a second in another run, in which the front's core was watched.
    pub rate_watched: f64,
    /// The share of the front's core that was in use then, by whomever.
    pub core_busy: f64,
    /// What the scheduler charged in the first run to the front's threads and those that poll its interface. Less than all by what the
    /// kernel does in interrupts, and by strangers.
    pub front_share: f64,
    /// Of which those that poll its interface.
    pub polling_share: f64,
    /// Requests answered for each second that the core was in use.
    pub per_busy_second: f64,
    /// The same for each second charged to the front.
    pub per_front_second: f64,
    /// Shares of those who make and answer the requests, and of the bridge.
    pub clients_share: f64,
    pub backends_share: f64,
    pub switch_share: f64,
}

/// What was seen in each round, by what was counted.
#[derive(Debug, Default, Serialize)]
pub struct Series {
    connections: Vec<Seen>,
    requests: Vec<Seen>,
}

impl Series {
    pub fn of(&self, kind: Kind) -> &[Seen] {
        match kind {
            Kind::Connections => &self.connections,
            Kind::Requests => &self.requests,
        }
    }

    pub fn add(&mut self, kind: Kind, seen: Seen) {
        match kind {
            Kind::Connections => self.connections.push(seen),
            Kind::Requests => self.requests.push(seen),
        }
    }
}

/// CPU time used so far.
#[derive(Clone, Copy)]
struct Used {
    front: Duration,
    polling_front: Duration,
    polling_clients: Duration,
    backends: Duration,
    switch: Duration,
}

impl Used {
    fn now(bed: &Bed, front: &Front) -> Result<Self> {
        let polling = |node| run_time(&bed.polling(node));
        Ok(Self {
            front: run_time(&front.processes)?,
            polling_front: polling(Node::Front)?,
            polling_clients: polling(Node::Client)?,
            backends: run_time(&bed.web_processes()?)? + polling(Node::Backend)?,
            switch: polling(Node::Switch)?,
        })
    }
}

/// Puts a load of one kind on the front, and looks who needs how much for it. The clients run on `cores`.
pub fn measure(bed: &Bed, front: &Front, kind: Kind, time: Duration, cores: &[usize]) -> Result<Seen> {
    let load = |until| Load {
        target: bed.address(),
        request: Request::Http,
        connections: CONNECTIONS,
        style: kind.style(),
        until,
        patience: PATIENCE,
    };
    let measured = bed.client().enter(|| -> Result<_> {
        synward_bench::pin(cores)?;
        load(Until::Elapsed(WARM_UP)).run()?;
        let before = Used::now(bed, front)?;
        let outcome = load(Until::Elapsed(time)).run()?;
        let after = Used::now(bed, front)?;
        // Watching a core keeps it awake, which slows down the other where both are threads of one processor core; so this
        // is a run of its own.
        let mut core = CoreShare::watch(FRONT)?;
        let watched = load(Until::Elapsed(time)).run()?;
        Ok((outcome, before, after, watched, core.lap()))
    });
    let (outcome, before, after, watched, busy) = measured??;
    ensure!(outcome.ok > 0 && watched.ok > 0, "nothing was answered: {:?}", outcome.failures);
    for (failure, count) in outcome.failures.iter().chain(&watched.failures) {
        eprintln!("bench-proxy: {count} requests failed: {failure}");
    }
    let rate = outcome.rate();
    let share = |of: fn(&Used) -> Duration| (of(&after) - of(&before)).as_secs_f64() / outcome.seconds;
    let front_share = share(|used| used.front + used.polling_front);
    Ok(Seen {
        rate,
        failed: outcome.failed() + watched.failed(),
        p50_ms: outcome.p50_ms,
        p99_ms: outcome.p99_ms,
        core_busy: busy.share(),
        front_share,
        polling_share: share(|used| used.polling_front),
        rate_watched: watched.rate(),
        per_busy_second: watched.rate() / busy.share(),
        per_front_second: rate / front_share,
        clients_share: outcome.cpu_seconds / outcome.seconds + share(|used| used.polling_clients),
        backends_share: share(|used| used.backends),
        switch_share: share(|used| used.switch),
    })
}

/// Puts a load of one kind on the front for so long, and runs `beside` meanwhile.
pub fn load_while<T: Send>(
    bed: &Bed,
    kind: Kind,
    time: Duration,
    beside: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    let load = Load {
        target: bed.address(),
        request: Request::Http,
        connections: CONNECTIONS,
        style: kind.style(),
        until: Until::Elapsed(time),
        patience: PATIENCE,
    };
    std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            bed.client().enter(|| {
                synward_bench::pin(&[OTHERS])?;
                load.run()
            })
        });
        let result = beside();
        running.join().map_err(|_| anyhow::anyhow!("the clients panicked"))?.context("clients")??;
        result
    })
}
