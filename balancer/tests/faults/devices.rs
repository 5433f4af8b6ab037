//! Interfaces, their peers, their MTU and their queues, as they change under a server.

use crate::Test;
use crate::bed::{Bed, ECHO};
use crate::books;
use crate::eventually::{PATIENCE, eventually};
use crate::front::program;
use crate::load::Load;
use anyhow::{Context, Result, ensure};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use synward::served::Served;
use synward_lab::{Host, Pair, PairConfig};

pub const TESTS: &[Test] = &[
    ("devices::a_link_that_flaps_ten_times_under_load_costs_no_byte", flaps),
    ("devices::a_peer_that_goes_down_and_up_costs_no_byte", peer_flaps),
    ("devices::the_server_ends_with_a_reason_when_the_namespace_of_its_peer_goes", peer_namespace),
    ("devices::an_mtu_that_does_not_fit_refuses_the_start_with_a_reason", mtu_refused),
    ("devices::another_mtu_of_the_interface_is_announced_to_the_next_client", mtu_followed),
    ("devices::another_mtu_of_the_interface_is_announced_by_a_shield_that_is_up", mtu_followed_by_shield),
    ("devices::queues_that_are_served_cannot_be_taken_away", fewer_queues),
    ("devices::a_queue_that_came_later_is_the_kernels_until_the_next_start", more_queues),
];

const CLIENTS: usize = 8;

/// Whatever has been answered so far, some more is.
fn goes_on(load: &Load) -> Result<()> {
    let answers = load.answers();
    eventually(|| Ok(load.answers()), |now| *now >= answers + 50)?;
    Ok(())
}

fn flaps() -> Result<()> {
    let bed = Bed::new(&[])?;
    let load = Load::start(bed.client(), bed.front(ECHO), CLIENTS)?;
    for _ in 0..10 {
        goes_on(&load)?;
        bed.lab.front().link_down()?;
        bed.lab.front().link_up()?;
    }
    goes_on(&load)?;
    load.stop()?;
    bed.check_books()
}

/// A server on one end of a pair, and where it echoes.
fn on_pair(config: &PairConfig, arguments: &[&str]) -> Result<(Served, Pair, SocketAddr)> {
    let pair = Pair::up(config)?;
    let server = Served::start(program(), pair.near(), arguments)?;
    let echo = SocketAddr::new(pair.near().ipv4().into(), ECHO);
    Ok((server, pair, echo))
}

fn peer_flaps() -> Result<()> {
    let (server, pair, echo) = on_pair(&PairConfig::default(), &[])?;
    let load = Load::start(pair.far(), echo, CLIENTS)?;
    for _ in 0..5 {
        goes_on(&load)?;
        pair.far().link_down()?;
        pair.far().link_up()?;
    }
    goes_on(&load)?;
    load.stop()?;
    books::check(&server)
}

fn peer_namespace() -> Result<()> {
    let (mut server, pair, _) = on_pair(&PairConfig::default(), &[])?;
    let (far, away) = (pair.far(), format!("{}-away", pair.far().namespace()));
    // In one go: each command has mounts of its own, and a namespace's name is one. With it goes the interface in it, and with that
    // ours.
    let script =
        format!("ip netns add {away} && ip link set dev {} netns {away} && ip netns del {away}", far.interface());
    run(far, "sh", &["-c", &script])?;
    let ended = eventually(|| Ok(server.process().try_wait()?), Option::is_some)?.context("its status")?;
    let wanted = format!("synward: {}: the interface is gone", pair.near().interface());
    ensure!(ended.code() == Some(1) && server.log().contains(&wanted), "{ended}: {}", server.log());
    Ok(())
}

/// Runs `ip`, or another program that changes something, and gives what it complains of.
fn ip(host: &Host, arguments: &[&str]) -> Result<()> {
    run(host, "ip", arguments)
}

fn run(host: &Host, program: &str, arguments: &[&str]) -> Result<()> {
    let output = host.command(program).args(arguments).output().with_context(|| program.to_owned())?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {arguments:?}: {}", complaint.trim());
    Ok(())
}

fn mtu_refused() -> Result<()> {
    let pair = Pair::up(&PairConfig::default())?;
    let (near, far) = (pair.near(), pair.far());
    let refused = |arguments: &[&str]| -> Result<String> {
        let error = Served::start(program(), near, arguments).err().context("it started")?;
        Ok(format!("{error:#}"))
    };
    ip(near, &["link", "set", "dev", near.interface(), "mtu", "9000"])?;
    let error = refused(&[])?;
    ensure!(error.contains(&format!("{}: the MTU is too large", near.interface())), "{error}");
    ip(near, &["link", "set", "dev", near.interface(), "mtu", "1500"])?;
    ip(far, &["link", "set", "dev", far.interface(), "mtu", "9000"])?;
    let error = refused(&["--xdp", "native"])?;
    ensure!(
        error.contains(near.interface()) && error.contains("native XDP refused") && error.contains("MTU"),
        "{error}"
    );
    ip(far, &["link", "set", "dev", far.interface(), "mtu", "1500"])?;
    let server = Served::start(program(), near, &[])?;
    // And no longer while the program is there.
    ensure!(ip(far, &["link", "set", "dev", far.interface(), "mtu", "9000"]).is_err(), "the peer's MTU was raised");
    books::check(&server)
}

/// The MSS that the kernel took from the SYN-ACK, without the twelve bytes of the timestamp option.
fn sent_mss(bed: &Bed) -> Result<u16> {
    let mut stream = bed.client().enter(|| TcpStream::connect(bed.front(ECHO)))??;
    stream.write_all(b"x")?;
    stream.read_exact(&mut [0])?;
    let port = format!(":{}", stream.local_addr()?.port());
    let output = bed.client().command("ss").args(["-tinH", "sport", "=", &port]).output()?;
    let text = String::from_utf8(output.stdout)?;
    let mss = text.split_whitespace().find_map(|word| word.strip_prefix("mss:"));
    Ok(mss.with_context(|| format!("no mss: {text}"))?.parse()?)
}

fn mtu_followed() -> Result<()> {
    follow_mtu(&[])
}

fn mtu_followed_by_shield() -> Result<()> {
    follow_mtu(&["--shield", "always"])
}

fn follow_mtu(arguments: &[&str]) -> Result<()> {
    const HEADERS: u16 = 20 + 20 + 12;
    let bed = Bed::new(arguments)?;
    let load = Load::start(bed.client(), bed.front(ECHO), 2)?;
    let interface = bed.lab.front().interface();
    for mtu in [1500, 1300, 1400, 1500] {
        ip(bed.lab.front(), &["link", "set", "dev", interface, "mtu", &mtu.to_string()])?;
        eventually(|| sent_mss(&bed), |mss| *mss == mtu - HEADERS)?;
    }
    // Those who were there go on with the MSS that they know; veth drops what is longer than its MTU meanwhile.
    goes_on(&load)?;
    load.stop()?;
    bed.check_books()
}

fn fewer_queues() -> Result<()> {
    let (server, pair, echo) = on_pair(&PairConfig { queues: 2, ..PairConfig::default() }, &[])?;
    let near = pair.near();
    let load = Load::start(pair.far(), echo, CLIENTS)?;
    let refused = run(near, "ethtool", &["-L", near.interface(), "rx", "1"]).err().context("a queue was taken away")?;
    ensure!(!refused.to_string().is_empty());
    goes_on(&load)?;
    load.stop()?;
    books::check(&server)
}

fn more_queues() -> Result<()> {
    let pair = Pair::up(&PairConfig { queues: 4, ..PairConfig::default() })?;
    let (near, far) = (pair.near(), pair.far());
    // A program is refused where the peer sends by more queues than there are to receive.
    run(far, "ethtool", &["-L", far.interface(), "tx", "1"])?;
    run(near, "ethtool", &["-L", near.interface(), "rx", "1"])?;
    let mut server = Served::start(program(), near, &[])?;
    run(near, "ethtool", &["-L", near.interface(), "rx", "4"])?;
    eventually(|| Ok(server.log()), |log| log.contains("there are more receive queues than are served"))?;
    run(far, "ethtool", &["-L", far.interface(), "tx", "4"])?;
    let echo = SocketAddr::new(near.ipv4().into(), ECHO);
    // Each comes from another port, and the peer's queue follows from a hash of that: one in four is served. On veth the program
    // does not run for the others.
    let refused = (0..20).map(|_| -> Result<bool> {
        let connected = far.enter(|| TcpStream::connect_timeout(&echo, PATIENCE))?;
        match connected.map_err(|error| error.kind()) {
            Ok(_) => Ok(false),
            Err(ErrorKind::ConnectionRefused) => Ok(true),
            Err(other) => anyhow::bail!("{other:?}, and neither served nor refused"),
        }
    });
    ensure!(refused.collect::<Result<Vec<_>>>()?.contains(&true), "all were served by one queue of four");
    server.start_again()?;
    ensure!(!server.log().contains("more receive queues"), "it serves all four: {}", server.log());
    let load = Load::start(far, echo, 20)?;
    goes_on(&load)?;
    load.stop()?;
    books::check(&server)
}
