//! A hundred million frames through an echo of four shards, most of which arrive where they do not belong.

use crate::Options;
use crate::row::Row;
use anyhow::Result;
use synward_bench::echo_frames::run as echo;

const SHARDS: usize = 4;
const FRAMES: u64 = 100_000_000;

pub fn run(_: &Options) -> Result<Vec<Row>> {
    let seen = echo(SHARDS, FRAMES)?;
    let of = &seen.outcomes;
    let shares = format!(
        "{} = {} consumed + {} answered + {} delivered + {} steered + {} dropped",
        of.received, of.consumed, of.answered, of.delivered, of.steered, of.dropped
    );
    let yes = |what: &str, holds: bool| Row::new(what, "yes", if holds { "yes" } else { "no" }, holds);
    let count =
        |what: &str, wanted: u64, seen: u64| Row::new(what, wanted.to_string(), seen.to_string(), wanted == seen);
    Ok(vec![
        Row::new("frames over the wires", format!("at least {FRAMES}"), seen.frames.to_string(), seen.frames >= FRAMES),
        // What moved was received twice: where it arrived and where it belongs.
        count("received, less those that moved", seen.sent, of.received - of.steered),
        Row::new("what became of them", "the sum of all", shares, seen.outcomes_balanced),
        yes("every frame of every pool had one holder", seen.ledgers_balanced),
        count("dropped", 0, of.dropped),
        count("frames not home, and connections left", 0, seen.frames_abroad + seen.connections),
        Row::report("messages that came back as they were sent", seen.echoes.to_string()),
        Row::report(
            "share that moved to another shard",
            format!("{:.0} %", of.steered as f64 / seen.sent as f64 * 100.0),
        ),
        Row::report(
            "time, and CPU time with the peers' own",
            format!("{:.0} s, {:.0} ns a frame", seen.seconds, seen.cpu_seconds * 1e9 / seen.frames as f64),
        ),
    ])
}
