//! A process that stands still for a while (SIGSTOP), as on a machine that is suspended or a host that is overcommitted.

use crate::Test;
use crate::bed::{Bed, ECHO, HTTP};
use crate::eventually::eventually;
use crate::load::Load;
use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use synward::control::report::{Drops, Stat};
use synward_bench::flood::{Flood, FloodConfig};

pub const TESTS: &[Test] = &[
    ("pauses::after_a_second_all_go_on_and_nothing_is_sent_twice_over", a_second),
    ("pauses::what_the_rings_cannot_hold_meanwhile_is_counted_and_no_frame_is_lost", full_rings),
];

const CLIENTS: usize = 8;

/// Stops the server for as long as `meanwhile` takes, all of its threads.
fn paused(bed: &mut Bed, meanwhile: impl FnOnce(&Bed) -> Result<()>) -> Result<()> {
    let pid = Pid::from_child(bed.server.process());
    kill_process(pid, Signal::STOP)?;
    waitpid(Some(pid), WaitOptions::UNTRACED)?;
    let done = meanwhile(bed);
    // Whatever came of it, it must go on, or it never ends.
    kill_process(pid, Signal::CONT)?;
    done
}

fn gauge(stat: &Stat, name: &str) -> Result<u64> {
    stat.gauges.get(name).copied().with_context(|| format!("no gauge {name}"))
}

fn a_second() -> Result<()> {
    let mut bed = Bed::new(&[])?;
    // The server closes first, so that it keeps a connection in TIME-WAIT.
    let answer = bed.client().enter(|| -> Result<String> {
        let mut stream = TcpStream::connect(bed.front(HTTP))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    })??;
    ensure!(answer.starts_with("HTTP/1."), "{answer}");
    let time_waits = |bed: &Bed| -> Result<u64> { gauge(&bed.server.ask("/v1/stat")?, "time_waits") };
    eventually(|| time_waits(&bed), |count| *count == 1)?;
    let load = Load::start(bed.client(), bed.front(ECHO), CLIENTS)?;
    eventually(|| Ok(load.answers()), |answers| *answers >= 100)?;
    let before = bed.counter("RetransSegs")?;
    // The pause is what is tested, not what is waited for.
    paused(&mut bed, |_| {
        std::thread::sleep(Duration::from_secs(1));
        Ok(())
    })?;
    let answers = load.answers();
    eventually(|| Ok(load.answers()), |now| *now >= answers + 100)?;
    let again = bed.counter("RetransSegs")? - before;
    ensure!(again <= 2 * CLIENTS as u64, "{again} segments sent again by {CLIENTS} connections");
    ensure!(time_waits(&bed)? == 1, "what was in TIME-WAIT ended too early");
    load.stop()?;
    bed.check_books()
}

/// More SYNs than both rings of the receive side hold arrive while nobody looks.
fn full_rings() -> Result<()> {
    // The rx ring and the fill ring of one queue have 8,192 entries each.
    const SYNS: u64 = 40_000;
    let mut bed = Bed::new(&[])?;
    let load = Load::start(bed.client(), bed.front(ECHO), CLIENTS)?;
    eventually(|| Ok(load.answers()), |answers| *answers >= 100)?;
    paused(&mut bed, |bed| {
        let (attacker, front) = (&bed.lab.attackers()[0], bed.lab.front());
        let config = FloodConfig::new(attacker.interface(), front.mac(), bed.front(HTTP));
        let flood = attacker.enter(|| Flood::start(&config))??;
        eventually(|| flood.sent(), |sent| *sent >= SYNS)?;
        flood.stop()?;
        Ok(())
    })?;
    let answers = load.answers();
    eventually(|| Ok(load.answers()), |now| *now >= answers + 100)?;
    let count =
        |drops: &Drops, names: &[&str]| -> u64 { names.iter().filter_map(|name| drops.socket.get(*name)).sum() };
    let drops = eventually(|| bed.drops(), |drops| count(drops, &["rx_ring_full", "fill_ring_empty"]) > 0)?;
    let wrong = count(&drops, &["rx_invalid_descriptors", "tx_invalid_descriptors", "bad_descriptors"]);
    ensure!(wrong == 0, "{:?}", drops.socket);
    load.stop()?;
    bed.check_books()
}
