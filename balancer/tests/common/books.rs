//! What every test may ask of a server at its end.

use crate::eventually::eventually;
use anyhow::Result;
use synward::control::report::Drops;
use synward::served::Served;

/// Every received frame has one outcome, and every frame of the pool a holder, as soon as nothing more arrives: the numbers are not
/// read all at once.
pub fn check(server: &Served) -> Result<()> {
    eventually(|| server.ask("/v1/drops"), |drops: &Drops| has_outcomes(drops) && has_holders(drops))?;
    Ok(())
}

fn has_outcomes(drops: &Drops) -> bool {
    let outcomes: u64 = drops.drops.values().chain(drops.outcomes.values()).sum();
    drops.received == outcomes
}

fn has_holders(drops: &Drops) -> bool {
    let held: u64 = drops.frames.iter().filter(|(holder, _)| *holder != "total").map(|(_, count)| count).sum();
    drops.frames.get("total") == Some(&held)
}
