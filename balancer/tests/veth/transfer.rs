//! Bulk in both directions, hashed.

use crate::Test;
use crate::bed::Bed;
use crate::bytes::{PatternReader, hash_of};
use crate::file::tempfile;
use anyhow::{Context, Result, ensure};
use std::process::Stdio;
use synward_lab::LabConfig;

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

pub const TESTS: &[Test] = &[
    ("transfer::curl_fetches_1_gib", || fetch(&Bed::new(&[])?, GIB)),
    ("transfer::curl_sends_1_gib", || send(&Bed::new(&[])?, GIB)),
    ("transfer::fetch_64_mib_at_1_percent_loss", || fetch(&lossy()?, 64 * MIB)),
    ("transfer::send_64_mib_at_1_percent_loss", || send(&lossy()?, 64 * MIB)),
    ("transfer::eight_clients_at_once", eight_at_once),
];

fn lossy() -> Result<Bed> {
    let bed = Bed::in_lab(&LabConfig::default(), &[])?;
    bed.lab.set_loss(1.0)?;
    Ok(bed)
}

fn fetch(bed: &Bed, bytes: u64) -> Result<()> {
    for address in bed.addresses().into_iter().take(if bytes < GIB { 1 } else { 2 }) {
        // Half over each family where the amount is large.
        let bytes = if bytes < GIB { bytes } else { bytes / 2 };
        let url = format!("http://{}/bytes/{bytes}", authority(address));
        let mut child = bed
            .client()
            .command("curl")
            .args(["--silent", "--show-error", "--fail", "--max-time", "300", &url])
            .stdout(Stdio::piped())
            .spawn()?;
        let (count, seen) = hash_of(child.stdout.take().context("curl's output")?)?;
        ensure!(child.wait()?.success(), "curl {url} failed\n{}", bed.server.log());
        ensure!(count == bytes, "{count} of {bytes} bytes came");
        ensure!(seen == hash_of(PatternReader::new(bytes))?.1, "the bytes differ");
    }
    bed.check_books()
}

fn send(bed: &Bed, bytes: u64) -> Result<()> {
    let file = tempfile(bytes)?;
    let url = format!("http://{}/upload", authority(bed.addresses()[0]));
    let answer = bed.curl(&["--upload-file", &file.0.to_string_lossy(), &url])?;
    let answer: serde_json::Value = serde_json::from_slice(&answer).context("the answer")?;
    let wanted = hash_of(PatternReader::new(bytes))?.1;
    ensure!(answer["bytes"] == bytes, "{answer}");
    ensure!(answer["sha256"] == wanted, "wanted {wanted}, got {answer}");
    bed.check_books()
}

fn eight_at_once() -> Result<()> {
    let bed = Bed::new(&[])?;
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..8).map(|_| scope.spawn(|| fetch(&bed, 16 * MIB))).collect();
        running.into_iter().try_for_each(|one| one.join().map_err(|_| anyhow::anyhow!("panicked"))?)
    })
}

fn authority(address: std::net::IpAddr) -> String {
    match address {
        std::net::IpAddr::V4(v4) => v4.to_string(),
        std::net::IpAddr::V6(v6) => format!("[{v6}]"),
    }
}
