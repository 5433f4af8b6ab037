//! One phase: clients at their pace, with or without a flood, before one of the fronts.

use super::bed::Bed;
use super::front::{Counts, Front};
use super::interrupt::Interrupt;
use anyhow::{Context, Result, anyhow};
use serde::Serialize;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};
use synward_bench::flood::{Flood, FloodConfig, Running};
use synward_bench::paced::{Outcome, Paced};
use synward_bench::pin;
use synward_lab::{Host, InterfaceStats, Role};

/// How often half-open connections are counted. Listing them costs the kernel some milliseconds.
const SAMPLE: Duration = Duration::from_millis(250);
/// How often the end of the phase, and a signal, are looked for.
const LOOK: Duration = Duration::from_millis(20);

/// What was seen.
#[derive(Debug, Serialize)]
pub(super) struct Phase {
    #[serde(flatten)]
    pub(super) clients: Outcome,
    #[serde(flatten)]
    pub(super) flood: Option<FloodSeen>,
    /// SYN-ACKs that carried a cookie.
    pub(super) cookies_sent: u64,
    /// Those of them that an XDP program sent.
    pub(super) cookies_in_xdp: u64,
    /// The most half-open connections at one time, of the moments looked at.
    pub(super) half_open_highest: u64,
}

impl Phase {
    fn new(clients: Outcome, flood: Option<FloodSeen>, [before, after]: [Counts; 2], half_open_highest: u64) -> Self {
        Self {
            clients,
            flood,
            cookies_sent: after.cookies_sent - before.cookies_sent,
            cookies_in_xdp: after.cookies_in_xdp - before.cookies_in_xdp,
            half_open_highest,
        }
    }
}

/// What became of the flood while the clients came.
#[derive(Debug, Serialize)]
pub(super) struct FloodSeen {
    /// SYNs that the attacker was to send each second.
    pub(super) syn_wanted_per_s: u64,
    /// Those that it did send: fewer where its core has other work, such as what the front's kernel does on receiving them.
    pub(super) syn_sent_per_s: u64,
    /// Frames that the front's interface towards the attacker received.
    pub(super) syn_offered: u64,
    /// The same each second.
    pub(super) syn_offered_per_s: u64,
    /// Frames that the front sent towards the attacker, but for SYN-ACKs that were sent again.
    pub(super) syn_answered: u64,
}

/// What all phases have in common.
pub(super) struct Stage<'a> {
    pub(super) bed: &'a Bed,
    pub(super) clients: Paced,
    pub(super) interrupt: &'a Interrupt,
}

impl Stage<'_> {
    /// Shows that the front serves: one page over IPv4, one over IPv6.
    ///
    /// Returns what the web servers say.
    pub(super) fn greetings(&self) -> Result<[String; 2]> {
        let [v4, v6] = self.bed.front().map(|address| -> Result<String> {
            let fetched = self.bed.lab.clients()[0].enter(|| fetch(address))?;
            fetched.with_context(|| format!("the client got no answer from http://{address}/"))
        });
        Ok([v4?, v6?])
    }

    /// Has the clients come while nothing else happens.
    pub(super) fn calm(&self, front: &dyn Front) -> Result<Phase> {
        let before = self.reading(front)?;
        let (clients, half_open_highest) = self.serve_clients(front)?;
        let after = self.reading(front)?;
        Ok(Phase::new(clients, None, [before.counts, after.counts], half_open_highest))
    }

    /// Has them come under a flood.
    pub(super) fn flooded(&self, front: &dyn Front, wanted: &FloodConfig) -> Result<Phase> {
        let flood = self.start_flood(wanted)?;
        let before = self.reading_under(front, &flood)?;
        let (clients, half_open_highest) = self.serve_clients(front)?;
        let after = self.reading_under(front, &flood)?;
        flood.stop()?;
        let seconds = (after.at - before.at).as_secs_f64();
        let offered = after.interface.rx_packets - before.interface.rx_packets;
        let sent = after.interface.tx_packets - before.interface.tx_packets;
        let sent_again = after.counts.sent_again - before.counts.sent_again;
        let seen = FloodSeen {
            syn_wanted_per_s: wanted.rate,
            syn_sent_per_s: ((after.flood_sent - before.flood_sent) as f64 / seconds) as u64,
            syn_offered: offered,
            syn_offered_per_s: (offered as f64 / seconds) as u64,
            syn_answered: sent.saturating_sub(sent_again),
        };
        Ok(Phase::new(clients, Some(seen), [before.counts, after.counts], half_open_highest))
    }

    /// How the clients fared, and the most half-open connections meanwhile.
    fn serve_clients(&self, front: &dyn Front) -> Result<(Outcome, u64)> {
        let (clients, cores) = (self.clients, self.bed.cores.others.clone());
        let host: Host = self.bed.lab.clients()[0].clone();
        // Not a scoped thread: a signal does not wait for it.
        let running = thread::Builder::new().name("clients".into()).spawn(move || {
            host.enter(|| {
                pin(&cores)?;
                clients.run()
            })
        })?;
        let (mut highest, mut next) = (0, Instant::now());
        while !running.is_finished() {
            self.interrupt.check()?;
            if Instant::now() >= next {
                highest = highest.max(front.half_open()?);
                next = Instant::now() + SAMPLE;
            }
            thread::sleep(LOOK);
        }
        let outcome = running.join().map_err(|_| anyhow!("the clients panicked"))???;
        Ok((outcome, highest))
    }

    fn start_flood(&self, flood: &FloodConfig) -> Result<Running> {
        let start = || {
            pin(&self.bed.cores.flood)?;
            Flood::start(flood)
        };
        self.bed.lab.attackers()[0].enter(start)?.context("starting the flood")
    }

    fn reading(&self, front: &dyn Front) -> Result<Reading> {
        let interface = self.bed.lab.front_towards(Role::Attacker).stats()?;
        Ok(Reading { at: Instant::now(), interface, counts: front.counts()?, flood_sent: 0 })
    }

    fn reading_under(&self, front: &dyn Front, flood: &Running) -> Result<Reading> {
        Ok(Reading { flood_sent: flood.sent()?, ..self.reading(front)? })
    }
}

/// What has been counted at some time.
struct Reading {
    at: Instant,
    /// Of the front's interface towards the attacker.
    interface: InterfaceStats,
    counts: Counts,
    flood_sent: u64,
}

/// The body of `GET /`.
fn fetch(address: SocketAddr) -> Result<String> {
    const PATIENCE: Duration = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: front\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").with_context(|| format!("not an answer: {answer:?}"))?;
    Ok(body.trim().to_owned())
}
