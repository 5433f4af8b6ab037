//! What is not ours stays with the kernel, and what is ours never reaches it.

use crate::Test;
use crate::bed::{Bed, ECHO, HTTP, serve};
use anyhow::{Context, Result, ensure};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use synward_ebpf::PassProgram;
use synward_lab::{Lab, LabConfig};

pub const TESTS: &[Test] = &[
    ("neighbourhood::other_ports_and_protocols_stay_with_the_kernel", others_stay),
    ("neighbourhood::a_port_that_the_kernel_serves_is_refused", taken_port),
    ("neighbourhood::a_foreign_xdp_program_is_named_and_left_alone", foreign_program),
    ("neighbourhood::errors_say_what_to_do", errors),
    ("neighbourhood::ss_stat_and_drops_tell_what_happened", seeing),
];

fn others_stay() -> Result<()> {
    let bed = Bed::new(&[])?;
    let (front, address) = (bed.lab.front(), bed.lab.front().ipv4());
    let (tcp, udp) = front
        .enter(|| -> Result<_> { Ok((TcpListener::bind((address, 8080))?, UdpSocket::bind((address, 7))?)) })??;
    let (stream, datagram) = bed.client().enter(|| -> Result<_> {
        let stream = TcpStream::connect((address, 8080))?;
        let socket = UdpSocket::bind(("0.0.0.0", 0))?;
        socket.send_to(b"datagram", (address, 7))?;
        Ok((stream, socket))
    })??;
    let (accepted, _) = tcp.accept()?;
    ensure!(accepted.peer_addr()? == stream.local_addr()?);
    let mut room = [0; 16];
    let (len, from) = udp.recv_from(&mut room)?;
    ensure!(&room[..len] == b"datagram" && from.port() == datagram.local_addr()?.port());
    for address in bed.addresses() {
        let ping = bed.client().command("ping").args(["-c", "1", "-W", "5", &address.to_string()]).output();
        let ping = ping.context("ping")?;
        ensure!(ping.status.success(), "ping {address}: {}", String::from_utf8_lossy(&ping.stdout));
    }
    Ok(())
}

fn taken_port() -> Result<()> {
    let lab = Lab::up(&LabConfig::default())?;
    let address = SocketAddr::new(lab.front().ipv4().into(), HTTP);
    let listener = lab.front().enter(|| TcpListener::bind(address))??;
    let error = refused(&lab, &[])?;
    ensure!(error.contains(&format!("{address} is in use by a program on the kernel's TCP")), "{error}");
    drop(listener);
    serve(&lab, &[]).map(drop)
}

fn foreign_program() -> Result<()> {
    let lab = Lab::up(&LabConfig::default())?;
    let interface = lab.front().interface();
    let foreign = lab.front().enter(|| PassProgram::attach(interface))??;
    let error = refused(&lab, &[])?;
    ensure!(error.contains(interface) && error.contains("XDP program"), "{error}");
    drop(foreign);
    serve(&lab, &[]).map(drop)
}

fn errors() -> Result<()> {
    let lab = Lab::up(&LabConfig::default())?;
    for (arguments, wanted) in
        [(["--address", "192.0.2.99"], "is not an address of this host"), (["--frames", "zero-copy"], "zero-copy")]
    {
        let error = refused(&lab, &arguments)?;
        ensure!(error.contains(wanted), "{arguments:?}: {error}");
    }
    Ok(())
}

/// Starts a server that must refuse to start, and returns what it says.
fn refused(lab: &Lab, arguments: &[&str]) -> Result<String> {
    match serve(lab, arguments) {
        Ok(_) => anyhow::bail!("serve {arguments:?} started"),
        Err(error) => Ok(error.to_string()),
    }
}

fn seeing() -> Result<()> {
    let bed = Bed::new(&["--backlog", "5"])?;
    let echo = bed.front(ECHO);
    let mut stream = bed.client().enter(|| TcpStream::connect(echo))??;
    stream.write_all(b"hello")?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer)?;
    ensure!(&answer == b"hello");
    let command = |what: &str| -> Result<String> {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_synward"));
        let output = command.arg(what).arg("--control").arg(bed.server.control()).output()?;
        ensure!(output.status.success(), "synward {what}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    };
    let ss = command("ss")?;
    ensure!(ss.contains(&stream.local_addr()?.to_string()) && ss.contains("ESTAB"), "{ss}");
    let line = ss.lines().find(|line| line.ends_with(&echo.to_string())).context("the listener's line")?;
    ensure!(line.split_whitespace().take(5).eq(["LISTEN", "0", "5", "0", "5"]), "{ss}");
    let stat = command("stat")?;
    ensure!(stat.contains("PassiveOpens") && stat.contains("native"), "{stat}");
    let drops = command("drops")?;
    ensure!(drops.contains("redirected"), "{drops}");
    bed.check_books()
}
