//! A lab with a front end, web servers behind it and a client before it.

use anyhow::{Result, bail};
use std::fmt::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use synward::control::report::{Drops, Stat};
use synward::proxy::ProxyReport;
use synward::served::{self, Served};
use synward_bench::paced::{Outcome, Paced, Request};
use synward_bench::peers::Web;
use synward_lab::{Host, Lab, LabConfig};

/// Where the front listens.
const HTTP: u16 = 80;
/// Where the web servers listen.
const WEB: u16 = 8080;
/// How long a request may take.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// For what must happen, but at no particular time.
const PATIENCE: Duration = Duration::from_secs(60);

/// A front end that ends before its lab does.
pub struct Bed {
    pub front: Served,
    pub webs: Vec<Web>,
    pub lab: Lab,
}

impl Bed {
    /// A front with so many web servers; `listener` and `pool` are further lines of those sections. `prepare` does what must be
    /// done to a host before its web server starts.
    pub fn up(backends: u16, listener: &str, pool: &str, prepare: impl Fn(&Host) -> Result<()>) -> Result<Self> {
        let lab = LabConfig { backends, attackers: 0, ..LabConfig::default() };
        Self::in_lab(&lab, listener, pool, prepare)
    }

    /// A front with one web server and an attacker.
    pub fn attacked() -> Result<Self> {
        Self::in_lab(&LabConfig { backends: 1, attackers: 1, ..LabConfig::default() }, "", "", |_| Ok(()))
    }

    fn in_lab(lab: &LabConfig, listener: &str, pool: &str, prepare: impl Fn(&Host) -> Result<()>) -> Result<Self> {
        let lab = Lab::up(lab)?;
        let start = |host: &Host| prepare(host).and_then(|()| Web::start(host, WEB, &[]));
        let webs = lab.backends().iter().map(start).collect::<Result<_>>()?;
        let mut config = format!(
            "[[interface]]\nname = {:?}\n[[listener]]\nname = \"web\"\naddress = \"{}:{HTTP}\"\npool = \"web\"\n{listener}\n\
             [[pool]]\nname = \"web\"\n{pool}\n",
            lab.front().interface(),
            lab.front().ipv4(),
        );
        for host in lab.backends() {
            writeln!(config, "[[pool.backend]]\nname = {:?}\naddress = \"{}:{WEB}\"", host.name(), host.ipv4())?;
        }
        let front = Served::front(&served::program()?, lab.front(), &config)?;
        Ok(Self { front, webs, lab })
    }

    pub fn client(&self) -> &Host {
        &self.lab.clients()[0]
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.lab.front().ipv4().into(), HTTP)
    }

    /// Starts the web server of this number, which must not be running.
    pub fn start_web(&self, number: usize) -> Result<Web> {
        Web::start(&self.lab.backends()[number], WEB, &[])
    }

    pub fn pools(&self) -> Result<ProxyReport> {
        self.front.ask("/v1/pools")
    }

    pub fn gauge(&self, name: &str) -> Result<u64> {
        let stat: Stat = self.front.ask("/v1/stat")?;
        Ok(stat.gauges.get(name).copied().unwrap_or_default())
    }

    pub fn counter(&self, name: &str) -> Result<u64> {
        let stat: Stat = self.front.ask("/v1/stat")?;
        Ok(stat.counters.get(name).copied().unwrap_or_default())
    }

    /// So many requests through the front, at a fixed pace.
    pub fn ask(&self, requests: u32, rate: u32) -> Result<Outcome> {
        let paced = Paced { target: self.address(), request: Request::Http, requests, rate, deadline: DEADLINE };
        self.client().enter(|| paced.run())?
    }

    /// Waits until this holds.
    pub fn eventually(&self, what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !holds()? {
            if Instant::now() > deadline {
                bail!("{what} never came true:\n{}", self.front.log());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Waits until no connection is left and all frames are home; what is left when that does not happen.
    pub fn left_over(&self) -> Result<String> {
        let left = || -> Result<_> {
            let drops: Drops = self.front.ask("/v1/drops")?;
            let frames = |name: &str| drops.frames.get(name).copied().unwrap_or_default();
            let connections = self.gauge("connections")? + self.gauge("spliced")?;
            Ok((connections, frames("lent") + frames("missing")))
        };
        let _ = self.eventually("a front without connections", || Ok(left()? == (0, 0)));
        let (connections, frames) = left()?;
        Ok(format!("{connections} connections, {frames} frames"))
    }
}

/// What [`Bed::left_over`] says when nothing is.
pub const NOTHING: &str = "0 connections, 0 frames";
