//! What every test may ask of a server at its end.

use anyhow::{Result, ensure};
use std::collections::BTreeMap;
use synward::control::report::Drops;
use synward::served::Served;

/// Every received frame has one outcome, and every frame of the pool a holder.
pub fn check(server: &Served) -> Result<()> {
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
