//! One poll loop beside two, with everybody on both cores.

use crate::bed::{Bed, Node};
use crate::front::{Front, System};
use crate::measure::{Kind, Series, measure};
use crate::{FRONT, OTHERS, Options};
use anyhow::Result;
use serde::Serialize;
use synward_bench::processes;

/// What was seen with so many poll loops.
#[derive(Debug, Serialize)]
pub struct Scaling {
    pub poll_loops: usize,
    #[serde(flatten)]
    pub seen: Series,
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
    let empty = |(number, _)| Scaling { poll_loops: number + 1, seen: Series::default() };
    let mut scalings: Vec<_> = sides.iter().enumerate().map(empty).collect();
    for _ in 0..options.rounds {
        for ((front, bed), scaling) in sides.iter().zip(&mut scalings) {
            for kind in Kind::ALL {
                scaling.seen.add(kind, measure(bed, front, kind, options.time(), &both)?);
            }
        }
    }
    Ok(scalings)
}
