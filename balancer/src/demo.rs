//! `synward demo`: real clients against the engine, calm and then under a SYN flood.

use crate::control::report::{Drops, Stat};
use crate::control::table::Table;
use crate::served::Served;
use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use synward_bench::flood::{Attack, Flood, FloodConfig};
use synward_bench::paced::{Outcome, Paced, Request};
use synward_lab::{Host, Lab, LabConfig};

const HTTP: u16 = 80;
/// How often the highest half-open count is looked for.
const SAMPLE: Duration = Duration::from_millis(100);

/// How long and how hard.
#[derive(Debug, Args)]
pub struct Demo {
    /// Seconds of each phase.
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Requests a second of the honest clients.
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// SYNs a second of the attacker.
    #[arg(long, default_value_t = 100_000)]
    flood_rate: u64,
    /// Print one JSON document and nothing else on stdout.
    #[arg(long)]
    json: bool,
}

/// What the demo saw.
#[derive(Debug, Serialize)]
struct Report {
    synward: Phases,
    modes: BTreeMap<String, String>,
    drops: BTreeMap<String, u64>,
}

#[derive(Debug, Serialize)]
struct Phases {
    calm: Phase,
    flood: Phase,
}

#[derive(Debug, Serialize)]
struct Phase {
    #[serde(flatten)]
    clients: Outcome,
    /// Frames that the front's interface received each second, clients included.
    #[serde(skip_serializing_if = "Option::is_none")]
    syn_offered_per_s: Option<u64>,
    /// Frames answered in place: SYN-ACKs with a cookie or from the table, those for the clients included.
    #[serde(skip_serializing_if = "Option::is_none")]
    syn_answered: Option<u64>,
    cookies_sent: u64,
    half_open_highest: u64,
    half_open_limit: u64,
}

impl Demo {
    /// Builds the lab, runs both phases, prints, and leaves nothing behind.
    ///
    /// # Errors
    /// When the lab or the server cannot be started, or curl gets no answer.
    pub fn run(self) -> Result<()> {
        self.say("building the lab: a front end, a client and an attacker in network namespaces");
        synward_lab::take_down_on_signals()?;
        let lab = Lab::up(&LabConfig::default())?;
        self.say("starting `synward serve` in the front's namespace");
        let server = Served::start(&std::env::current_exe().context("own path")?, lab.front(), &[])?;
        let (client, front) = (&lab.clients()[0], lab.front());
        self.curl(client, &format!("http://{}/", front.ipv4()))?;
        self.curl(client, &format!("http://[{}]/", front.ipv6()))?;
        self.say(&format!("calm: {} requests a second for {} s", self.rate, self.seconds));
        let calm = self.phase(&lab, &server)?;
        self.say(&format!("flooded: the same, while {} spoofed SYNs a second arrive", self.flood_rate));
        let flood = self.flooded(&lab, &server)?;
        let stat: Stat = server.ask("/v1/stat")?;
        let drops: Drops = server.ask("/v1/drops")?;
        let report = Report { synward: Phases { calm, flood }, modes: stat.modes, drops: drops.drops };
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            report.print();
        }
        Ok(())
    }

    fn say(&self, what: &str) {
        eprintln!("demo: {what}");
    }

    fn curl(&self, client: &Host, url: &str) -> Result<()> {
        let output = client.command("curl").args(["--silent", "--show-error", "--max-time", "5", url]).output()?;
        let answer = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "curl {url}: {}", String::from_utf8_lossy(&output.stderr).trim());
        self.say(&format!("curl {url}: {}", answer.trim()));
        Ok(())
    }

    fn phase(&self, lab: &Lab, server: &Served) -> Result<Phase> {
        let before: Stat = server.ask("/v1/stat")?;
        let clients = Paced {
            target: SocketAddr::new(lab.front().ipv4().into(), HTTP),
            request: Request::Http,
            requests: self.rate * self.seconds,
            rate: self.rate,
            deadline: Duration::from_secs(1),
        };
        let (outcome, half_open_highest) = std::thread::scope(|scope| {
            let running = scope.spawn(|| lab.clients()[0].enter(|| clients.run()));
            let mut highest = 0;
            while !running.is_finished() {
                if let Ok(stat) = server.ask::<Stat>("/v1/stat") {
                    highest = highest.max(gauge(&stat, "half_open"));
                }
                std::thread::sleep(SAMPLE);
            }
            running.join().map(|outcome| (outcome, highest))
        })
        .map_err(|_| anyhow::anyhow!("the clients panicked"))?;
        let after: Stat = server.ask("/v1/stat")?;
        Ok(Phase {
            clients: outcome??,
            syn_offered_per_s: None,
            syn_answered: None,
            cookies_sent: raised(&before, &after, "SyncookiesSent"),
            half_open_highest,
            half_open_limit: gauge(&after, "half_open_limit"),
        })
    }

    fn flooded(&self, lab: &Lab, server: &Served) -> Result<Phase> {
        let (attacker, front) = (&lab.attackers()[0], lab.front());
        let before: Drops = server.ask("/v1/drops")?;
        let (received_before, start) = (front.stats()?.rx_packets, Instant::now());
        let flood = attacker.enter(|| {
            Flood::start(&FloodConfig {
                rate: self.flood_rate,
                attack: Attack::Syn,
                duration: Duration::from_secs(u64::from(self.seconds) + 5),
                ..FloodConfig::new(attacker.interface(), front.mac(), SocketAddr::new(front.ipv4().into(), HTTP))
            })
        })?;
        let flood = flood.context("starting the flood")?;
        let phase = self.phase(lab, server)?;
        let (received, seconds) = (front.stats()?.rx_packets - received_before, start.elapsed().as_secs_f64());
        flood.stop()?;
        let after: Drops = server.ask("/v1/drops")?;
        Ok(Phase {
            syn_offered_per_s: Some((received as f64 / seconds) as u64),
            syn_answered: Some(answered(&after) - answered(&before)),
            ..phase
        })
    }
}

impl Report {
    fn print(&self) {
        let Phases { calm, flood } = &self.synward;
        let mut table = Table::new(["", "calm", "flooded"]);
        let mut row = |name: &str, value: &dyn Fn(&Phase) -> String| {
            table.row([name.to_owned(), value(calm), value(flood)]);
        };
        row("requests", &|phase| phase.clients.requests.to_string());
        row("done within 1 s", &|phase| format!("{:.2} %", phase.clients.success() * 100.0));
        row("p50", &|phase| format!("{:.2} ms", phase.clients.p50_ms));
        row("p99", &|phase| format!("{:.2} ms", phase.clients.p99_ms));
        row("frames offered a second", &|phase| optional(phase.syn_offered_per_s));
        row("answered", &|phase| optional(phase.syn_answered));
        row("of them cookies", &|phase| phase.cookies_sent.to_string());
        row("highest half-open", &|phase| format!("{} of {}", phase.half_open_highest, phase.half_open_limit));
        println!("\n{table}");
        let drops: Vec<_> = self.drops.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        println!("drops: {}", if drops.is_empty() { "none".to_owned() } else { drops.join(", ") });
        let modes: Vec<_> = self.modes.iter().map(|(mode, value)| format!("{mode} {value}")).collect();
        println!("modes: {}", modes.join(", "));
        for (phase, outcome) in [("calm", &calm.clients), ("flooded", &flood.clients)] {
            for (failure, count) in &outcome.failures {
                println!("{phase}: {count} requests failed: {failure}");
            }
        }
    }
}

fn optional(value: Option<u64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn answered(drops: &Drops) -> u64 {
    drops.outcomes.get("answered").copied().unwrap_or_default()
}

fn gauge(stat: &Stat, name: &str) -> u64 {
    stat.gauges.get(name).copied().unwrap_or_default()
}

fn raised(before: &Stat, after: &Stat, counter: &str) -> u64 {
    let value = |stat: &Stat| stat.counters.get(counter).copied().unwrap_or_default();
    value(after).saturating_sub(value(before))
}
