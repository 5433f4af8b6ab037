//! The flood generator: its frames are what it promises, the kernel takes them for SYNs, and none leaves through anything
//! but veth. All of it needs root and is reported as ignored, by name, without it.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Arguments, Trial};
use synward_bench::flood::{Attack, Flood, FloodConfig, FloodReport, SynForm};
use synward_lab::plan::Prefix;
use synward_lab::{End, Host, Pair, PairConfig, SPOOFED_V4, SPOOFED_V6};
use synward_proto::segment::{Mss, SynOptions, WindowScale};
use synward_proto::wire::{ChecksumPolicy, parse};
use synward_proto::{Flags, Options, Segment};

type Test = (&'static str, fn() -> Result<()>);

const TESTS: &[Test] = &[
    ("frames_are_valid_segments", frames_are_valid_segments),
    ("the_seed_draws_the_frames", the_seed_draws_the_frames),
    ("kernel_answers_bare_syns_ipv4", || kernel_answers(SPOOFED_V4, SynForm::Bare)),
    ("kernel_answers_client_syns_ipv4", || kernel_answers(SPOOFED_V4, SynForm::Client)),
    ("kernel_answers_bare_syns_ipv6", || kernel_answers(SPOOFED_V6, SynForm::Bare)),
    ("kernel_answers_client_syns_ipv6", || kernel_answers(SPOOFED_V6, SynForm::Client)),
    ("kernel_refuses_forged_cookies", kernel_refuses_forged_cookies),
    ("only_veth", only_veth),
    ("contradictions_are_refused", contradictions_are_refused),
    ("a_deaf_far_end_is_named", a_deaf_far_end_is_named),
    ("stops_by_itself", stops_by_itself),
    ("bursts_leave_in_one_piece", bursts_leave_in_one_piece),
    ("stops_when_dropped", stops_when_dropped),
];

const PORT: u16 = 80;
/// Frames after which a flood has shown enough.
const ENOUGH: u64 = 20_000;

fn main() -> ExitCode {
    let root = synward_lab::root_available();
    let trials = TESTS.iter().map(|(name, test)| {
        let run = || test().map_err(|error| format!("{error:?}").into());
        Trial::test(*name, run).with_kind("root").with_ignored_flag(!root)
    });
    // One at a time: each takes a core.
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn target(host: &Host, sources: Prefix) -> SocketAddr {
    let address: IpAddr = if sources.address.is_ipv4() { host.ipv4().into() } else { host.ipv6().into() };
    SocketAddr::new(address, PORT)
}

fn config(pair: &Pair, sources: Prefix) -> FloodConfig {
    let (near, far) = (pair.near(), pair.far());
    FloodConfig { sources, ..FloodConfig::new(near.interface(), far.mac(), target(far, sources)) }
}

/// Floods the far end of `pair` until enough has been sent.
fn enough(pair: &Pair, config: &FloodConfig) -> Result<FloodReport> {
    let config = FloodConfig { duration: Duration::from_secs(60), ..config.clone() };
    let running = pair.near().enter(|| Flood::start(&config))??;
    while running.sent()? < ENOUGH {
        std::thread::yield_now();
    }
    running.stop()
}

fn frames_are_valid_segments() -> Result<()> {
    let pair = Pair::up(&PairConfig::default())?;
    for sources in [SPOOFED_V4, SPOOFED_V6, "198.51.100.64/26".parse()?, "2001:db8:7:8::/64".parse()?] {
        for (form, attack) in [
            (SynForm::Bare, Attack::Syn),
            (SynForm::Client, Attack::Syn),
            (SynForm::Bare, Attack::Ack),
            (SynForm::Client, Attack::Mixed),
        ] {
            let config = FloodConfig { form, attack, rate: u64::MAX, ..config(&pair, sources) };
            let frames = pair.near().enter(|| Flood::preview(&config, 500))??;
            check_frames(&pair, &config, &frames).with_context(|| format!("{config:?}"))?;
        }
    }
    Ok(())
}

fn check_frames(pair: &Pair, config: &FloodConfig, frames: &[Vec<u8>]) -> Result<()> {
    let (mut sources, mut ports, mut numbers) = (HashSet::new(), HashSet::new(), HashSet::new());
    let mut acks = 0;
    for frame in frames {
        let length = match (config.form, config.target.is_ipv4()) {
            (SynForm::Bare, true) => 60,
            (SynForm::Client, true) | (SynForm::Bare, false) => 74,
            (SynForm::Client, false) => 94,
        };
        ensure!(frame.len() == length, "{} bytes", frame.len());
        ensure!(frame[..6] == pair.far().mac() && frame[6..12] == pair.near().mac());
        let segment =
            parse(frame, ChecksumPolicy::Full).map_err(|reason| anyhow::anyhow!("{reason:?}: {frame:02x?}"))?;
        ensure!(SocketAddr::from(segment.tuple.local) == config.target);
        ensure!(within(config.sources, segment.tuple.remote.addr), "from {}", segment.tuple.remote);
        ensure!(segment.tuple.remote.port >= 1024);
        acks += usize::from(segment.flags == Flags::ACK);
        check_kind(config, &segment).with_context(|| format!("{frame:02x?}"))?;
        sources.insert(segment.tuple.remote.addr);
        ports.insert(segment.tuple.remote.port);
        numbers.extend([segment.seq.0, segment.ack.0]);
    }
    let bits = if config.target.is_ipv4() { 32 } else { 128 } - config.sources.length;
    let possible = if bits < 8 { 1 << bits } else { frames.len() };
    ensure!(sources.len() > possible * 9 / 10, "only {} sources", sources.len());
    ensure!(ports.len() > frames.len() * 9 / 10, "only {} ports", ports.len());
    ensure!(numbers.len() > (frames.len() + acks) * 9 / 10, "only {} numbers", numbers.len());
    let expected = match config.attack {
        Attack::Syn => 0..=0,
        Attack::Ack => frames.len()..=frames.len(),
        Attack::Mixed => frames.len() / 4..=frames.len() * 3 / 4,
    };
    ensure!(expected.contains(&acks), "{acks} ACKs");
    Ok(())
}

fn within(prefix: Prefix, address: IpAddr) -> bool {
    match (prefix.address, address) {
        (IpAddr::V4(prefix4), IpAddr::V4(address)) => {
            (prefix4.to_bits() ^ address.to_bits()).leading_zeros() >= prefix.length.into()
        }
        (IpAddr::V6(prefix6), IpAddr::V6(address)) => {
            (prefix6.to_bits() ^ address.to_bits()).leading_zeros() >= prefix.length.into()
        }
        _ => false,
    }
}

fn check_kind(config: &FloodConfig, segment: &Segment) -> Result<()> {
    let Segment { flags, seq: _, ack, .. } = segment;
    match *flags {
        Flags::SYN => {
            ensure!(ack.0 == 0 && config.attack != Attack::Ack);
            let Options::Syn(options) = segment.options else { anyhow::bail!("{:?}", segment.options) };
            let SynOptions { mss, window_scale, sack_permitted, timestamps } = options;
            let client = config.form == SynForm::Client;
            let expected = if config.target.is_ipv4() { 1460 } else { 1440 };
            ensure!(mss.map(Mss::get) == client.then_some(expected));
            ensure!(window_scale.map(WindowScale::shift) == client.then_some(7));
            ensure!(sack_permitted == client && timestamps.is_some() == client);
        }
        Flags::ACK => ensure!(config.attack != Attack::Syn && segment.options == Options::NONE),
        other => anyhow::bail!("{other:?}"),
    }
    Ok(())
}

fn the_seed_draws_the_frames() -> Result<()> {
    let pair = Pair::up(&PairConfig::default())?;
    let draw = |seed| {
        let config = FloodConfig { seed, attack: Attack::Mixed, rate: u64::MAX, ..config(&pair, SPOOFED_V4) };
        pair.near().enter(|| Flood::preview(&config, 100))?
    };
    ensure!(draw(7)? == draw(7)?);
    ensure!(draw(7)? != draw(8)?);
    Ok(())
}

/// The far end's kernel listens on `PORT` with cookies, and knows the way back to the forged sources.
fn listening(pair: &Pair, sources: Prefix) -> Result<TcpListener> {
    let far = pair.far();
    for (name, value) in [
        ("net.ipv4.tcp_syncookies", "1"),
        ("net.ipv4.conf.all.rp_filter", "0"),
        ("net.ipv4.conf.default.rp_filter", "0"),
        (&format!("net.ipv4.conf.{}.rp_filter", far.interface()), "0"),
    ] {
        far.set_sysctl(name, value)?;
    }
    let via: IpAddr = if sources.address.is_ipv4() { pair.near().ipv4().into() } else { pair.near().ipv6().into() };
    run(far.command("ip").args(["route", "add", &sources.to_string(), "via", &via.to_string()]))?;
    Ok(far.enter(|| TcpListener::bind(target(far, sources)))??)
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// How much the far end's counters rise while `work` runs, and the frames that its interface receives meanwhile.
fn rise(pair: &Pair, work: impl FnOnce() -> Result<FloodReport>) -> Result<(impl Fn(&str) -> u64, u64, FloodReport)> {
    let (before, received) = (pair.far().netstat()?, pair.far().stats()?.rx_packets);
    let report = work()?;
    let (after, now) = (pair.far().netstat()?, pair.far().stats()?.rx_packets);
    let risen = move |name: &str| after.get(name).copied().unwrap_or(0) - before.get(name).copied().unwrap_or(0);
    Ok((risen, now - received, report))
}

/// The kernel sends a cookie only for a SYN whose checksums are right and whose source it can reach.
fn kernel_answers(sources: Prefix, form: SynForm) -> Result<()> {
    let pair = Pair::up(&PairConfig::default())?;
    let _listener = listening(&pair, sources)?;
    let config = FloodConfig { form, rate: 50_000, ..config(&pair, sources) };
    let (risen, received, report) = rise(&pair, || enough(&pair, &config))?;
    let cookies = risen("TcpExtSyncookiesSent");
    ensure!(report.sent >= ENOUGH, "{report:?}");
    ensure!(received >= report.sent * 6 / 10, "received {received} of {report:?}");
    ensure!(report.accepted >= report.sent * 6 / 10, "{report:?}");
    ensure!(cookies * 10 >= received * 6, "{cookies} cookies for {received} frames");
    ensure!(risen("TcpInCsumErrors") == 0);
    Ok(())
}

/// Guesses at cookies fail one by one, which the kernel only counts while it sends cookies.
fn kernel_refuses_forged_cookies() -> Result<()> {
    let pair = Pair::up(&PairConfig::default())?;
    let _listener = listening(&pair, SPOOFED_V4)?;
    let config = FloodConfig { attack: Attack::Mixed, rate: 50_000, ..config(&pair, SPOOFED_V4) };
    let (risen, received, report) = rise(&pair, || enough(&pair, &config))?;
    let (sent, failed) = (risen("TcpExtSyncookiesSent"), risen("TcpExtSyncookiesFailed"));
    ensure!((sent + failed) * 10 >= received * 6, "{sent} cookies and {failed} refusals for {received} frames");
    ensure!(sent * 10 >= received * 2 && failed * 10 >= received * 2, "{sent}, {failed}, {report:?}");
    ensure!(risen("TcpInCsumErrors") == 0);
    Ok(())
}

fn only_veth() -> Result<()> {
    let pair = Pair::up(&PairConfig::default())?;
    let near = pair.near();
    run(near.command("ip").args(["link", "add", "bridge0", "type", "bridge"]))?;
    run(near.command("ip").args(["tuntap", "add", "mode", "tap", "name", "tap0"]))?;
    run(near.command("ip").args(["link", "add", "link", near.interface(), "name", "macvlan0", "type", "macvlan"]))?;
    for (interface, kind) in [
        ("lo", "hardware or the loopback"),
        ("bridge0", "bridge"),
        ("tap0", "tun"),
        ("macvlan0", "macvlan"),
        ("absent0", "no such device"),
    ] {
        let config = FloodConfig { interface: interface.into(), ..config(&pair, SPOOFED_V4) };
        let refused = near.enter(|| Flood::start(&config))?.err().context(interface)?.to_string();
        ensure!(refused.contains(interface) && refused.contains(kind), "{refused}");
    }
    Ok(())
}

fn contradictions_are_refused() -> Result<()> {
    let pair = Pair::up(&PairConfig::default())?;
    let sound = config(&pair, SPOOFED_V4);
    for (wrong, why) in [
        (FloodConfig { rate: 0, ..sound.clone() }, "rate"),
        (FloodConfig { batch: 0, ..sound.clone() }, "batch"),
        (FloodConfig { batch: 257, ..sound.clone() }, "batch"),
        (FloodConfig { burst: 0, ..sound.clone() }, "burst"),
        (FloodConfig { burst: 65, batch: 64, ..sound.clone() }, "burst"),
        (FloodConfig { sources: SPOOFED_V6, ..sound.clone() }, "families"),
        (FloodConfig { sources: Prefix { length: 33, ..SPOOFED_V4 }, ..sound }, "prefix"),
    ] {
        let refused = pair.near().enter(|| Flood::start(&wrong))?.err().context(why)?.to_string();
        ensure!(refused.contains(why), "{refused}");
    }
    Ok(())
}

/// Without a program or GRO at the far end, veth takes no frame from XDP.
fn a_deaf_far_end_is_named() -> Result<()> {
    let pair = Pair::up(&PairConfig { far: End::default(), ..PairConfig::default() })?;
    let refused = enough(&pair, &config(&pair, SPOOFED_V4)).err().context("nobody took the frames")?.to_string();
    ensure!(refused.contains("poll itself"), "{refused}");
    Ok(())
}

fn stops_by_itself() -> Result<()> {
    let pair = Pair::up(&PairConfig::default())?;
    let config = FloodConfig { duration: Duration::from_millis(50), ..config(&pair, SPOOFED_V4) };
    let report = pair.near().enter(|| Flood::start(&config))??.wait()?;
    ensure!(report.sent > 0 && report.seconds > 0.0, "{report:?}");
    // By the program's own clock no frame leaves before it is due; the first is due at once.
    ensure!(report.sent as f64 <= config.rate as f64 * report.seconds + 1.0, "{report:?}");
    Ok(())
}

/// A burst begins where the batch has room for all of it, and a flood stops between two batches.
fn bursts_leave_in_one_piece() -> Result<()> {
    let pair = Pair::up(&PairConfig::default())?;
    for (burst, batch) in [(7, 64), (64, 64), (192, 256)] {
        let report = enough(&pair, &FloodConfig { burst, batch, rate: 400_000, ..config(&pair, SPOOFED_V4) })?;
        ensure!(report.sent % u64::from(burst) == 0, "{burst} of {batch}: {report:?}");
        ensure!(report.sent as f64 <= 400_000.0 * report.seconds + f64::from(burst), "{burst}: {report:?}");
    }
    Ok(())
}

fn stops_when_dropped() -> Result<()> {
    let pair = Pair::up(&PairConfig::default())?;
    let config = FloodConfig { duration: Duration::from_secs(3600), ..config(&pair, SPOOFED_V4) };
    drop(pair.near().enter(|| Flood::start(&config))??);
    let sent = pair.near().stats()?.tx_packets;
    ensure!(sent > 0);
    // A second flood waits for its own first frame, long after one that still ran would have sent more.
    let second = enough(&pair, &config)?;
    let others = pair.near().stats()?.tx_packets - sent - second.accepted;
    ensure!(others < 100, "{others} frames of nobody's");
    Ok(())
}
