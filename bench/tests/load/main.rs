//! The load generators: what they promise in numbers, against real servers and against bad ones. All of it needs root; without
//! it, or without nginx, a test is reported as ignored, by name.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Arguments, Trial};
use synward_bench::kernel_server;
use synward_bench::load::{Hold, Load, LoadOutcome, Request, Style, Until, widen_ports};
use synward_bench::peers::{KernelHttp, Nginx, Web, nginx};
use synward_lab::{Host, Lab, LabConfig};
use tokio::sync::oneshot;

const PORT: u16 = 80;
/// Only ends a test that has failed.
const PATIENCE: Duration = Duration::from_secs(20);

type StartWeb = fn(&Host) -> Result<Web>;

type WebTest = (&'static str, fn(StartWeb) -> Result<()>);
type Test = (&'static str, fn() -> Result<()>);

const WEB_TESTS: &[WebTest] = &[
    ("a_connection_for_each_request", connect_each),
    ("requests_on_connections_that_stay", keep_alive),
    ("connections_held_open", hold),
];

const TESTS: &[Test] = &[
    ("echo_in_both_styles", echo),
    ("a_run_ends_when_its_time_is_over", ends_in_time),
    ("a_refused_connection_is_a_failure_with_a_name", refused),
    ("a_server_that_says_nothing_is_given_up", silent),
    ("a_server_that_hangs_up_is_noticed_at_every_stage", hangs_up),
    ("more_connections_than_descriptors_are_refused", too_many),
];

fn main() -> ExitCode {
    let webs: [(&str, bool, StartWeb); 2] = [
        ("nginx", nginx::is_installed(), |host| Nginx::start(host, PORT, &[]).map(Web::Nginx)),
        ("kernel_http", true, |host| KernelHttp::start(host, PORT, &[]).map(Web::Kernel)),
    ];
    let mut trials: Vec<_> = TESTS.iter().map(|(name, test)| trial((*name).into(), true, test)).collect();
    for (system, installed, start) in webs {
        trials.extend(
            WEB_TESTS.iter().map(|&(name, test)| trial(format!("{system}::{name}"), installed, move || test(start))),
        );
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial(name: String, installed: bool, test: impl Fn() -> Result<()> + Send + 'static) -> Trial {
    let run = move || test().map_err(|error| format!("{error:?}").into());
    Trial::test(name, run).with_ignored_flag(!installed || !synward_lab::root_available())
}

fn lab() -> Result<Lab> {
    Ok(Lab::up(&LabConfig { attackers: 0, ..LabConfig::default() })?)
}

fn load(target: impl Into<IpAddr>, request: Request, style: Style, requests: u64) -> Load {
    let target = SocketAddr::new(target.into(), PORT);
    Load { target, request, connections: 100, style, until: Until::Requests(requests), patience: PATIENCE }
}

fn run(lab: &Lab, load: &Load) -> Result<LoadOutcome> {
    lab.clients()[0].enter(|| load.run())?
}

/// All were answered, and the figures do not contradict each other.
fn check(outcome: &LoadOutcome, requests: u64) -> Result<()> {
    ensure!(outcome.ok == requests && outcome.failures.is_empty(), "{outcome:?}");
    ensure!(
        0.0 < outcome.p50_ms && outcome.p50_ms <= outcome.p99_ms && outcome.p99_ms <= outcome.max_ms,
        "{outcome:?}"
    );
    ensure!(outcome.max_ms <= outcome.seconds * 1e3, "{outcome:?}");
    ensure!(0.0 < outcome.cpu_seconds && outcome.cpu_seconds <= outcome.seconds, "{outcome:?}");
    ensure!(outcome.rate() == requests as f64 / outcome.seconds && outcome.failed() == 0, "{outcome:?}");
    Ok(())
}

/// How many connections `client` opens while `work` runs. The server's count would be no witness: the kernel's
/// `TcpPassiveOpens` counts twice where the handshake's last segment and the first request meet on two cores
/// (`tcp_create_openreq_child`; one of the two children is thrown away).
fn opened(client: &Host, work: impl FnOnce() -> Result<()>) -> Result<u64> {
    let count = || Ok::<_, anyhow::Error>(client.netstat()?.get("TcpActiveOpens").copied().unwrap_or_default());
    let before = count()?;
    work()?;
    Ok(count()? - before)
}

fn connect_each(start: StartWeb) -> Result<()> {
    let lab = lab()?;
    widen_ports(&lab.clients()[0])?;
    let front = lab.front();
    let _web = start(front)?;
    for address in [IpAddr::V4(front.ipv4()), front.ipv6().into()] {
        let load = load(address, Request::Http, Style::ConnectEach, 3_000);
        let opened = opened(&lab.clients()[0], || check(&run(&lab, &load)?, 3_000))?;
        ensure!(opened == 3_000, "{opened} connections for 3000 requests");
    }
    Ok(())
}

fn keep_alive(start: StartWeb) -> Result<()> {
    let lab = lab()?;
    let front = lab.front();
    let _web = start(front)?;
    for address in [IpAddr::V4(front.ipv4()), front.ipv6().into()] {
        let load = load(address, Request::Http, Style::KeepAlive, 10_000);
        let opened = opened(&lab.clients()[0], || check(&run(&lab, &load)?, 10_000))?;
        ensure!(opened == 100, "{opened} connections instead of 100");
    }
    Ok(())
}

fn hold(start: StartWeb) -> Result<()> {
    let lab = lab()?;
    let front = lab.front();
    let _web = start(front)?;
    let target = SocketAddr::new(front.ipv4().into(), PORT);
    let hold = Hold { target, request: Request::Http, connections: 2_000, silence: Duration::ZERO, patience: PATIENCE };
    let opened = opened(&lab.clients()[0], || {
        let outcome = lab.clients()[0].enter(|| hold.run())??;
        check(&outcome.opened, 2_000)?;
        check(&outcome.held, 2_000)
    })?;
    ensure!(opened == 2_000, "{opened} connections for both requests");
    Ok(())
}

/// Runs `work` while the front serves echo on the port.
fn with_echo(lab: &Lab, work: impl FnOnce(SocketAddr) -> Result<()>) -> Result<()> {
    let front = lab.front();
    let address = |port| SocketAddr::new(front.ipv4().into(), port);
    let (stop, stopped) = oneshot::channel();
    thread::scope(|scope| {
        let serve = || front.enter(|| kernel_server::serve(address(PORT + 1), address(PORT), 4096, stopped));
        let server = scope.spawn(serve);
        while front.enter(|| std::net::TcpStream::connect(address(PORT)))?.is_err() {
            ensure!(!server.is_finished(), "the server did not start");
            thread::yield_now();
        }
        let outcome = work(address(PORT));
        let _ = stop.send(());
        server.join().map_err(|_| anyhow::anyhow!("the server panicked"))???;
        outcome
    })
}

fn echo() -> Result<()> {
    let lab = lab()?;
    with_echo(&lab, |target| {
        for (style, connections) in [(Style::ConnectEach, 2_000), (Style::KeepAlive, 100)] {
            let load = load(target.ip(), Request::Echo, style, 2_000);
            let opened = opened(&lab.clients()[0], || check(&run(&lab, &load)?, 2_000))?;
            ensure!(opened == connections, "{opened} connections, {style:?}");
        }
        Ok(())
    })
}

fn ends_in_time() -> Result<()> {
    let lab = lab()?;
    with_echo(&lab, |target| {
        let until = Until::Elapsed(Duration::from_millis(200));
        let load = Load { until, ..load(target.ip(), Request::Echo, Style::KeepAlive, 0) };
        let outcome = run(&lab, &load)?;
        ensure!(outcome.seconds >= 0.2, "{outcome:?}");
        check(&outcome, outcome.ok)
    })
}

fn refused() -> Result<()> {
    let lab = lab()?;
    let outcome = run(&lab, &load(lab.front().ipv4(), Request::Http, Style::ConnectEach, 500))?;
    let failures: Vec<_> = outcome.failures.iter().collect();
    let [(failure, 500)] = failures[..] else { anyhow::bail!("{outcome:?}") };
    ensure!(failure.starts_with("Connection refused") && outcome.ok == 0, "{outcome:?}");
    Ok(())
}

/// The kernel accepts, and nobody answers.
fn silent() -> Result<()> {
    let lab = lab()?;
    let front = lab.front();
    let target = SocketAddr::new(front.ipv4().into(), PORT);
    let _listener = front.enter(|| TcpListener::bind(target))??;
    let patience = Duration::from_millis(100);
    for style in [Style::ConnectEach, Style::KeepAlive] {
        let outcome = run(&lab, &Load { patience, ..load(target.ip(), Request::Http, style, 200) })?;
        ensure!(outcome.failures == [("no answer within 100 ms".into(), 200)].into(), "{style:?}: {outcome:?}");
    }
    Ok(())
}

/// A server that accepts, says so much, and closes; the failure that the generator sees.
fn hangs_up() -> Result<()> {
    let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let cut = "closed before the end of the answer";
    for (answer, style, ok, failures) in [
        (&whole[..20], Style::ConnectEach, 0, vec![cut]),
        (&whole[..whole.len() - 1], Style::ConnectEach, 0, vec![cut]),
        (whole, Style::ConnectEach, 3, vec![]),
        (&[&whole[..], b"!"].concat(), Style::ConnectEach, 0, vec!["more than the answer"]),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", Style::KeepAlive, 0, vec!["not an HTTP 200 answer"]),
    ] {
        let lab = lab()?;
        let front = lab.front();
        let target = SocketAddr::new(front.ipv4().into(), PORT);
        let listener = front.enter(|| TcpListener::bind(target))??;
        let outcome = thread::scope(|scope| {
            let server = scope.spawn(|| serve_three(&listener, answer));
            let outcome = run(&lab, &Load { connections: 1, ..load(target.ip(), Request::Http, style, 3) });
            server.join().map_err(|_| anyhow::anyhow!("the server panicked"))?.context("the server")?;
            outcome
        })?;
        let seen: Vec<_> = outcome.failures.keys().map(String::as_str).collect();
        ensure!(outcome.ok == ok && seen == failures && outcome.failed() == 3 - ok, "{answer:?}: {outcome:?}");
    }
    Ok(())
}

fn serve_three(listener: &TcpListener, answer: &[u8]) -> std::io::Result<()> {
    for _ in 0..3 {
        let (mut stream, _) = listener.accept()?;
        let mut question = [0; 512];
        let len = stream.read(&mut question)?;
        assert!(question[..len].ends_with(b"\r\n\r\n"), "{len} bytes");
        stream.write_all(answer)?;
    }
    Ok(())
}

fn too_many() -> Result<()> {
    let nobody = load(IpAddr::from([10, 77, 0, 1]), Request::Http, Style::KeepAlive, 1);
    let error = Load { connections: u32::MAX, ..nobody }.run().err().context("how?")?.to_string();
    ensure!(error.contains("open files"), "{error}");
    let error = Load { connections: 0, ..nobody }.run().err().context("how?")?.to_string();
    ensure!(error.contains("at least one connection"), "{error}");
    Ok(())
}
