//! One poll loop beside two, with everybody on both cores.

use crate::bed::{Bed, Node};
use crate::front::{Front, System};
use crate::measure::{Kind, Seen, measure};
use crate::{FRONT, OTHERS, Options};
use anyhow::Result;
use serde::Serialize;
use synward_bench::processes;

/// What was seen with so many poll loops.
#[derive(Debug, Serialize)]
pub struct Scaling {
    pub poll_loops: usize,
    pub connections: Vec<Seen>,
    pub requests: Vec<Seen>,
}

impl Scaling {
    pub fn of(&self, kind: Kind) -> &[Seen] {
        match kind {
            Kind::Connections => &self.connections,
            Kind::Requests => &self.requests,
        }
    }
}

pub fn run(options: &Options) -> Result<Vec<Scaling>> {
    if options.no_scaling {
        return Ok(Vec::new());
    }
    let both = [FRONT, OTHERS];
    let mut sides = Vec::new();
    for cores in [&both[..1], &both] {
        let bed = Bed::up(cores.len() as u16, &both)?;
        for (thread, core) in bed.polling(Node::Front).into_iter().zip(cores) {
            processes::keep_on(&[thread], &[*core])?;
        }
        processes::keep_on(&bed.polling_others(), &both)?;
        let front = Front::start(System::Synward { workers: 0 }, &bed, cores)?;
        sides.push((front, bed));
    }
    let empty = |(number, _)| Scaling { poll_loops: number + 1, connections: Vec::new(), requests: Vec::new() };
    let mut scalings: Vec<_> = sides.iter().enumerate().map(empty).collect();
    for _ in 0..options.rounds {
        for ((front, bed), scaling) in sides.iter().zip(&mut scalings) {
            scaling.connections.push(measure(bed, front, Kind::Connections, options.time(), &both)?);
            scaling.requests.push(measure(bed, front, Kind::Requests, options.time(), &both)?);
        }
    }
    Ok(scalings)
}
