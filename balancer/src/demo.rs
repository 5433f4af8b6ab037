//! `synward demo`, the main job: real clients and real web servers with synward between them, calm and then under a SYN flood;
//! and then the same with another proxy on the kernel's TCP in the same place.

mod bed;
mod front;
mod interrupt;
mod phase;
mod report;

use anyhow::{Context, Result, ensure};
use bed::Bed;
use clap::Args;
use front::{Front, KernelProxy, Synward};
use interrupt::Interrupt;
use phase::{Phase, Stage};
use report::{Phases, Report};
use std::time::Duration;
use synward_bench::paced::{Paced, Request};

/// A request that takes longer has failed.
const DEADLINE: Duration = Duration::from_secs(1);
/// How long a flood goes on if nobody stops it, beyond its phase.
const FLOOD_MARGIN: Duration = Duration::from_secs(10);

/// How long and how hard.
#[derive(Debug, Args)]
pub struct Demo {
    /// Seconds of each of the four phases.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// Requests a second of the honest clients.
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// SYNs a second of the attacker.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    flood_rate: u64,
    /// Print one JSON document and nothing else on stdout.
    #[arg(long)]
    json: bool,
}

impl Demo {
    /// Builds the lab, runs all phases, prints, and leaves nothing behind: neither when something fails nor when a signal ends it.
    ///
    /// # Errors
    /// Without root; when the lab or a server cannot be started, or does not answer before the clients come. Requests that
    /// fail later are part of the result.
    pub fn run(self) -> Result<()> {
        ensure!(
            synward_lab::root_available(),
            "the demo makes network namespaces and loads XDP programs, which takes root: use `make demo`, which asks for sudo, \
             or `sudo synward demo`"
        );
        let interrupt = Interrupt::watch()?;
        let measured = self.measure(&interrupt);
        interrupt.obey();
        let report = measured?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            print!("\n{report}");
        }
        Ok(())
    }

    /// Everything that it builds is gone when it returns.
    fn measure(&self, interrupt: &Interrupt) -> Result<Report> {
        say("building the lab: a client, an attacker, the front and two backends in network namespaces");
        let bed = Bed::up()?;
        let [target, _] = bed.front();
        let requests = self.rate * self.seconds;
        let clients = Paced { target, request: Request::Http, requests, rate: self.rate, deadline: DEADLINE };
        let stage = Stage { bed: &bed, clients, interrupt };
        let mut modes;
        let (synward, drops) = {
            say("starting `synward run` in the front's namespace");
            let front = Synward::start(&bed)?;
            modes = front.modes()?;
            (self.phases("synward", &stage, &front)?, front.drops()?)
        };
        let (kernel, kernel_drops, proxy) = {
            let front = KernelProxy::start(&bed)?;
            say(&format!("synward has ended; in its place: {} on the kernel's TCP", front.system()));
            modes.insert("kernel".to_owned(), front.modes()?);
            (self.phases(front.system(), &stage, &front)?, front.drops()?, front.system())
        };
        modes.extend(self.modes(&bed));
        Ok(Report { synward, kernel, proxy, drops, kernel_drops, modes })
    }

    fn phases(&self, system: &str, stage: &Stage<'_>, front: &dyn Front) -> Result<Phases> {
        for (address, greeting) in stage.bed.front().iter().zip(stage.greetings()?) {
            say(&format!("  client0: GET http://{address}/ -> {greeting}"));
        }
        let Self { rate, seconds, flood_rate, .. } = self;
        say(&format!("{system}, calm: {rate} requests a second for {seconds} s"));
        let calm = stage.calm(front)?;
        say_how(&calm);
        say(&format!("{system}, flooded: the same under {flood_rate} SYNs a second from forged addresses"));
        let duration = Duration::from_secs((*seconds).into()) + FLOOD_MARGIN;
        let flood = stage.flooded(front, &stage.bed.flood(*flood_rate, duration))?;
        say_how(&flood);
        stage.greetings().with_context(|| format!("{system} serves no more after the flood"))?;
        Ok(Phases { calm, flood })
    }

    /// What was measured, and how, apart from the modes of the systems.
    fn modes(&self, bed: &Bed) -> [(String, String); 3] {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim_end().to_owned();
        let web = bed.webs.first().map(|web| web.system_and_version()).unwrap_or_default();
        [("backends", format!("{} x {web}", bed.webs.len())), ("cores", bed.cores.described()), ("linux", kernel)]
            .map(|(name, value)| (name.to_owned(), value))
    }
}

fn say(what: &str) {
    eprintln!("demo: {what}");
}

fn say_how(Phase { clients, .. }: &Phase) {
    say(&format!("  {} of {} done within 1 s, p99 {:.2} ms", clients.ok, clients.requests, clients.p99_ms));
}
