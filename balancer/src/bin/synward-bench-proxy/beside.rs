//! Synward beside HAProxy, in turns.

use crate::bed::{Bed, Node};
use crate::front::{Front, System};
use crate::measure::{Kind, Series, measure};
use crate::{FRONT, OTHERS, Options};
use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeMap;
use synward_bench::processes;

const SYSTEMS: [System; 3] = [System::Synward { workers: 0 }, System::Synward { workers: 1 }, System::Haproxy];

/// Everything that was seen.
#[derive(Debug, Serialize)]
pub struct Beside {
    /// What was measured, and where.
    pub about: BTreeMap<String, String>,
    /// By system, the one to compare with last: what was seen in each round.
    pub systems: Vec<Rounds>,
}

/// What was seen of one system.
#[derive(Debug, Serialize)]
pub struct Rounds {
    pub system: String,
    #[serde(flatten)]
    pub seen: Series,
}

/// A front end in a lab of its own.
pub struct Side {
    // Ends before its lab does.
    pub front: Front,
    pub bed: Bed,
}

impl Side {
    /// The front on its core, and everybody else on the other.
    pub fn start(system: System) -> Result<Self> {
        let bed = Bed::up(1, &[OTHERS])?;
        processes::keep_on(&bed.polling(Node::Front), &[FRONT])?;
        processes::keep_on(&bed.polling_others(), &[OTHERS])?;
        let front = Front::start(system, &bed, &[FRONT])?;
        Ok(Self { front, bed })
    }
}

pub fn run(options: &Options) -> Result<Beside> {
    let sides = SYSTEMS.into_iter().map(Side::start).collect::<Result<Vec<_>>>()?;
    let rounds = |system: System| Rounds { system: system.name(), seen: Series::default() };
    let mut systems: Vec<_> = SYSTEMS.into_iter().map(rounds).collect();
    for round in 0..options.rounds {
        for kind in Kind::ALL {
            let mut order: Vec<_> = (0..sides.len()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for number in order {
                let Side { front, bed } = &sides[number];
                let seen = measure(bed, front, kind, options.time(), &[OTHERS])?;
                eprintln!(
                    "bench-proxy: round {round}: {}: {:.0} {}, core {:.0} % busy, {:.0} % the front's",
                    systems[number].system,
                    seen.rate,
                    kind.name(),
                    seen.core_busy * 100.0,
                    seen.front_share * 100.0
                );
                systems[number].seen.add(kind, seen);
            }
        }
    }
    Ok(Beside { about: about(&sides)?, systems })
}

fn about(sides: &[Side]) -> Result<BTreeMap<String, String>> {
    let mut about = BTreeMap::new();
    for (system, side) in SYSTEMS.iter().zip(sides) {
        about.insert(system.name(), side.front.description()?);
    }
    if let Some(Side { bed, .. }) = sides.first() {
        let congestion = bed.lab.front().sysctl("net.ipv4.tcp_congestion_control")?;
        about.insert("congestion control".to_owned(), format!("{congestion} in the kernel, NewReno in synward"));
        about.insert(
            "web servers".to_owned(),
            bed.webs.iter().map(|web| web.system_and_version()).collect::<Vec<_>>().join(", "),
        );
    }
    about.insert("kernel".to_owned(), std::fs::read_to_string("/proc/sys/kernel/osrelease")?.trim_end().to_owned());
    about
        .insert("priority".to_owned(), "nice -20 for everything measured, threaded NAPI on every interface".to_owned());
    Ok(about)
}
