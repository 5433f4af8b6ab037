//! iperf3 at both ends of the kernel's TCP, with the front between them: server to one and client to the other. It speaks a
//! protocol of its own that nothing of ours does.

use crate::bed::{Bed, Conditions, Test};
use anyhow::{Context, Result, ensure};
use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use synward_lab::Host;

/// iperf3's.
const PORT: u16 = 5201;
const BYTES: u64 = 64 << 20;

pub fn tests() -> Vec<Test> {
    let tests = [
        ("iperf::one_stream_there", &[][..]),
        ("iperf::one_stream_back", &["--reverse"]),
        ("iperf::sixty_four_streams_there", &["--parallel", "64"]),
        ("iperf::sixty_four_streams_back", &["--parallel", "64", "--reverse"]),
        ("iperf::eight_streams_both_ways_at_once", &["--parallel", "8", "--bidir"]),
    ];
    tests.into_iter().map(|(name, arguments)| Test::new(name, move || through_the_front(arguments))).collect()
}

/// Over both families.
fn through_the_front(arguments: &[&str]) -> Result<()> {
    let path = Conditions::GOOD.path()?;
    let mut server = Server::start(path.far())?;
    let bed = Bed::dialling(path, &[PORT])?;
    for address in bed.addresses() {
        server.listens()?;
        measure(&bed, address, arguments)?;
    }
    ensure!(server.child.try_wait()?.is_none(), "the server has ended");
    bed.check(&Conditions::GOOD)
}

fn measure(bed: &Bed, address: IpAddr, arguments: &[&str]) -> Result<()> {
    let (to, bytes) = (address.to_string(), BYTES.to_string());
    let mut command = bed.peer().command("iperf3");
    command.args(["--json", "--client", &to, "--bytes", &bytes]).args(arguments);
    let output = command.output().context("iperf3: apt-get install iperf3")?;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).context("iperf3's report")?;
    ensure!(output.status.success(), "iperf3 {arguments:?}: {}\n{}", report["error"], bed.engine.log());
    let bytes = |sum: &str| report["end"][sum]["bytes"].as_u64().unwrap_or_default();
    let said = || format!("{}: {}", report["error"], report["end"]);
    // With both directions, iperf3 ends as soon as one of them has carried the bytes.
    let sent = bytes("sum_sent").max(bytes("sum_sent_bidir_reverse"));
    ensure!(sent >= BYTES && bytes("sum_received") > 0, said());
    if arguments.contains(&"--bidir") {
        ensure!(bytes("sum_received_bidir_reverse") > 0, said());
    }
    Ok(())
}

/// A server. It listens anew for each client, and resets who comes in between.
struct Server {
    child: Child,
    /// How often it has said that it listens.
    said: Receiver<()>,
}

impl Server {
    fn start(host: &Host) -> Result<Self> {
        let mut command = host.command("iperf3");
        command.args(["--server", "--forceflush"]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().context("iperf3: apt-get install iperf3")?;
        let lines = BufReader::new(child.stdout.take().context("iperf3's output")?).lines();
        let (saying, said) = channel();
        // It talks in between, and is not to be kept waiting. When nobody asks any more it is about to be ended.
        std::thread::spawn(move || {
            let mut listening = lines.map_while(Result::ok).filter(|line| line.contains("listening"));
            listening.try_for_each(|_| saying.send(()))
        });
        Ok(Self { child, said })
    }

    /// Waits until it listens for the next client.
    fn listens(&self) -> Result<()> {
        self.said.recv().context("iperf3 has ended")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ended already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
