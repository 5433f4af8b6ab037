//! `scaling`: what the shield's program costs for a frame, by test-run, with few and many prefixes in its lists, none of which
//! matches, and with few and many known flows: for SYNs, which it answers, and for forged ACKs, which it drops. Every frame comes
//! from another source, so what is looked up is in no cache.

use crate::bed::Bed;
use crate::measure::Order;
use crate::system::Contender;
use crate::{FRONT, Scope};
use anyhow::{Result, ensure};
use synward_bench::flood::{Attack, SynForm, run_cost};
use synward_bench::report::{Params, Report, Subject};
use synward_bench::shield_cost::{FilledShield, Filling};
use synward_lab::Role;

const PREFIXES: [u32; 3] = [0, 1_000, 100_000];
const FLOWS: [u32; 2] = [1_000, 1_000_000];
/// Frames of a test-run: some tenths of a second.
const FRAMES: u32 = 1_000_000;
/// What becomes of the frames, of `enum xdp_action`.
const XDP_DROP: u32 = 1;
const XDP_TX: u32 = 3;

pub fn measure(bed: &mut Bed, contender: Contender, _: Scope, report: &mut Report) -> Result<()> {
    // An interface that no system uses; what is measured is not sent anywhere.
    let idle = bed.lab.front_towards(Role::Backend).name();
    for prefixes in PREFIXES {
        for flows in FLOWS {
            let filling = Filling { prefixes, flows };
            let shield = FilledShield::attach(bed.lab.front(), idle, bed.target(), filling)?;
            let program = shield.program_id();
            for (attack, wanted) in [(Attack::Syn, XDP_TX), (Attack::Ack, XDP_DROP)] {
                let order = Order { form: SynForm::Client, rate: 1, burst: 1, attack };
                let config = order.config(bed);
                let cost = bed.attacker().enter(|| {
                    synward_bench::pin(&[FRONT])?;
                    run_cost(&config, program, FRAMES)
                })??;
                ensure!(cost.action == wanted, "{attack:?}: action {} in a test-run, not {wanted}", cost.action);
                let params = Params {
                    rate: None,
                    burst: None,
                    by: Some("test_run"),
                    prefixes: Some(prefixes),
                    flows: Some(flows),
                    ..order.params(contender)
                };
                report.add(Subject { row: "scaling", system: contender.system.name(), params, unit: "ns" }, cost.nanos);
            }
        }
    }
    Ok(())
}
