//! Two TAP devices with a wire of ours between them, the process under test at the near one.

use crate::books;
use crate::client;
use crate::eventually::{eventually, within};
use anyhow::{Context, Error, Result, ensure};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use synward::control::report::{Drops, Stat};
use synward::served::Served;
use synward_lab::{TapPair, TapPairConfig};
use synward_testkit::hostile::Weather;
use synward_testkit::tap::{End, EndPlan, Steering, Wire, WireReport};

pub const ECHO: u16 = 7;

/// What a test does.
pub type Run = fn(&mut Bed) -> Result<()>;

/// A test: its name, on what it runs, and what it does.
#[derive(Clone)]
pub struct Test {
    pub name: String,
    pub plan: Plan,
    pub run: Run,
}

impl Test {
    pub fn new(name: impl Into<String>, plan: Plan, run: Run) -> Self {
        Self { name: name.into(), plan, run }
    }
}

/// Who is at the ends. Clients are always the kernel's, at the far one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cast {
    /// `synward serve` echoes.
    Server,
    /// `synward run`, before an echo server on the kernel's TCP at the far end.
    FrontBeforeKernel,
    /// `synward run`, before `synward serve` at the far end: between them the engine talks to itself.
    FrontBeforeServer,
}

/// What a bed is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    pub cast: Cast,
    /// Queues of the near device.
    pub queues: u16,
    /// On which of them frames arrive.
    pub steering: Steering,
    /// What becomes of frames, either way.
    pub weather: Weather,
    /// Where accidents come from.
    pub seed: u64,
    /// More for the command line of `synward serve` at the near end.
    pub arguments: &'static [&'static str],
}

impl Default for Plan {
    fn default() -> Self {
        let seed = number("SYNWARD_SEED").unwrap_or(1);
        let (steering, weather) = (Steering::Hash, Weather::STILL);
        Self { cast: Cast::Server, queues: 2, steering, weather, seed, arguments: &[] }
    }
}

/// The number that a variable of the environment holds.
pub fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// A bed while it stands. What runs in it ends before it does.
pub struct Bed {
    pub front: Served,
    _backend: Option<Served>,
    pub wire: Wire,
    pub pair: TapPair,
}

impl Plan {
    /// Builds the bed, runs a test on it, and lets nothing pass that either end sent wrongly.
    pub fn run(&self, name: &str, test: Run) -> Result<()> {
        let mut bed = self.up()?;
        let outcome = test(&mut bed);
        let Bed { front, wire, _backend, pair: _pair } = bed;
        let log = front.log();
        let report = wire.end();
        let outcome = outcome.and_then(|()| report.check().map_err(Error::msg));
        outcome.or_else(|error| {
            let saved = save(name, &report)?;
            Err(error.context(format!("SYNWARD_SEED={}, {saved}\n{report}\n{log}", self.seed)))
        })
    }

    fn up(&self) -> Result<Bed> {
        let (pair, queues) = TapPair::up(&TapPairConfig { near_queues: self.queues, ..TapPairConfig::default() })?;
        let program = Path::new(env!("CARGO_BIN_EXE_synward"));
        let backend = match self.cast {
            Cast::Server => None,
            Cast::FrontBeforeKernel => client::start_echo_server(pair.far(), ECHO).map(|()| None)?,
            Cast::FrontBeforeServer => Some(Served::start(program, pair.far(), &["--http", "0"])?),
        };
        let front = match self.cast {
            Cast::Server => Served::start(program, pair.near(), self.arguments)?,
            Cast::FrontBeforeKernel | Cast::FrontBeforeServer => Served::front(program, pair.near(), &config(&pair))?,
        };
        // Last, so that the program of the near end sees all that the wire brings.
        let end = |queues| EndPlan { weather: self.weather.clone(), ..EndPlan::new(queues) };
        let near = EndPlan { steering: self.steering, ..end(queues.near) };
        let wire = Wire::start(self.seed, near, end(queues.far))?;
        Ok(Bed { front, _backend: backend, wire, pair })
    }
}

/// A front that leads to the far end.
fn config(pair: &TapPair) -> String {
    let (near, far) = (pair.near(), pair.far());
    format!(
        "[[interface]]\nname = {:?}\n[[listener]]\nname = \"echo\"\naddresses = [\"{}:{ECHO}\", \"[{}]:{ECHO}\"]\n\
         pool = \"echo\"\n[[pool]]\nname = \"echo\"\nconnect_timeout = \"20s\"\n[[pool.backend]]\nname = \"far\"\n\
         address = \"{}:{ECHO}\"\n",
        near.interface(),
        near.ipv4(),
        near.ipv6(),
        far.ipv4()
    )
}

fn save(name: &str, report: &WireReport) -> Result<String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("tap");
    for (end, report) in [("near", &report.near), ("far", &report.far)] {
        report.save(&folder.join(format!("{}-{end}.pcap", name.replace("::", "-"))))?;
    }
    Ok(format!("captures in {}", folder.display()))
}

impl Bed {
    /// Where clients connect, of both families.
    pub fn addresses(&self) -> [SocketAddr; 2] {
        let near = self.pair.near();
        [IpAddr::from(near.ipv4()), near.ipv6().into()].map(|address| SocketAddr::new(address, ECHO))
    }

    /// A kernel's client sends so many bytes, and gets them back as they were.
    pub fn echo(&self, bytes: u64) -> Result<()> {
        client::echo(self.pair.far(), self.addresses()[0], bytes)
    }

    /// So many clients do so at once.
    pub fn echo_at_once(&self, clients: usize, bytes: u64) -> Result<()> {
        std::thread::scope(|scope| {
            let running: Vec<_> = (0..clients).map(|_| scope.spawn(|| self.echo(bytes))).collect();
            running.into_iter().try_for_each(|one| one.join().map_err(|_| Error::msg("a client panicked"))?)
        })
    }

    pub fn drops(&self) -> Result<Drops> {
        self.front.ask("/v1/drops")
    }

    pub fn stat(&self) -> Result<Stat> {
        self.front.ask("/v1/stat")
    }

    pub fn counter(&self, name: &str) -> Result<u64> {
        self.stat()?.counters.get(name).copied().with_context(|| format!("no counter {name}"))
    }

    /// Nothing is left of any connection but TIME-WAIT, every frame is home and became one thing, and every frame of the wire
    /// is accounted for: a verdict of the program has each, and the engine those that it was handed.
    pub fn check_drained(&self) -> Result<()> {
        let left = |stat: &Stat| -> u64 {
            ["connections", "half_open", "spliced", "frames_lent"]
                .iter()
                .filter_map(|name| stat.gauges.get(*name))
                .sum()
        };
        within(client::PATIENCE, || self.stat(), |stat| left(stat) == 0)?;
        books::check(&self.front)?;
        eventually(
            || Ok((self.wire.received(End::Near), self.drops()?)),
            |(wire, drops)| is_accounted_for(*wire, drops),
        )?;
        Ok(())
    }

    /// No spoiled frame was taken for a good one: each was dropped for its checksum, or for what the spoiled bit made of it.
    pub fn check_some_spoiled(&self) -> Result<()> {
        let drops = self.drops()?;
        let spoiled = ["tcp_checksum", "ip_checksum"].iter().filter_map(|reason| drops.drops.get(*reason)).sum::<u64>();
        ensure!(spoiled > 0, "not one: {drops:?}");
        Ok(())
    }
}

fn is_accounted_for(wire: u64, drops: &Drops) -> bool {
    let verdicts: u64 = drops.xdp.values().sum();
    let redirected: u64 = drops.xdp.iter().filter(|(name, _)| name.starts_with("redirected")).map(|(_, n)| n).sum();
    let steered = drops.outcomes.get("steered").copied().unwrap_or_default();
    let lost = ["rx_ring_full", "rx_dropped"].iter().filter_map(|name| drops.socket.get(*name)).sum::<u64>();
    verdicts == wire && redirected == drops.received - steered + lost
}
