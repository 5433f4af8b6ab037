//! Many bytes through the front, hashed at both ends.

use crate::Test;
use crate::bed::{Bed, Plan};
use crate::bytes::{PatternReader, hash_of};
use crate::file::tempfile;
use anyhow::{Context, Result, ensure};
use std::process::Stdio;
use synward_lab::LabConfig;

const MIB: u64 = 1 << 20;

pub const TESTS: &[Test] = &[
    ("bulk::each_way_within_a_shard", || each_way(&Plan::default(), 256 * MIB)),
    ("bulk::each_way_across_interfaces", || each_way(&Plan::two_interfaces(), 256 * MIB)),
    ("bulk::each_way_by_worker_threads", || each_way(&Plan { engine: "workers = 2", ..Plan::default() }, 64 * MIB)),
    ("bulk::each_way_with_four_queues", || each_way(&four_queues(), 64 * MIB)),
    ("bulk::each_way_at_1_percent_loss_on_both_sides", at_loss),
    ("bulk::sixty_four_streams_at_once", || many_at_once(&Plan::default(), 64)),
    ("bulk::sixty_four_streams_over_four_queues", || many_at_once(&four_queues(), 64)),
];

fn four_queues() -> Plan {
    let usual = Plan::default();
    Plan { lab: LabConfig { queues: 4, ..usual.lab }, ..usual }
}

fn each_way(plan: &Plan, bytes: u64) -> Result<()> {
    let bed = plan.up()?;
    fetch(&bed, bytes)?;
    send(&bed, bytes)?;
    bed.check_drained()
}

fn at_loss() -> Result<()> {
    let bed = Plan::two_interfaces().up()?;
    bed.lab.set_loss(1.0)?;
    fetch(&bed, 64 * MIB)?;
    send(&bed, 64 * MIB)?;
    bed.lab.set_loss(0.0)?;
    bed.check_drained()
}

fn many_at_once(plan: &Plan, streams: usize) -> Result<()> {
    let bed = plan.up()?;
    let offered = bed.webs.iter().map(|web| web.site().offer(2 * MIB)).collect::<Result<Vec<_>>>()?;
    std::thread::scope(|scope| {
        let fetch = || fetch_offered(&bed, 2 * MIB, &offered);
        let running: Vec<_> = (0..streams).map(|_| scope.spawn(fetch)).collect();
        running.into_iter().try_for_each(|one| one.join().map_err(|_| anyhow::anyhow!("panicked"))?)
    })?;
    bed.check_drained()
}

fn fetch(bed: &Bed, bytes: u64) -> Result<()> {
    // Each web server has bytes of its own.
    let offered = bed.webs.iter().map(|web| web.site().offer(bytes)).collect::<Result<Vec<_>>>()?;
    fetch_offered(bed, bytes, &offered)
}

fn fetch_offered(bed: &Bed, bytes: u64, offered: &[String]) -> Result<()> {
    let mut child = bed.curl().arg(bed.url(&format!("/bytes/{bytes}"))).stdout(Stdio::piped()).spawn()?;
    let (count, seen) = hash_of(child.stdout.take().context("curl's output")?)?;
    ensure!(child.wait()?.success(), "curl failed\n{}", bed.front.log());
    ensure!(count == bytes && offered.contains(&seen), "{count} of {bytes} bytes: {seen} is none of {offered:?}");
    Ok(())
}

fn send(bed: &Bed, bytes: u64) -> Result<()> {
    let file = tempfile(bytes)?;
    let sent = bed.curl().arg("--upload-file").arg(&file.0).arg(bed.url("/uploads/bulk")).status()?;
    ensure!(sent.success(), "curl failed\n{}", bed.front.log());
    let (_, wanted) = hash_of(PatternReader::new(bytes))?;
    let seen: Vec<_> = bed.webs.iter().filter_map(|web| web.site().digest_of_upload("bulk").ok()).collect();
    ensure!(seen.contains(&wanted), "{bytes} bytes: wanted {wanted}, got {seen:?}");
    Ok(())
}
