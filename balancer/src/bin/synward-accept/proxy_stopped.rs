//! A backend that stands still while the other serves: whoever was given to it waits in vain, and nobody else notices.

use crate::Options;
use crate::bed::{Bed, NOTHING};
use crate::memory::Memory;
use crate::row::Row;
use anyhow::{Context, Result, anyhow};
use std::time::{Duration, Instant};
use synward::proxy::{BackendReport, ProxyReport};
use synward_bench::paced::Outcome;
use synward_bench::processes::{self, Signal};

const RATE: u32 = 200;
const SECONDS: u32 = 20;
/// When the backend stops, and when it goes on.
const STOP: Duration = Duration::from_secs(4);
const GO_ON: Duration = Duration::from_secs(14);
/// The accept queue that the kernel keeps for the backend while it stands still.
const QUEUE: u64 = 64;
/// Connections that it has then: as many in the queue, which is full with one more, and as many whose handshake the queue has
/// kept from being completed.
const STUCK: u64 = 2 * (QUEUE + 1);
const MEMORY_LIMIT: u64 = 4 << 20;

/// What was seen of the front before, while the backend stood still, and after.
struct Seen {
    memory: Memory,
    before: ProxyReport,
    stopped: ProxyReport,
    going_on: ProxyReport,
    outcome: Outcome,
}

pub fn run(_: &Options) -> Result<Vec<Row>> {
    let pool = "connect_timeout = \"200ms\"\nbackoff = { first = \"500ms\", longest = \"1s\" }";
    let mut bed = Bed::up(2, "idle_timeout = \"3s\"", pool, |host| {
        host.set_sysctl("net.core.somaxconn", &QUEUE.to_string()).map_err(Into::into)
    })?;
    // What is allocated once is not taken for growth.
    bed.ask(RATE, RATE)?;
    let front = bed.front.process().id();
    let seen = stop_and_go_on(&bed, front)?;
    let left = bed.left_over()?;
    let mut rows = rows(&seen, &bed.pools()?);
    rows.push(Row::new("left over", NOTHING, &left, left == NOTHING));
    Ok(rows)
}

fn stop_and_go_on(bed: &Bed, front: u32) -> Result<Seen> {
    let process = bed.webs[1].process().context("a stand-in cannot be stopped: apt-get install nginx-light")?;
    let backend = processes::family(process)?;
    let (mut memory, before) = (Memory::of(front)?, bed.pools()?);
    std::thread::scope(|scope| {
        let running = scope.spawn(|| bed.ask(RATE * SECONDS, RATE));
        let start = Instant::now();
        memory.watch_until(|| Ok(start.elapsed() >= STOP))?;
        let stopped = bed.pools()?;
        processes::signal(&backend, Signal::STOP)?;
        let watched = memory.watch_until(|| Ok(start.elapsed() >= GO_ON));
        let going_on = bed.pools();
        // Whatever was seen, it must go on, or it never ends.
        processes::signal(&backend, Signal::CONT)?;
        watched?;
        memory.watch_until(|| Ok(running.is_finished()))?;
        let outcome = running.join().map_err(|_| anyhow!("the clients panicked"))??;
        Ok(Seen { memory, before, stopped, going_on: going_on?, outcome })
    })
}

fn rows(seen: &Seen, after: &ProxyReport) -> Vec<Row> {
    let Seen { memory, before, stopped, going_on, outcome } = seen;
    for (failure, count) in &outcome.failures {
        eprintln!("accept: proxy-stopped: {count} requests failed: {failure}");
    }
    let of = |report: &ProxyReport, count: fn(&BackendReport) -> u64| count(&report.pools[0].backends[1]);
    let failed = u64::from(outcome.requests - outcome.ok);
    let given = of(going_on, |backend| backend.total) - of(stopped, |backend| backend.total);
    let timed_out = of(after, |backend| backend.timed_out) - of(before, |backend| backend.timed_out);
    let again = of(after, |backend| backend.total) - of(going_on, |backend| backend.total);
    let idle = after.idle - before.idle;
    let times = format!("{:.2} / {:.2} / {:.2} ms", outcome.p50_ms, outcome.p99_ms, outcome.max_ms);
    let some = |what: &str, count: u64| Row::new(what, "some", count.to_string(), count > 0);
    vec![
        Row::new(
            "taken by the backend that stood still",
            format!("1 to {STUCK}"),
            given.to_string(),
            (1..=STUCK).contains(&given),
        ),
        Row::new("ended by the idle timeout", format!("1 to {given}"), idle.to_string(), (1..=given).contains(&idle)),
        Row::new(
            &format!("of {} requests, failed", outcome.requests),
            format!("{idle}, those"),
            failed.to_string(),
            failed == idle,
        ),
        some("given to the other one after the connect timeout", timed_out),
        some("taken by it once it went on", again),
        Row::report("p50 / p99 / slowest of those answered", times),
        memory.growth(MEMORY_LIMIT),
    ]
}
