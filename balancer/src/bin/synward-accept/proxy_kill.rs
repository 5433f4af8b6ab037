//! A backend that is killed and started again while clients come: it fails nobody who had not sent it anything yet.

use crate::Options;
use crate::bed::{Bed, NOTHING};
use crate::row::Row;
use anyhow::{Context, Result, anyhow};
use synward_bench::paced::Outcome;
use synward_bench::peers::Web;
use synward_bench::processes::{self, Signal};

const KILLS: usize = 20;
const RATE: u32 = 400;
const SECONDS: u32 = 30;
/// Requests that may be with the backend when it is killed, at this rate.
const UNDER_WAY: u64 = 8;

pub fn run(_: &Options) -> Result<Vec<Row>> {
    let mut bed = Bed::up(2, "", "backoff = { first = \"50ms\", longest = \"200ms\" }", |_| Ok(()))?;
    let mut web = bed.webs.pop().context("two web servers")?;
    let mut kills = 0;
    let outcome = std::thread::scope(|scope| -> Result<Outcome> {
        let running = scope.spawn(|| bed.ask(RATE * SECONDS, RATE));
        while kills < KILLS && !running.is_finished() {
            web = kill_and_start(&bed, web)?;
            kills += 1;
            // It has served before it is killed again.
            let total = || -> Result<u64> { Ok(bed.pools()?.pools[0].backends[1].total) };
            let before = total()?;
            bed.eventually("a backend in use again", || Ok(total()? > before || running.is_finished()))?;
        }
        running.join().map_err(|_| anyhow!("the clients panicked"))?
    })?;
    for (failure, count) in &outcome.failures {
        eprintln!("accept: proxy-kill: {count} requests failed: {failure}");
    }
    let report = bed.pools()?;
    let left = bed.left_over()?;
    let failed = u64::from(outcome.requests - outcome.ok);
    let unheard = report.failed_unheard + report.listeners[0].no_backend + report.no_source_port + report.no_room;
    let most = KILLS as u64 * UNDER_WAY;
    Ok(vec![
        Row::new("killed and started again under load", KILLS.to_string(), kills.to_string(), kills == KILLS),
        Row::new("failed before their first byte went to a backend", "0", unheard.to_string(), unheard == 0),
        // What had reached the backend when it was killed ends as it ends without a front: by a reset, or too early.
        Row::new(
            &format!("of {} requests, failed", outcome.requests),
            format!("at most {most}, which the backend had"),
            failed.to_string(),
            failed <= most,
        ),
        Row::new("left over", NOTHING, &left, left == NOTHING),
    ])
}

fn kill_and_start(bed: &Bed, web: Web) -> Result<Web> {
    if let Some(process) = web.process() {
        processes::signal(&processes::family(process)?, Signal::KILL)?;
    }
    drop(web);
    bed.start_web(1)
}
