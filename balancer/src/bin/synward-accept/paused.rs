//! A front that stands still (SIGSTOP) for 5 and for 30 seconds while clients come.

use crate::Options;
use crate::bed::{Bed, DEADLINE, NOTHING};
use crate::row::Row;
use anyhow::{Result, anyhow};
use std::thread::sleep;
use std::time::Duration;
use synward_bench::paced::Outcome;
use synward_bench::processes::{self, Signal};

const RATE: u32 = 100;
/// Clients come for so long before the front stops, and after it goes on.
const AROUND: Duration = Duration::from_secs(5);
const PAUSES: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(30)];
/// A client that asked in vain asks again so late (Linux: `tcp_syn_linear_timeouts`, and what is doubled after those).
const RETRY: Duration = Duration::from_secs(8);

pub fn run(_: &Options) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for pause in PAUSES {
        rows.extend(pause_for(pause)?);
    }
    Ok(rows)
}

fn pause_for(pause: Duration) -> Result<Vec<Row>> {
    let mut bed = Bed::up(1, "", "", |_| Ok(()))?;
    let front = bed.front.process().id();
    bed.ask(RATE, RATE)?;
    let requests = RATE * (pause + 2 * AROUND).as_secs() as u32;
    let (outcome, time_waits, retransmitted) = std::thread::scope(|scope| -> Result<(Outcome, [u64; 2], u64)> {
        let running = scope.spawn(|| bed.ask(requests, RATE));
        sleep(AROUND);
        let (time_waits, sent_again) = (bed.gauge("time_waits")?, bed.counter("RetransSegs")?);
        processes::signal(&[front], Signal::STOP)?;
        sleep(pause);
        processes::signal(&[front], Signal::CONT)?;
        let after = bed.gauge("time_waits")?;
        let outcome = running.join().map_err(|_| anyhow!("the clients panicked"))??;
        Ok((outcome, [time_waits, after], bed.counter("RetransSegs")? - sent_again))
    })?;
    let left = bed.left_over()?;
    let afterwards = bed.ask(RATE, RATE)?;
    Ok(rows(pause, &outcome, time_waits, retransmitted, &left, &afterwards))
}

fn rows(
    pause: Duration,
    outcome: &Outcome,
    [before, after]: [u64; 2],
    retransmitted: u64,
    left: &str,
    afterwards: &Outcome,
) -> Vec<Row> {
    for (failure, count) in &outcome.failures {
        eprintln!("accept: paused: {count} requests failed: {failure}");
    }
    let named = |what: &str| format!("{what}, {} s", pause.as_secs());
    let failed = outcome.requests - outcome.ok;
    // Who came so early that his time was up, or that he asked again too late, before the front went on.
    let in_vain = RATE * pause.saturating_sub(DEADLINE.saturating_sub(RETRY)).as_secs() as u32;
    vec![
        Row::new(
            &named(&format!("of {} requests, failed", outcome.requests)),
            format!("at most {in_vain}, whose {DEADLINE:?} were up"),
            failed.to_string(),
            failed <= in_vain,
        ),
        // A connection that stood still sends what it has under way once more, not once for each timer that it missed.
        Row::new(
            &named("segments that the front sent again"),
            format!("at most {}, one for each request", outcome.requests),
            retransmitted.to_string(),
            retransmitted <= u64::from(outcome.requests),
        ),
        Row::new(
            &named("in TIME-WAIT before / right after"),
            "no fewer",
            format!("{before} / {after}"),
            after >= before,
        ),
        Row::new(&named("left over"), NOTHING, left, left == NOTHING),
        Row::new(
            &named("answered afterwards"),
            afterwards.requests.to_string(),
            afterwards.ok.to_string(),
            afterwards.ok == afterwards.requests,
        ),
    ]
}
