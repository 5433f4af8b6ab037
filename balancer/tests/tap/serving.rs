//! What works when nothing is wrong.

use crate::bed::{Bed, Cast, Plan, Test};
use crate::client;
use anyhow::{Result, ensure};

pub fn tests() -> Vec<Test> {
    let with = |arguments| Plan { arguments, ..Plan::default() };
    let before = |cast| Plan { cast, ..Plan::default() };
    vec![
        Test::new("serving::kernel_clients_are_echoed_in_the_driver", with(&["--xdp", "native"]), echoes),
        Test::new("serving::kernel_clients_are_echoed_behind_the_driver", with(&["--xdp", "generic"]), echoes),
        Test::new("serving::kernel_clients_are_echoed_on_the_poll_loops", with(&["--on-poll-loops"]), echoes),
        Test::new("serving::kernel_clients_are_echoed_by_way_of_cookies", with(&["--syncookies", "always"]), echoes),
        Test::new("serving::kernel_clients_pass_a_shield", with(&["--shield", "always"]), echoes),
        Test::new("serving::a_front_joins_kernels", before(Cast::FrontBeforeKernel), echoes),
        Test::new("serving::a_front_joins_a_kernel_and_ourselves", before(Cast::FrontBeforeServer), echoes),
    ]
}

/// Small and large, of both families, one by one and at once.
fn echoes(bed: &mut Bed) -> Result<()> {
    for address in bed.addresses() {
        for bytes in [0, 1, 1460, 100_000] {
            client::echo(bed.pair.far(), address, bytes)?;
        }
    }
    bed.echo_at_once(8, 100_000)?;
    let stat = bed.stat()?;
    ensure!(stat.modes.get("frames").is_some_and(|frames| frames == "copy"), "{:?}", stat.modes);
    bed.check_drained()
}
