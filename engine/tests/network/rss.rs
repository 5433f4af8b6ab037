//! What devices of a test bed say about receive-side scaling.

use crate::{Outcome, Test, check, ip};
use synward_engine::Rss;
use synward_lab::{Pair, PairConfig};

pub const TESTS: &[Test] = &[("rss::veth_and_tap_spread_by_no_hash_that_they_tell", virtual_devices)];

fn virtual_devices() -> Outcome {
    let pair = Pair::up(&PairConfig { queues: 4, ..PairConfig::default() })?;
    ip(pair.near(), "tuntap add dev tap0 mode tap multi_queue")?;
    for interface in ["near0", "tap0"] {
        let rss = pair.near().enter(|| Rss::read(interface))??;
        check(rss.is_none(), format!("{interface}: {rss:?}"))?;
    }
    let error = pair.near().enter(|| Rss::read("far0"))?.err().ok_or("the far end is in another namespace")?;
    check(error.to_string() == "far0: No such device (os error 19)", error.to_string())
}
