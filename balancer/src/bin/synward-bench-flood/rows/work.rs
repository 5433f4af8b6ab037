//! `work_ns`: nanoseconds of the front's core for one more answer, without what it costs to wake up for it.
//!
//! **By polls.** NAPI takes at most 64 frames a poll. A burst of 64 frames is one full poll; a burst of 192 is three, back to back: the
//! core wakes up once for either. So the time that the core is busy is measured under floods of both, at the same number of bursts
//! a second, and the difference is the work of two full polls for each burst: wake-ups, clock ticks and strangers are the same
//! in both, and cancel out. It is divided by the difference in answers, which the far end has found valid, so that an answer that is
//! not given is not paid for. This holds for whatever answers, in the kernel, in an XDP program, or in user space, as long as it is
//! on the front's core.
//!
//! How long the core is busy says a spinner of the least priority ([`synward_bench::core_share`]); NAPI is a thread there. Samples are
//! not completed meanwhile. Of the control, a frame dropped counts for an answer.
//!
//! **By test-run**, where all the work is a program's: [`synward_bench::flood::run_cost`], fresh SYNs from memory for the program
//! that is attached, so without the driver.

use super::forms;
use crate::bed::Bed;
use crate::measure::{Order, watch};
use crate::system::{Contender, System};
use crate::{FRONT, Scope};
use anyhow::{Result, ensure};
use synward_bench::flood::{Attack, SynForm, run_cost};
use synward_bench::report::{Params, Report, Subject};
use synward_ebpf::Interface;

/// One full poll, and three (`NAPI_POLL_WEIGHT`). Four would fill the ring of a veth to the last place.
const BURSTS: [u32; 2] = [64, 192];
const _: () = assert!(BURSTS[0] == 64 && BURSTS[1].is_multiple_of(64) && BURSTS[1] < VETH_RING);
/// `VETH_RING_SIZE`.
const VETH_RING: u32 = 256;

/// Bursts a second: so many that the work is well above the noise, and so few that the core has time left after three polls.
const fn bursts_a_second(system: System) -> u64 {
    if system.is_program() { 4_000 } else { 1_000 }
}

/// Frames of a test-run: some tenths of a second.
const REHEARSED: u32 = 1_000_000;

pub fn measure(bed: &mut Bed, contender: Contender, scope: Scope, report: &mut Report) -> Result<()> {
    for form in forms(scope) {
        bed.expect(*form, contender.system.answers_by_kernel())?;
        bed.far_end.rest(true);
        let polls = by_polls(bed, contender, *form, scope);
        bed.far_end.rest(false);
        add(report, contender, *form, "polls", polls?);
        if contender.system.is_program() {
            add(report, contender, *form, "test_run", by_test_run(bed, contender, *form)?);
        }
    }
    Ok(())
}

fn add(report: &mut Report, contender: Contender, form: SynForm, by: &'static str, nanos: f64) {
    let order = order(contender.system, form, BURSTS[1]);
    let params = match by {
        "polls" => order.params(contender),
        _ => Params { rate: None, burst: None, ..order.params(contender) },
    };
    let params = Params { by: Some(by), server: None, ..params };
    report.add(Subject { row: "work_ns", system: contender.system.name(), params, unit: "ns" }, nanos);
}

fn order(system: System, form: SynForm, burst: u32) -> Order {
    Order { form, rate: bursts_a_second(system) * u64::from(burst), burst, attack: Attack::Syn }
}

fn by_polls(bed: &Bed, contender: Contender, form: SynForm, scope: Scope) -> Result<f64> {
    let mut nanos_and_answers = [(0.0, 0.0); 2];
    for (burst, result) in BURSTS.into_iter().zip(&mut nanos_and_answers) {
        let (seen, used) = watch(bed, order(contender.system, form, burst), scope.time)?;
        *result = (used.share() * 1e9, seen.rate(seen.answers(contender)));
    }
    let [(few_nanos, few), (many_nanos, many)] = nanos_and_answers;
    if many <= few {
        let [one, three] = BURSTS;
        eprintln!(
            "bench-flood: {many:.0} answers a second to bursts of {three}, {few:.0} to those of {one}: no figure"
        );
        return Ok(f64::NAN);
    }
    Ok((many_nanos - few_nanos) / (many - few))
}

fn by_test_run(bed: &Bed, contender: Contender, form: SynForm) -> Result<f64> {
    let name = bed.flooded().name();
    let attached = bed.lab.front().enter(|| Interface::by_name(name))??.xdp;
    ensure!(attached.len() == 1, "{} programs at {name}, not one", attached.len());
    let config = order(contender.system, form, 1).config(bed);
    let cost = bed.attacker().enter(|| {
        synward_bench::pin(&[FRONT])?;
        run_cost(&config, attached[0].program_id, REHEARSED)
    })??;
    let wanted = if contender.system == System::XdpDrop { XDP_DROP } else { XDP_TX };
    ensure!(cost.action == wanted, "a SYN was not answered in a test-run: action {}, not {wanted}", cost.action);
    Ok(cost.nanos)
}

/// Of `enum xdp_action`.
const XDP_DROP: u32 = 1;
const XDP_TX: u32 = 3;
