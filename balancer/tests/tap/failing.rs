//! What the wire may do to a process besides.

use crate::bed::{Bed, ECHO, Plan, Test};
use crate::client;
use crate::eventually::eventually;
use crate::forged;
use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read, Write};
use synward_testkit::tap::End;

pub fn tests() -> Vec<Test> {
    let one = || Plan { queues: 1, ..Plan::default() };
    vec![
        Test::new("failing::a_device_whose_descriptors_are_closed_ends_the_process_with_a_reason", one(), vanishes),
        Test::new("failing::a_stopped_process_loses_frames_and_nothing_else", one(), starves),
        Test::new("failing::an_unfinished_checksum_is_a_wrong_one_here", one(), unfinished),
    ]
}

fn vanishes(bed: &mut Bed) -> Result<()> {
    bed.echo(100)?;
    let mut open = client::connect(bed.pair.far(), bed.addresses()[0])?;
    open.write_all(b"answered")?;
    open.read_exact(&mut [0; 8])?;
    bed.wire.unplug(End::Near);
    let status = eventually(|| Ok(bed.front.process().try_wait()?), Option::is_some)?.context("its status")?;
    let (log, name) = (bed.front.log(), bed.pair.near().interface());
    ensure!(!status.success() && log.contains(&format!("synward: {name}: the interface is gone")), "{status}\n{log}");
    Ok(())
}

/// Far more frames than the fill ring holds come while the process cannot fill it. The connection that was there goes on, and the
/// kernel says how many frames there was no room for.
fn starves(bed: &mut Bed) -> Result<()> {
    const FRAMES: u32 = 20_000;
    let mut open = client::connect(bed.pair.far(), bed.addresses()[0])?;
    let pid = Pid::from_child(bed.front.process());
    kill_process(pid, Signal::STOP)?;
    open.write_all(b"meanwhile")?;
    let syns = (0..FRAMES).map(|n| forged::syn(bed.pair.far(), bed.pair.near(), ECHO, n));
    bed.wire.inject(End::Near, 0, syns.collect());
    kill_process(pid, Signal::CONT)?;
    let mut answer = [0; 9];
    open.read_exact(&mut answer)?;
    ensure!(&answer == b"meanwhile");
    bed.echo(100_000)?;
    let drops = bed.drops()?;
    let socket = |name: &str| drops.socket.get(name).copied().unwrap_or_default();
    ensure!(
        socket("rx_ring_full") + socket("rx_dropped") + socket("fill_ring_empty") > 0,
        "nothing was lost: {drops:?}"
    );
    crate::books::check(&bed.front)
}

/// Only a device on which a kernel may leave a checksum unfinished has any use for that form; on others it is a hole, by which one
/// spoiled frame in 65,536 gets through.
fn unfinished(bed: &mut Bed) -> Result<()> {
    let syn = forged::syn(bed.pair.far(), bed.pair.near(), ECHO, 1);
    bed.wire.inject(End::Near, 0, vec![forged::unfinished(syn)]);
    let drops = eventually(|| bed.drops(), |drops| drops.received > 0)?;
    ensure!(drops.drops.get("tcp_checksum") == Some(&1), "{drops:?}");
    bed.check_drained()
}
