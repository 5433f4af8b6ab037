//! The engine as client: what the kernel's TCP sends to the front comes back from an echo server of the kernel's behind it.

use crate::bed::{Bed, Conditions, MIB, Test};
use crate::streams::{self, ECHO, Way};
use anyhow::Result;
use synward_bench::peers::KernelEcho;

pub fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for peer in ["reno", "bbr"] {
        for percent in [0.0, 1.0, 5.0] {
            let name = format!("dialling::{peer}_peer_with_{percent}_percent_lost_each_way");
            let conditions = Conditions { peer, lost_towards_us: percent, lost_from_us: percent, ..Conditions::GOOD };
            tests.push(Test::new(name, move || there_and_back(conditions)));
        }
    }
    tests
}

/// Ten connections at once over each family.
fn there_and_back(conditions: Conditions) -> Result<()> {
    let path = conditions.path()?;
    let _echo = KernelEcho::start(path.far(), ECHO, &[])?;
    let bed = Bed::dialling(path, &[ECHO])?;
    let bytes = if conditions.loses() { MIB / 4 } else { 4 * MIB };
    for address in bed.addresses() {
        streams::run(bed.peer(), address, Way::Both, 10, bytes)?;
    }
    bed.check(&conditions)
}
