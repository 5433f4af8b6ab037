//! What every test may ask of a server at its end.

use anyhow::{Result, ensure};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use synward::control::report::Drops;
use synward::served::Served;

/// How long a peer may go on sending what asks for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Every received frame has one outcome, and every frame of the pool a holder, as soon as nothing more arrives: the numbers are not
/// read all at once.
pub fn check(server: &Served) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        match check_now(server) {
            Err(_) if Instant::now() < end => std::thread::yield_now(),
            result => return result,
        }
    }
}

fn check_now(server: &Served) -> Result<()> {
    let drops: Drops = server.ask("/v1/drops")?;
    let sum: u64 = drops.drops.values().chain(drops.outcomes.values()).sum();
    ensure!(sum == drops.received, "{} frames received, {sum} outcomes: {drops:?}", drops.received);
    ensure!(balance(&drops.frames), "frames are missing: {:?}", drops.frames);
    Ok(())
}

fn balance(frames: &BTreeMap<String, u64>) -> bool {
    let held: u64 = frames.iter().filter(|(holder, _)| *holder != "total").map(|(_, count)| count).sum();
    frames.get("total") == Some(&held)
}
