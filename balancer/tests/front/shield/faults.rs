//! A front that stands still, and one that dies.

use crate::bed::{PATIENCE, Plan};
use anyhow::{Result, ensure};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use synward_ebpf::Interface;

/// A poll loop stands still for longer than it may while a client asks again and again. The client has its answer once the front
/// goes on, or a reset from the kernel, which knows nothing of it.
pub fn stalled(on_stall: &str) -> Result<()> {
    let shield = match on_stall {
        "pass" => "stall_limit = \"100ms\"\non_stall = \"pass\"",
        _ => "stall_limit = \"100ms\"",
    };
    let mut bed = Plan { shield, ..Plan::attacked("shield = \"always\"") }.up()?;
    let mut client = bed.client().enter(|| TcpStream::connect(bed.address()))??;
    client.set_read_timeout(Some(PATIENCE))?;
    bed.eventually("a client that is served", || Ok(bed.gauge("spliced")? == 1))?;
    let host = bed.client().clone();
    let retransmitted = || -> Result<u64> { Ok(host.netstat()?["TcpRetransSegs"]) };
    let before = retransmitted()?;
    let pid = Pid::from_child(bed.front.process());
    kill_process(pid, Signal::STOP)?;
    // Until all of its threads have stopped.
    waitpid(Some(pid), WaitOptions::UNTRACED)?;
    client.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    if on_stall == "pass" {
        let reset = client.read_to_string(&mut answer);
        kill_process(pid, Signal::CONT)?;
        ensure!(reset.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset), "{reset:?}");
        ensure!(bed.verdict("passed_stalled")? > 0);
    } else {
        // The first waits in the ring; what comes 200 ms later and after that is dropped.
        bed.eventually("a client that asks again", || Ok(retransmitted()? >= before + 2))?;
        kill_process(pid, Signal::CONT)?;
        client.read_to_string(&mut answer)?;
        ensure!(answer.contains("backend"), "{answer}");
        ensure!(bed.verdict("dropped_stalled")? > 0);
    }
    drop(client);
    ensure!(bed.get("/")?.starts_with("backend"));
    bed.check_drained()
}

/// A front that is to end takes no more clients, also behind a shield that is up: they are refused, and no cookie makes them believe
/// in a connection.
pub fn draining() -> Result<()> {
    let mut bed = Plan::attacked("shield = \"always\"").up()?;
    let staying = bed.client().enter(|| TcpStream::connect(bed.address()))??;
    bed.eventually("a client that is served", || Ok(bed.gauge("spliced")? == 1))?;
    kill_process(Pid::from_child(bed.front.process()), Signal::TERM)?;
    bed.eventually("a client that is refused", || {
        let knocking = bed.client().enter(|| TcpStream::connect(bed.address()))?;
        Ok(knocking.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused))
    })?;
    // Somebody who knocked before that may have got in; he has left at once.
    bed.eventually("only the client that was there", || Ok(bed.gauge("spliced")? == 1))?;
    drop(staying);
    ensure!(bed.front.process().wait()?.success());
    Ok(())
}

pub fn kill_9() -> Result<()> {
    let mut bed = Plan::attacked("shield = \"always\"").up()?;
    ensure!(bed.get("/")?.starts_with("backend"));
    bed.front.process().kill()?;
    ensure!(bed.front.process().wait()?.signal() == Some(9));
    let front = bed.lab.front();
    ensure!(front.enter(|| Interface::by_name(front.interface()))??.xdp.is_empty(), "an XDP program was left behind");
    // The kernel answers, so it is refusal and not silence.
    let refused = bed.client().enter(|| TcpStream::connect(bed.address()))?;
    ensure!(refused.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused), "{refused:?}");
    Ok(())
}
