//! Frames that arrive on other queues than those of their owners.

use crate::bed::{Bed, ECHO, Plan, Test};
use crate::eventually::eventually;
use crate::forged;
use anyhow::{Result, ensure};
use synward_testkit::tap::{End, Steering};

pub fn tests() -> Vec<Test> {
    let plan = |steering| Plan { steering, ..Plan::default() };
    vec![
        Test::new("queues::all_frames_on_one_queue", plan(Steering::One(0)), one_queue),
        Test::new("queues::every_frame_on_any_queue", plan(Steering::Random), any_queue),
        Test::new("queues::a_flood_on_one_queue_leaves_those_on_another_alone", plan(Steering::One(1)), pinned_flood),
    ]
}

const CLIENTS: usize = 16;
const BYTES: u64 = 50_000;

/// Both shards own connections, and the one to which nothing comes gets its frames from the other.
fn one_queue(bed: &mut Bed) -> Result<()> {
    bed.echo_at_once(CLIENTS, BYTES)?;
    bed.check_drained()?;
    let (steered, received) = (bed.counter("FramesSteered")?, bed.drops()?.received);
    ensure!(steered > 0 && steered * 2 < received, "{steered} of {received} steered");
    Ok(())
}

/// Half of all frames arrive where they do not belong, and out of order with the other half.
fn any_queue(bed: &mut Bed) -> Result<()> {
    bed.echo_at_once(CLIENTS, BYTES)?;
    bed.check_drained()?;
    let steered = bed.counter("FramesSteered")?;
    let arrived = bed.drops()?.received - steered;
    // A half, give or take 12 standard deviations of 800 tosses.
    ensure!(arrived > 800 && (arrived * 29..arrived * 71).contains(&(steered * 100)), "{steered} of {arrived}");
    Ok(())
}

/// So many SYNs of nobody's on the first queue, many times what its table holds, while honest clients come by the second.
fn pinned_flood(bed: &mut Bed) -> Result<()> {
    const BURSTS: u32 = 20;
    const BURST: u32 = 1000;
    for burst in 0..BURSTS {
        let syns = (0..BURST).map(|n| forged::syn(bed.pair.far(), bed.pair.near(), ECHO, burst * BURST + n));
        bed.wire.inject(End::Near, 0, syns.collect());
        bed.echo(1000)?;
    }
    let drops = eventually(|| bed.drops(), |drops| drops.received >= u64::from(BURSTS * BURST))?;
    ensure!(drops.socket.get("rx_ring_full").is_none_or(|lost| *lost == 0), "{drops:?}");
    let stat = bed.stat()?;
    let gauge = |name: &str| stat.gauges.get(name).copied().unwrap_or_default();
    ensure!(gauge("half_open") <= gauge("half_open_limit"), "{stat:?}");
    ensure!(bed.counter("SyncookiesSent")? > 0, "{stat:?}");
    Ok(())
}
