//! The engine as server.

use crate::bed::{Bed, Conditions, MIB, Test};
use crate::streams::{self, Way};
use anyhow::Result;

/// Percent lost, by direction: towards us, from us.
const LOSSES: [(f64, f64); 5] = [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (5.0, 0.0), (0.0, 5.0)];
const MANY: usize = 64;

pub fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for peer in ["reno", "bbr"] {
        for (lost_towards_us, lost_from_us) in LOSSES {
            let name = format!("serving::{peer}_peer_with_{lost_towards_us}_percent_lost_in_and_{lost_from_us}_out");
            let conditions = Conditions { peer, lost_towards_us, lost_from_us, ..Conditions::GOOD };
            tests.push(Test::new(name, move || every_way(conditions)));
        }
        for percent in [0.0, 1.0, 5.0] {
            let name = format!("serving::{MANY}_streams_of_a_{peer}_peer_with_{percent}_percent_lost_each_way");
            let conditions = Conditions { peer, lost_towards_us: percent, lost_from_us: percent, ..Conditions::GOOD };
            tests.push(Test::new(name, move || many(conditions)));
        }
    }
    tests
}

/// One connection at a time, over both families.
fn every_way(conditions: Conditions) -> Result<()> {
    let bed = Bed::serving(&conditions)?;
    let bytes = if conditions.loses() { MIB } else { 16 * MIB };
    for address in bed.addresses() {
        for way in Way::ALL {
            streams::run(bed.peer(), address, way, 1, bytes)?;
        }
    }
    bed.check(&conditions)
}

fn many(conditions: Conditions) -> Result<()> {
    let bed = Bed::serving(&conditions)?;
    let bytes = if conditions.loses() { MIB / 8 } else { MIB };
    let [v4, v6] = bed.addresses();
    for (address, way) in [(v4, Way::Out), (v6, Way::In), (v4, Way::Both)] {
        streams::run(bed.peer(), address, way, MANY, bytes)?;
    }
    bed.check(&conditions)
}
