//! Honest clients while a SYN flood arrives: against the engine, and against the kernel's TCP in the same place.

use crate::Options;
use crate::row::Row;
use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;
use synward::control::report::{Sockets, Stat};
use synward::served::{self, Served};
use synward_bench::flood::{Attack, Flood, FloodConfig};
use synward_bench::kernel_server;
use synward_bench::paced::{Outcome, Paced, Request};
use synward_bench::processes::resident;
use synward_lab::{Lab, LabConfig};

const HTTP: u16 = 80;
const ECHO: u16 = 7;
const RATE: u32 = 200;
const BACKLOG: u32 = 1024;
const SAMPLE: Duration = Duration::from_millis(100);
const MEMORY_LIMIT: u64 = 4 * 1024 * 1024;

pub fn run(options: &Options) -> Result<Vec<Row>> {
    let mut rows = engine(options)?;
    rows.extend(kernel(options)?);
    Ok(rows)
}

/// The worst that was seen while the flood went on.
#[derive(Default)]
struct Worst {
    resident: u64,
    half_open: u64,
    excess: bool,
}

fn engine(options: &Options) -> Result<Vec<Row>> {
    let lab = Lab::up(&LabConfig::default())?;
    let mut server = Served::start(&served::program()?, lab.front(), &["--backlog", &BACKLOG.to_string()])?;
    // A short flood first, so that what is allocated once is not taken for growth.
    flooded(options, &lab, 1, || {})?;
    let pid = server.process().id();
    let before = resident(pid)?;
    let stat_before: Stat = server.ask("/v1/stat")?;
    let worst = Mutex::new(Worst { resident: before, ..Worst::default() });
    let (outcome, offered) = flooded(options, &lab, options.flood_seconds, || {
        let Ok(mut worst) = worst.lock() else { return };
        worst.resident = worst.resident.max(resident(pid).unwrap_or(u64::MAX));
        let sockets: Sockets = server.ask("/v1/ss?listening=true").unwrap_or_default();
        for listener in &sockets.listeners {
            worst.half_open = worst.half_open.max(listener.syn_queue);
            worst.excess |= listener.syn_queue > listener.syn_limit + 1;
        }
    })?;
    let stat: Stat = server.ask("/v1/stat")?;
    let worst = worst.into_inner().map_err(|_| anyhow::anyhow!("the sampler panicked"))?;
    let cookies = counter(&stat, "SyncookiesSent") - counter(&stat_before, "SyncookiesSent");
    let growth = worst.resident - before;
    Ok(vec![
        success("engine", &outcome),
        latency("engine", &outcome),
        Row::report("engine: frames offered a second", format!("{offered:.0}")),
        Row::report("engine: cookies sent", cookies.to_string()),
        Row::new(
            "engine: highest half-open of a listener",
            // Full is more than the limit, as in Linux.
            format!("at most {BACKLOG} + 1"),
            worst.half_open.to_string(),
            !worst.excess && worst.half_open <= u64::from(BACKLOG) + 1,
        ),
        Row::new(
            "engine: growth of resident memory",
            "at most 4 MiB",
            format!("{:.2} MiB", growth as f64 / 1024.0 / 1024.0),
            growth <= MEMORY_LIMIT,
        ),
    ])
}

fn kernel(options: &Options) -> Result<Vec<Row>> {
    let lab = Lab::up(&LabConfig { spoofed_routes: true, ..LabConfig::default() })?;
    let front = lab.front();
    front.set_sysctl("net.ipv4.tcp_syncookies", "1")?;
    let address = front.ipv4().into();
    let (http, echo) = (SocketAddr::new(address, HTTP), SocketAddr::new(address, ECHO));
    let (stop, stopped) = tokio::sync::oneshot::channel();
    std::thread::scope(|scope| {
        let server = scope.spawn(|| front.enter(|| kernel_server::serve(http, echo, BACKLOG, stopped)));
        let measured = measure_kernel(options, &lab);
        // The server may have failed to start, and then nobody listens for the stop.
        let _ = stop.send(());
        server.join().map_err(|_| anyhow::anyhow!("the kernel's server panicked"))???;
        measured
    })
}

fn measure_kernel(options: &Options, lab: &Lab) -> Result<Vec<Row>> {
    let front = lab.front();
    let (sent_before, received_before) = (cookies_of_kernel(lab)?, front.stats()?.rx_packets);
    let (outcome, offered) = flooded(options, lab, options.flood_seconds, || {})?;
    let sent = cookies_of_kernel(lab)? - sent_before;
    let received = front.stats()?.rx_packets - received_before;
    let share = sent as f64 / received.max(1) as f64 * 100.0;
    Ok(vec![
        Row::report("kernel: done within 1 s", percent(outcome.success())),
        latency("kernel", &outcome),
        Row::report("kernel: frames offered a second", format!("{offered:.0}")),
        Row::new(
            "generator: SyncookiesSent of the kernel, share of frames received",
            "at least 60 %",
            format!("{share:.1} %"),
            share >= 60.0,
        ),
    ])
}

/// Runs the flood and the clients for `seconds`, and `sample` all the while. Returns how the clients fared, and the frames
/// that the front's interface received each second.
fn flooded(options: &Options, lab: &Lab, seconds: u32, sample: impl Fn()) -> Result<(Outcome, f64)> {
    let (front, attacker) = (lab.front(), &lab.attackers()[0]);
    let target = SocketAddr::new(front.ipv4().into(), HTTP);
    let config = FloodConfig {
        rate: options.flood_rate,
        attack: Attack::Syn,
        duration: Duration::from_secs(u64::from(seconds) + 10),
        ..FloodConfig::new(attacker.interface(), front.mac(), target)
    };
    let flood = attacker.enter(|| Flood::start(&config))?.context("starting the flood")?;
    let (received, start) = (front.stats()?.rx_packets, std::time::Instant::now());
    let clients = Paced {
        target,
        request: Request::Http,
        requests: RATE * seconds,
        rate: RATE,
        deadline: Duration::from_secs(1),
    };
    let outcome = std::thread::scope(|scope| {
        let running = scope.spawn(|| lab.clients()[0].enter(|| clients.run()));
        while !running.is_finished() {
            sample();
            std::thread::sleep(SAMPLE);
        }
        running.join()
    });
    let offered = (front.stats()?.rx_packets - received) as f64 / start.elapsed().as_secs_f64();
    flood.stop()?;
    let outcome = outcome.map_err(|_| anyhow::anyhow!("the clients panicked"))???;
    for (failure, count) in &outcome.failures {
        eprintln!("accept: flood: {count} requests failed: {failure}");
    }
    Ok((outcome, offered))
}

fn success(system: &str, outcome: &Outcome) -> Row {
    let what = format!("{system}: {} requests, done within 1 s of connect", outcome.requests);
    Row::new(&what, "at least 99.9 %", percent(outcome.success()), outcome.success() >= 0.999)
}

fn latency(system: &str, outcome: &Outcome) -> Row {
    let seen = format!("{:.2} / {:.2} / {:.2} ms", outcome.p50_ms, outcome.p99_ms, outcome.max_ms);
    Row::report(&format!("{system}: p50 / p99 / slowest"), seen)
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

fn counter(stat: &Stat, name: &str) -> u64 {
    stat.counters.get(name).copied().unwrap_or_default()
}

fn cookies_of_kernel(lab: &Lab) -> Result<u64> {
    Ok(lab.front().netstat()?.get("TcpExtSyncookiesSent").copied().unwrap_or_default())
}
