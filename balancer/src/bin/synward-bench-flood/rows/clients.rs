//! `clients_ok`, `clients_p50_ms`, `clients_p99_ms`: 1,000 connections a second, each of which sends 64 bytes, gets them back and
//! closes; it must be done within a second. Meanwhile a flood arrives, by an interface of its own.
//!
//! A rate counts only where the control reaches 99.99 %: the same clients, served by the same server, while one XDP_DROP takes the
//! flood. What the clients lose there, they lose to the rig.

use crate::Scope;
use crate::bed::Bed;
use crate::measure::{Beside, Order, with_clients};
use crate::system::Contender;
use anyhow::Result;
use synward_bench::flood::{Attack, SynForm};
use synward_bench::report::{Report, Subject};

/// Frames a second.
const RATES: [u64; 6] = [0, 100_000, 200_000, 400_000, 800_000, 1_500_000];
/// Where it is only to be seen that everything works.
const QUICK: [u64; 2] = [0, 200_000];
/// What an interrupt of hardware brings in at such rates.
const BURST: u32 = 32;

const ATTACKS: [(Attack, SynForm); 4] = [
    (Attack::Syn, SynForm::Client),
    (Attack::Ack, SynForm::Client),
    (Attack::Mixed, SynForm::Client),
    (Attack::Syn, SynForm::Bare),
];

pub fn measure(bed: &mut Bed, contender: Contender, scope: Scope, report: &mut Report) -> Result<()> {
    let (rates, attacks) = if scope.quick { (&QUICK[..], &ATTACKS[..3]) } else { (&RATES[..], &ATTACKS[..]) };
    for (attack, form) in attacks {
        bed.expect(*form, contender.system.answers_by_kernel())?;
        for rate in rates {
            let order = Order { form: *form, rate: *rate, burst: BURST, attack: *attack };
            let before = bed.far_end.settle()?;
            let (outcome, seen) = with_clients(bed, order, scope.time)?;
            let completions = bed.far_end.settle()?.since(&before);
            let mut add = |row, unit, value| {
                let params = order.params(contender);
                report.add(Subject { row, system: contender.system.name(), params, unit }, value);
            };
            add("clients_ok", "%", outcome.success() * 100.0);
            if outcome.ok > 0 {
                add("clients_p50_ms", "ms", outcome.p50_ms);
                add("clients_p99_ms", "ms", outcome.p99_ms);
            }
            Beside { during: "clients", seen, completions }.report(report, contender, order);
        }
    }
    Ok(())
}
