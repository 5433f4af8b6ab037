//! A path of smaller MTU, of which only the router in its middle knows: it tells by ICMP.

use crate::bed::{Bed, Conditions, MIB, Test};
use crate::streams::{self, ECHO, Way};
use anyhow::{Result, ensure};
use synward_bench::peers::KernelEcho;

const SMALLER: Conditions = Conditions { path_mtu: 1280, ..Conditions::GOOD };

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("path_mtu::a_server_learns_it", served),
        Test::new("path_mtu::sixty_four_streams_of_a_server_learn_it", many_served),
        Test::new("path_mtu::a_client_learns_it", dialled),
    ]
}

fn served() -> Result<()> {
    let bed = Bed::serving(&SMALLER)?;
    for address in bed.addresses() {
        for way in Way::ALL {
            streams::run(bed.peer(), address, way, 1, 4 * MIB)?;
        }
    }
    check(&bed)
}

fn many_served() -> Result<()> {
    let bed = Bed::serving(&SMALLER)?;
    for address in bed.addresses() {
        streams::run(bed.peer(), address, Way::Out, 64, MIB / 4)?;
    }
    check(&bed)
}

fn dialled() -> Result<()> {
    let path = SMALLER.path()?;
    let _echo = KernelEcho::start(path.far(), ECHO, &[])?;
    let bed = Bed::dialling(path, &[ECHO])?;
    for address in bed.addresses() {
        streams::run(bed.peer(), address, Way::Both, 4, MIB)?;
    }
    check(&bed)
}

/// The router had to say it.
fn check(bed: &Bed) -> Result<()> {
    let router = bed.path.router().netstat()?;
    let said = |name: &str| router.get(name).copied().unwrap_or_default();
    ensure!(said("IcmpOutDestUnreachs") > 0 && said("Icmp6OutPktTooBigs") > 0, "everything fit: {router:?}");
    bed.check(&SMALLER)
}
