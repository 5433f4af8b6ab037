//! What a front end does when backends and clients misbehave: only their own connections suffer, and afterwards all drains.

use crate::Test;
use crate::bed::{Bed, Plan, WEB, program};
use anyhow::{Context, Result, ensure};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use synward::control::report::Sockets;
use synward::served::Served;
use synward_bench::paced::{Paced, Request};
use synward_bench::peers::Web;
use synward_lab::Lab;

pub const TESTS: &[Test] = &[
    ("failing::a_refusing_backend_is_passed_over", refusing),
    ("failing::with_no_backend_left_the_client_is_reset", no_backend),
    ("failing::a_silent_backend_costs_its_connect_timeout", silent),
    ("failing::a_backend_that_is_killed_20_times_fails_no_request_it_had_not_seen", killed),
    ("failing::a_client_that_never_reads_stops_its_backend_and_nobody_else", never_reads),
    ("failing::a_client_that_resets_resets_its_backend", resets),
    ("failing::idle_connections_end_in_time", idle),
    ("failing::a_lost_interface_ends_the_front_with_a_message", lost_interface),
];

/// A front before backends of which only the first so many are there.
fn with_backends(running: usize, plan: &Plan) -> Result<Bed> {
    let lab = Lab::up(&plan.lab)?;
    let hosts = lab.backends().iter().take(running);
    let webs = hosts.map(|host| Web::start(host, WEB, &[])).collect::<Result<_>>()?;
    let front = Served::front(program(), lab.front(), &plan.config(&lab))?;
    Ok(Bed { front, webs, lab })
}

fn refusing() -> Result<()> {
    let bed = with_backends(1, &Plan::default())?;
    for _ in 0..10 {
        ensure!(bed.get("/")? == bed.webs[0].site().greeting());
    }
    let report = bed.pools()?;
    let [up, down] = &report.pools[0].backends[..] else { anyhow::bail!("{report:?}") };
    ensure!(up.total == 10 && down.total == 0 && down.refused > 0 && down.state == "backoff", "{report:?}");
    ensure!(down.refused < 10, "a backend in backoff is asked for every client: {report:?}");
    bed.check_drained()
}

fn no_backend() -> Result<()> {
    let bed = with_backends(0, &Plan::default())?;
    let error = bed.client().enter(|| -> Result<ErrorKind> {
        // The reset may come before the request has left, and even before `connect` has returned.
        let asked = TcpStream::connect(bed.address()).and_then(|mut stream| {
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
            stream.read(&mut [0; 9])
        });
        Ok(asked.err().context("an answer came")?.kind())
    })??;
    ensure!(error == ErrorKind::ConnectionReset, "{error:?}");
    ensure!(bed.pools()?.listeners[0].no_backend == 1);
    bed.check_drained()
}

/// The first backend's packets are all lost, so that it neither takes nor refuses.
fn silent() -> Result<()> {
    let usual = Plan::two_interfaces();
    let bed = Plan { pool: "connect_timeout = \"200ms\"", ..usual }.up()?;
    bed.lab.backends()[0].link_down()?;
    let start = Instant::now();
    for _ in 0..6 {
        ensure!(bed.get("/")? == bed.webs[1].site().greeting());
    }
    ensure!(start.elapsed() < Duration::from_secs(20), "every client waited");
    let report = bed.pools()?;
    ensure!(report.pools[0].backends[0].timed_out > 0 && report.pools[0].backends[1].total == 6, "{report:?}");
    bed.check_drained()
}

fn killed() -> Result<()> {
    let mut bed = Plan { pool: "backoff = { first = \"50ms\", longest = \"200ms\" }", ..Plan::default() }.up()?;
    let load = Paced {
        target: bed.address(),
        request: Request::Http,
        requests: 4_000,
        rate: 400,
        deadline: Duration::from_secs(5),
    };
    let client = bed.client().clone();
    let outcome = std::thread::scope(|scope| -> Result<_> {
        let running = scope.spawn(|| client.enter(|| load.run()));
        for _ in 0..20 {
            drop(bed.webs.pop());
            bed.webs.push(Web::start(&bed.lab.backends()[1], WEB, &[])?);
            // It has served before it is killed again.
            let total = |bed: &Bed| -> Result<u64> { Ok(bed.pools()?.pools[0].backends[1].total) };
            let before = total(&bed)?;
            bed.eventually("a backend in use again", || Ok(total(&bed)? > before || running.is_finished()))?;
        }
        running.join().map_err(|_| anyhow::anyhow!("the clients panicked"))?.map_err(Into::into)
    })??;
    let report = bed.pools()?;
    ensure!(report.listeners[0].no_backend == 0, "{report:?}");
    // What had reached the backend when it was killed ends as it ends without a front: by a reset, or too early.
    let failed = outcome.requests - outcome.ok;
    ensure!(failed <= 20 * 8, "{failed} requests failed: {:?}", outcome.failures);
    ensure!(outcome.failures.keys().all(|why| !why.contains("refused") && !why.contains("timed out")), "{outcome:?}");
    bed.check_drained()
}

fn never_reads() -> Result<()> {
    const BYTES: u64 = 64 << 20;
    let bed = Plan::default().up()?;
    bed.webs.iter().try_for_each(|web| web.site().offer(BYTES).map(drop))?;
    let stalled = bed.client().enter(|| -> Result<Vec<TcpStream>> {
        (0..20)
            .map(|_| {
                let mut stream = TcpStream::connect(bed.address())?;
                stream.write_all(format!("GET /bytes/{BYTES} HTTP/1.0\r\n\r\n").as_bytes())?;
                Ok(stream)
            })
            .collect()
    })??;
    // Their bytes have come as far as buffers go, and no farther.
    let moved = |bed: &Bed| -> Result<u64> {
        let sockets: Sockets = bed.front.ask("/v1/ss")?;
        Ok(sockets.connections.iter().map(|connection| u64::from(connection.send_queue)).sum())
    };
    bed.eventually("full send buffers", || Ok(moved(&bed)? >= 20 * 200_000))?;
    for _ in 0..10 {
        ensure!(bed.get("/")?.starts_with("backend"));
    }
    bed.eventually("only those who stall", || Ok(bed.gauge("spliced")? == 20))?;
    ensure!(moved(&bed)? <= 20 * 2 * 262_144, "more than the buffers hold");
    drop(stalled);
    bed.check_drained()
}

fn resets() -> Result<()> {
    let bed = Plan::default().up()?;
    bed.client().enter(|| -> Result<()> {
        let mut stream = TcpStream::connect(bed.address())?;
        stream.write_all(b"GET /")?;
        bed.eventually("a spliced client", || Ok(bed.gauge("spliced")? == 1))?;
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
        Ok(())
    })??;
    bed.check_drained()?;
    let resets: u64 =
        bed.lab.backends().iter().map(|host| host.netstat().map(|all| all["TcpEstabResets"])).sum::<Result<_, _>>()?;
    ensure!(resets == 1, "{resets} backends saw a reset");
    Ok(())
}

fn idle() -> Result<()> {
    let bed = Plan { listener: "idle_timeout = \"1s\"", ..Plan::default() }.up()?;
    let ended = bed.client().enter(|| -> Result<std::io::Result<usize>> {
        let mut stream = TcpStream::connect(bed.address())?;
        stream.write_all(b"GET /")?;
        Ok(stream.read(&mut [0; 9]))
    })??;
    ensure!(ended.is_err() || matches!(ended, Ok(0)), "{ended:?}");
    // The reset may be here before the worker has counted it.
    bed.eventually("one idle client let go", || Ok(bed.pools()?.idle == 1))?;
    bed.check_drained()
}

fn lost_interface() -> Result<()> {
    let mut bed = Plan::default().up()?;
    bed.lab.front().delete_interface()?;
    let ended = bed.front.process().wait()?;
    ensure!(!ended.success() && bed.front.log().contains("the interface is gone"), "{ended}\n{}", bed.front.log());
    Ok(())
}
