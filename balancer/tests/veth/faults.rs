//! Death, and links that go.

use crate::Test;
use crate::bed::{Bed, ECHO, HTTP};
use crate::eventually::{PATIENCE, eventually};
use anyhow::{Context, Result, ensure};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use synward::served::Served;
use synward_ebpf::Interface;
use synward_lab::{Pair, PairConfig};

pub const TESTS: &[Test] = &[
    ("faults::after_kill_9_the_kernel_owns_the_interface_and_nothing_needs_cleaning", kill_9),
    ("faults::sigterm_leaves_the_interface_as_found", sigterm),
    ("faults::connections_outlive_a_link_that_goes_down_and_up", link_flap),
    ("faults::the_server_ends_with_a_reason_when_its_interface_is_deleted", interface_deleted),
    ("faults::the_server_ends_with_a_reason_when_its_peer_is_deleted", peer_deleted),
];

fn kill_9() -> Result<()> {
    let mut bed = Bed::new(&[])?;
    for _ in 0..5 {
        echoes(&mut connect(&bed)?)?;
        bed.server.process().kill()?;
        ensure!(bed.server.process().wait()?.signal() == Some(9));
        ensure!(programs(&bed)? == 0, "an XDP program was left behind");
        // The kernel answers, so it is refusal and not silence.
        let front = bed.front(HTTP);
        let refused = bed.client().enter(|| TcpStream::connect(front))?;
        ensure!(refused.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused), "{refused:?}");
        bed.server.start_again()?;
    }
    echoes(&mut connect(&bed)?)
}

fn sigterm() -> Result<()> {
    let mut bed = Bed::new(&[])?;
    let pid = rustix::process::Pid::from_raw(bed.server.process().id().cast_signed()).context("pid")?;
    rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
    let status = bed.server.process().wait()?;
    ensure!(status.success(), "{status}: {}", bed.server.log());
    ensure!(programs(&bed)? == 0, "an XDP program was left behind");
    Ok(())
}

fn link_flap() -> Result<()> {
    let bed = Bed::new(&[])?;
    let mut stream = connect(&bed)?;
    echoes(&mut stream)?;
    bed.lab.front().link_down()?;
    // Sent into the void; TCP must repair it.
    stream.write_all(b"meanwhile")?;
    bed.lab.front().link_up()?;
    let mut answer = [0; 9];
    stream.read_exact(&mut answer)?;
    ensure!(&answer == b"meanwhile");
    echoes(&mut connect(&bed)?)
}

fn interface_deleted() -> Result<()> {
    let mut bed = Bed::new(&[])?;
    bed.lab.front().delete_interface()?;
    ends_with_a_reason(&mut bed.server, bed.lab.front().interface())
}

fn peer_deleted() -> Result<()> {
    let pair = Pair::up(&PairConfig::default())?;
    let mut server = Served::start(Path::new(env!("CARGO_BIN_EXE_synward")), pair.near(), &[])?;
    pair.far().delete_interface()?;
    ends_with_a_reason(&mut server, pair.near().interface())
}

fn ends_with_a_reason(server: &mut Served, interface: &str) -> Result<()> {
    let status = eventually(|| Ok(server.process().try_wait()?), Option::is_some)?.context("its status")?;
    ensure!(!status.success(), "{status}");
    let log = server.log();
    ensure!(log.contains(&format!("synward: {interface}: the interface is gone")), "{log}");
    Ok(())
}

fn connect(bed: &Bed) -> Result<TcpStream> {
    let echo = bed.front(ECHO);
    let stream = bed.client().enter(|| TcpStream::connect_timeout(&echo, PATIENCE))??;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn echoes(stream: &mut TcpStream) -> Result<()> {
    stream.write_all(b"synward")?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer)?;
    ensure!(&answer == b"synward");
    Ok(())
}

fn programs(bed: &Bed) -> Result<usize> {
    let front = bed.lab.front();
    Ok(front.enter(|| Interface::by_name(front.interface()))??.xdp.len())
}
