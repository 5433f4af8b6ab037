//! Ten thousand connections at once, each of which echoes after a long silence.

use crate::Options;
use crate::row::Row;
use anyhow::Result;
use std::net::SocketAddr;
use std::time::Duration;
use synward::control::report::Stat;
use synward::served::{self, Served};
use synward_bench::herd::Herd;
use synward_lab::{Lab, LabConfig};

const SIZE: u32 = 10_000;
const ECHO: u16 = 7;

pub fn run(_: &Options) -> Result<Vec<Row>> {
    let lab = Lab::up(&LabConfig::default())?;
    let server = Served::start(&served::program()?, lab.front(), &[])?;
    let herd = Herd {
        target: SocketAddr::new(lab.front().ipv4().into(), ECHO),
        size: SIZE,
        silence: Duration::from_secs(30),
        patience: Duration::from_secs(10),
    };
    let outcome = lab.clients()[0].enter(|| herd.run())??;
    let stat: Stat = server.ask("/v1/stat")?;
    let accepted = stat.counters.get("PassiveOpens").copied().unwrap_or_default()
        + stat.counters.get("SyncookiesRecv").copied().unwrap_or_default();
    Ok(vec![
        Row::new("open at once", SIZE.to_string(), outcome.connected.to_string(), outcome.connected == SIZE),
        Row::new("echoed after 30 s of silence", SIZE.to_string(), outcome.echoed.to_string(), outcome.echoed == SIZE),
        Row::report("handshakes that the engine counted", accepted.to_string()),
    ])
}
