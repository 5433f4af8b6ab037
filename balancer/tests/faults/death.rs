//! A process that is killed, one too many, and an operator who takes the program away.

use crate::Test;
use crate::bed::{Bed, ECHO, HTTP};
use crate::eventually::eventually;
use crate::front::{Plan, program};
use crate::load::Load;
use anyhow::{Context, Result, ensure};
use std::io::ErrorKind;
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::process::Output;
use synward_ebpf::{Interface, Loaded};

pub const TESTS: &[Test] = &[
    ("death::ten_kills_under_load_leave_nothing_and_need_no_cleaning", kills),
    ("death::ports_that_a_killed_front_reserved_go_with_the_next", reserved_ports),
    ("death::a_second_instance_says_whom_it_is_in_the_way_of", second),
    ("death::an_operator_cannot_take_the_program_away", detached),
];

const RESERVED: &str = "net.ipv4.ip_local_reserved_ports";

fn kills() -> Result<()> {
    let mut bed = Bed::new(&[])?;
    for _ in 0..10 {
        let load = Load::start(bed.client(), bed.front(ECHO), 4)?;
        eventually(|| Ok(load.answers()), |answers| *answers >= 20)?;
        let held = Loaded::of_process(bed.server.process().id())?;
        ensure!(!held.programs.is_empty() && !held.maps.is_empty() && !held.links.is_empty(), "{held:?}");
        bed.server.process().kill()?;
        ensure!(bed.server.process().wait()?.signal() == Some(9));
        ensure!(load.stop().is_err(), "clients of a killed server went on");
        let front = bed.lab.front();
        ensure!(front.enter(|| Interface::by_name(front.interface()))??.xdp.is_empty(), "a program is left");
        eventually(|| Ok(held.common(&Loaded::now())), |left| *left == Loaded::default())?;
        let refused = bed.client().enter(|| TcpStream::connect(bed.front(HTTP)))?;
        ensure!(refused.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused), "{refused:?}");
        bed.server.start_again()?;
    }
    let load = Load::start(bed.client(), bed.front(ECHO), 4)?;
    eventually(|| Ok(load.answers()), |answers| *answers >= 20)?;
    load.stop()?;
    bed.check_books()
}

fn reserved_ports() -> Result<()> {
    let mut bed = Plan::default().up()?;
    let host = bed.lab.front().clone();
    let reserved = host.sysctl(RESERVED)?;
    ensure!(!reserved.is_empty(), "no source port is reserved while it runs");
    bed.front.process().kill()?;
    bed.front.process().wait()?;
    ensure!(host.sysctl(RESERVED)? == reserved, "a killed process has given them back");
    bed.front.start_again()?;
    ensure!(host.sysctl(RESERVED)? == reserved, "{}", host.sysctl(RESERVED)?);
    ensure!(bed.get("/")?.starts_with("backend"));
    // It drops what it serves, and ends in good order.
    drop(bed.front);
    ensure!(host.sysctl(RESERVED)?.is_empty(), "{} is left reserved", host.sysctl(RESERVED)?);
    Ok(())
}

/// What `synward` says and how it ends, which must not be well, when it is started beside the one of the bed.
fn refused(bed: &Bed, arguments: &[&str]) -> Result<String> {
    let control = bed.server.control().with_file_name("second.sock");
    let front = bed.lab.front();
    let mut command = front.command(program());
    command.args(["serve", "--interface", front.interface(), "--control"]).arg(control).args(arguments);
    let Output { status, stderr, .. } = command.output().context("synward")?;
    let said = String::from_utf8(stderr)?;
    ensure!(status.code() == Some(1), "{status}: {said}");
    Ok(said)
}

fn second() -> Result<()> {
    let bed = Bed::new(&[])?;
    let load = Load::start(bed.client(), bed.front(ECHO), 2)?;
    let said = refused(&bed, &[])?;
    let address = bed.front(HTTP);
    ensure!(said.contains(&format!("synward: {address} is in use by a program on the kernel's TCP")), "{said}");
    // With other ports it finds the queue taken.
    let said = refused(&bed, &["--http", "8080", "--echo", "0"])?;
    let wanted = format!("interface {}, queue 0: taken by another AF_XDP socket", bed.lab.front().interface());
    ensure!(said.contains(&wanted) && said.contains("another instance"), "{said}");
    let answers = load.answers();
    eventually(|| Ok(load.answers()), |now| *now >= answers + 20)?;
    load.stop()?;
    bed.check_books()
}

fn detached() -> Result<()> {
    let bed = Bed::new(&[])?;
    let front = bed.lab.front();
    let load = Load::start(bed.client(), bed.front(ECHO), 2)?;
    for switch in ["xdp", "xdpdrv"] {
        let output = front.command("ip").args(["link", "set", "dev", front.interface(), switch, "off"]).output()?;
        ensure!(!output.status.success(), "ip link set {switch} off took the program from its link");
    }
    ensure!(front.enter(|| Interface::by_name(front.interface()))??.xdp.len() == 1);
    let answers = load.answers();
    eventually(|| Ok(load.answers()), |now| *now >= answers + 20)?;
    load.stop().map(drop)
}
