//! `core_share`: how much of the front's core a flood of 200,000 SYNs a second takes, all told: work, wake-ups, and the samples that
//! are completed. In bursts of 1 every frame wakes somebody up; in bursts of 64 one poll takes them all.

use super::forms;
use crate::Scope;
use crate::bed::Bed;
use crate::measure::{Beside, Order, watch};
use crate::system::Contender;
use anyhow::Result;
use synward_bench::flood::Attack;
use synward_bench::report::{Report, Subject};

const RATE: u64 = 200_000;
const BURSTS: [u32; 3] = [1, 32, 64];

pub fn measure(bed: &mut Bed, contender: Contender, scope: Scope, report: &mut Report) -> Result<()> {
    for form in forms(scope) {
        bed.expect(*form, contender.system.answers_by_kernel())?;
        for burst in BURSTS {
            let order = Order { form: *form, rate: RATE, burst, attack: Attack::Syn };
            let before = bed.far_end.settle()?;
            let (seen, used) = watch(bed, order, scope.time)?;
            let completions = bed.far_end.settle()?.since(&before);
            let params = order.params(contender);
            let subject = Subject { row: "core_share", system: contender.system.name(), params, unit: "%" };
            report.add(subject, used.share() * 100.0);
            Beside { during: "core_share", seen, completions }.report(report, contender, order);
        }
    }
    Ok(())
}
