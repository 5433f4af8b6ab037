//! What a front end does when nothing is wrong, and how it begins and ends.

use crate::Test;
use crate::bed::{HTTP, Plan, WEB, program};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::time::Duration;
use synward::served::Served;
use synward_lab::{Lab, LabConfig};

pub const TESTS: &[Test] = &[
    ("serving::backends_take_turns", || take_turns(&Plan::default(), "spliced")),
    ("serving::backends_take_turns_across_interfaces", || take_turns(&Plan::two_interfaces(), "relayed")),
    ("serving::ipv6_clients_reach_ipv4_backends", ipv6),
    ("serving::maglev_keeps_a_connection_where_it_is", maglev),
    ("serving::neighbours_are_resolved_by_the_kernel", neighbours),
    ("serving::half_close_is_carried_across", half_close),
    ("serving::sigterm_lets_a_transfer_finish_and_leaves_the_host_as_it_was", sigterm),
    ("serving::sigterm_resets_what_does_not_end_in_time", || cut_off(&Plan::default())),
    ("serving::sigterm_resets_what_worker_threads_have", || {
        cut_off(&Plan { engine: "workers = 2", ..Plan::two_interfaces() })
    }),
    ("serving::a_mistake_in_the_file_is_named_with_its_line", mistake),
];

fn take_turns(plan: &Plan, how: &str) -> Result<()> {
    let bed = plan.up()?;
    let mut answers = BTreeMap::<String, u32>::new();
    for _ in 0..10 {
        *answers.entry(bed.get("/")?).or_default() += 1;
    }
    let wanted: BTreeMap<_, _> = bed.webs.iter().map(|web| (web.site().greeting(), 5)).collect();
    ensure!(answers == wanted, "{answers:?}");
    bed.check_drained()?;
    let report = bed.pools()?;
    let carried = if how == "spliced" { report.spliced } else { report.relayed };
    ensure!(carried == 10 && report.spliced + report.relayed == 10, "{report:?}");
    ensure!(report.listeners[0].accepted == 10 && report.listeners[0].clients == 0, "{report:?}");
    ensure!(report.pools[0].backends.iter().all(|b| b.total == 5 && b.bytes_to > 0 && b.bytes_from > 0), "{report:?}");
    Ok(())
}

fn ipv6() -> Result<()> {
    let bed = Plan::default().up()?;
    let url = format!("http://[{}]:{HTTP}/", bed.lab.front().ipv6());
    let output = bed.curl().arg(url).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    bed.check_drained()
}

fn maglev() -> Result<()> {
    let bed = Plan { pool: "balance = \"maglev\"", ..Plan::default() }.up()?;
    // The same ends, the same backend.
    let from = |port: u16| -> Result<String> { bed.client().enter(|| ask_from(port, bed.address()))? };
    let mut seen = BTreeMap::<String, u32>::new();
    for port in 40_000..40_020 {
        let first = from(port)?;
        ensure!(from(port)? == first, "another backend for the same ends");
        *seen.entry(first).or_default() += 1;
    }
    ensure!(seen.len() == 2, "{seen:?}");
    Ok(())
}

/// Asks from a port of one's own, and leaves it free: whoever closes first, no TIME-WAIT remains.
fn ask_from(port: u16, front: SocketAddr) -> Result<String> {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket, sockopt};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&socket, &SocketAddr::from(([0, 0, 0, 0], port))).with_context(|| format!("port {port}"))?;
    connect(&socket, &front)?;
    let mut stream = TcpStream::from(socket);
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
    // The headers hold a time.
    Ok(answer.lines().last().unwrap_or_default().to_owned())
}

/// Without permanent entries, ARP has to find the backends, and the front never speaks it.
fn neighbours() -> Result<()> {
    let usual = Plan::two_interfaces();
    let bed = Plan { lab: LabConfig { permanent_neighbours: false, ..usual.lab }, ..usual }.up()?;
    ensure!(bed.get("/")?.starts_with("backend"), "{}", bed.front.log());
    bed.check_drained()
}

fn half_close() -> Result<()> {
    let bed = Plan::default().up()?;
    let answer = bed.client().enter(|| -> Result<String> {
        let mut stream = TcpStream::connect(bed.address())?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    })??;
    ensure!(answer.contains("backend"), "{answer}");
    bed.check_drained()
}

fn sigterm() -> Result<()> {
    const BYTES: u64 = 8 << 20;
    let mut bed = Plan::default().up()?;
    let reserved = "net.ipv4.ip_local_reserved_ports";
    ensure!(!bed.lab.front().sysctl(reserved)?.is_empty(), "no port is reserved while it runs");
    bed.webs.iter().try_for_each(|web| web.site().offer(BYTES).map(drop))?;
    // Slow enough to be under way when the signal comes, and quick enough to end within the grace.
    let mut curl = bed
        .curl()
        .args(["--limit-rate", "4M"])
        .arg(bed.url(&format!("/bytes/{BYTES}")))
        .stdout(Stdio::piped())
        .spawn()?;
    let mut output = curl.stdout.take().context("curl's output")?;
    output.read_exact(&mut [0; 1000])?;
    let pid = rustix::process::Pid::from_child(bed.front.process());
    rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
    bed.eventually("a new client refused", || {
        Ok(!bed.curl().arg(bed.url("/")).stderr(Stdio::null()).status()?.success())
    })?;
    let rest = std::io::copy(&mut output, &mut std::io::sink())?;
    ensure!(curl.wait()?.success() && rest + 1000 == BYTES, "{rest} bytes\n{}", bed.front.log());
    let ended = bed.front.process().wait()?;
    ensure!(ended.success(), "{ended}\n{}", bed.front.log());
    let links = bed.lab.front().command("ip").args(["link", "show"]).output()?;
    ensure!(!String::from_utf8_lossy(&links.stdout).contains("xdp"), "a program is left on the interface");
    ensure!(bed.lab.front().sysctl(reserved)?.is_empty(), "ports are left reserved");
    Ok(())
}

fn cut_off(plan: &Plan) -> Result<()> {
    let mut bed = Plan { shutdown: "drain = \"100ms\"", ..plan.clone() }.up()?;
    let mut clients = bed.client().enter(|| -> Result<Vec<TcpStream>> {
        (0..300)
            .map(|_| {
                let mut stream = TcpStream::connect(bed.address())?;
                stream.write_all(b"GET /")?;
                Ok(stream)
            })
            .collect()
    })??;
    bed.eventually("300 clients with a backend", || {
        let report = bed.pools()?;
        Ok(report.spliced + report.relayed == 300)
    })?;
    let pid = rustix::process::Pid::from_child(bed.front.process());
    rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
    let ended = bed.front.process().wait()?;
    ensure!(ended.success(), "{ended}\n{}", bed.front.log());
    for client in &mut clients {
        let error = client.read(&mut [0; 9]).err().context("no reset")?.kind();
        ensure!(error == ErrorKind::ConnectionReset, "{error:?}");
    }
    Ok(())
}

fn mistake() -> Result<()> {
    let lab = Lab::up(&LabConfig { backends: 1, attackers: 0, ..LabConfig::default() })?;
    let config = Plan::default().config(&lab).replace(&format!(":{WEB}"), ":99999");
    let error = match Served::front(program(), lab.front(), &config) {
        Ok(_) => anyhow::bail!("it started"),
        Err(error) => format!("{error:#}"),
    };
    let line = config.lines().position(|line| line.contains("99999")).context("the mistake")? + 1;
    // The bed has put one line before all of them.
    ensure!(error.contains(&format!("front.toml:{}:", line + 1)) && error.contains("99999"), "{error}");
    Ok(())
}
