//! Floods, and the clients among them.

use crate::bed::{Bed, PATIENCE, Plan};
use anyhow::{Context, Result, ensure};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use synward::control::report::ListedPrefix;
use synward_bench::flood::Attack;
use synward_lab::plan::Prefix;
use synward_lab::{FrontWiring, LabConfig};

/// A client asks as often while forged segments come.
const REQUESTS: u64 = 20;

pub fn always() -> Result<()> {
    let bed = Plan::attacked("shield = \"always\"").up()?;
    let flood = bed.flood(Attack::Mixed, 20_000)?;
    bed.eventually("a flood that dies in the program", || {
        Ok(bed.verdict("answered_cookie")? > 5_000 && bed.verdict("dropped_ack")? > 5_000)
    })?;
    for _ in 0..REQUESTS {
        ensure!(bed.get("/")?.starts_with("backend"));
    }
    flood.stop()?;
    let report = bed.shield()?;
    let web = &report.listeners[0];
    ensure!(web.up && web.raised == 0 && web.mode == "always", "{report:?}");
    ensure!(web.cookies_valid.total == REQUESTS && web.cookies_sent.total > 5_000, "{report:?}");
    // Nobody but the clients has got as far as the engine.
    let accepted = bed.pools()?.listeners[0].accepted;
    ensure!(accepted == REQUESTS, "{accepted} connections of {REQUESTS} clients");
    let counters = bed.stat()?.counters;
    ensure!(counters["SyncookiesSent"] == 0 && counters["SyncookiesRecv"] == REQUESTS, "{counters:?}");
    ensure!(bed.gauge("half_open")? == 0);
    bed.check_drained()
}

pub fn across_interfaces() -> Result<()> {
    let lab = LabConfig { wiring: FrontWiring::PerRole, ..Plan::attacked("").lab };
    let plan = Plan { lab, ..Plan::attacked("shield = \"always\"") };
    let bed = plan.up()?;
    for _ in 0..REQUESTS {
        ensure!(bed.get("/")?.starts_with("backend"), "{}", bed.front.log());
    }
    ensure!(bed.shield()?.listeners[0].cookies_valid.total == REQUESTS, "{:?}", bed.shield()?);
    bed.check_drained()
}

/// It goes up for a `cause`; and a connection from before goes on while it is up, and after.
pub fn auto(shield: &'static str, listener: &'static str, cause: &str) -> Result<()> {
    // What is half-open is soon forgotten.
    let bed = Plan { shield, engine: "synack_retries = 1\nsomaxconn = 65536", ..Plan::attacked(listener) }.up()?;
    let mut old = bed.client().enter(|| KeptAlive::connect(bed.address()))??;
    old.ask()?;
    ensure!(!is_up(&bed)?);
    let flood = bed.flood(Attack::Syn, 20_000)?;
    bed.eventually("a shield that is up", || is_up(&bed))?;
    ensure!(bed.front.log().contains(cause), "{}", bed.front.log());
    old.ask().context("while the shield is up")?;
    for _ in 0..REQUESTS {
        ensure!(bed.get("/")?.starts_with("backend"));
    }
    ensure!(is_up(&bed)?, "it came down under the flood: {}", bed.front.log());
    flood.stop()?;
    bed.eventually("a shield that is down", || Ok(!is_up(&bed)?))?;
    ensure!(bed.front.log().contains("the shield comes down"), "{}", bed.front.log());
    old.ask().context("after the shield came down")?;
    ensure!(bed.get("/")?.starts_with("backend"));
    ensure!(bed.shield()?.listeners[0].raised >= 1);
    drop(old);
    bed.check_drained()
}

fn is_up(bed: &Bed) -> Result<bool> {
    Ok(bed.shield()?.listeners[0].up)
}

/// A connection over which a web server is asked again and again.
struct KeptAlive(TcpStream);

impl KeptAlive {
    fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(stream))
    }

    fn ask(&mut self) -> Result<()> {
        self.0.write_all(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")?;
        let mut answer = Vec::new();
        // The greeting ends the answer.
        while !String::from_utf8_lossy(&answer).contains("\r\n\r\nbackend") {
            let mut piece = [0; 4096];
            let length = self.0.read(&mut piece)?;
            ensure!(length > 0, "the connection ended: {}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&piece[..length]);
        }
        Ok(())
    }
}

/// An attacker forges two sources: nobody's, and that of a client who has a connection.
pub fn hopeless() -> Result<()> {
    let plan = Plan { shield: "drop_hopeless = 1000", ..Plan::attacked("shield = \"always\"") };
    let bed = plan.up()?;
    let mut client = bed.client().enter(|| KeptAlive::connect(bed.address()))??;
    client.ask()?;
    let address = bed.client().ipv4();
    let pair = Prefix { address: std::net::Ipv4Addr::from_bits(address.to_bits() & !1).into(), length: 31 };
    let flood = bed.flood_from(pair, Attack::Syn, 10_000)?;
    bed.eventually("a hopeless source", || Ok(bed.shield()?.lists.hopeless > 0))?;
    bed.eventually("a source that is dropped", || Ok(bed.verdict("dropped_blocked")? > 1000))?;
    let report = bed.shield()?;
    let busy = |source: &str| report.top_sources.iter().any(|it| it.source == source && it.unproven_per_second > 1000);
    ensure!(busy(&format!("{address}/32")), "the client is not even suspected: {:?}", report.top_sources);
    let listed: Vec<ListedPrefix> = bed.front.ask("/v1/prefixes")?;
    let [listed] = &listed[..] else { anyhow::bail!("{listed:?}") };
    let other = format!("{}/32", std::net::Ipv4Addr::from_bits(address.to_bits() ^ 1));
    ensure!(listed.prefix == other && listed.verdict == "drop" && listed.by == "guard", "{listed:?}");
    ensure!(listed.expires_seconds.is_some_and(|left| left <= 60), "{listed:?}");
    client.ask()?;
    flood.stop()?;
    Ok(())
}

/// The front closes first, so TIME-WAIT is on its side, and the client comes back from the same port.
pub fn time_wait() -> Result<()> {
    let bed = Plan::attacked("shield = \"always\"").up()?;
    for round in 0..5 {
        let answer = bed.client().enter(|| ask_from(41_000, bed.address()))?;
        let answer = answer.with_context(|| format!("round {round}\n{}", bed.front.log()))?;
        ensure!(answer.contains("backend"), "{answer}");
        bed.eventually("TIME-WAIT at the front", || Ok(bed.gauge("time_waits")? > 0))?;
    }
    ensure!(bed.pools()?.listeners[0].accepted == 5);
    Ok(())
}

/// Asks from a port of one's own, and ends after the server has.
fn ask_from(port: u16, front: SocketAddr) -> Result<String> {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket, sockopt};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &SocketAddr::from(([0, 0, 0, 0], port))).with_context(|| format!("port {port}"))?;
    connect(&socket, &front)?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
