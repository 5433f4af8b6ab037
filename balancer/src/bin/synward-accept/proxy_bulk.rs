//! A gibibyte each way through the front end, hashed at both ends.

use crate::Options;
use crate::bed::{Bed, NOTHING};
use crate::row::Row;
use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Instant;

const BYTES: u64 = 1 << 30;

pub fn run(_: &Options) -> Result<Vec<Row>> {
    let bed = Bed::up(1, "", "", |_| Ok(()))?;
    let site = bed.webs[0].site();
    let offered = site.offer(BYTES)?;
    let file = std::env::temp_dir().join(format!("{}-bulk", bed.client().namespace()));
    let moved = there_and_back(&bed, &file);
    // There may be none.
    let _ = std::fs::remove_file(&file);
    let Moved { seen, fetched, sent } = moved?;
    let uploaded = site.digest_of_upload("bulk")?;
    let left = bed.left_over()?;
    let same = |what: &str, hash: &str| {
        let shown = |hash: &str| format!("SHA-256 {}…", hash.get(..16).unwrap_or(hash));
        Row::new(what, shown(&offered), shown(hash), hash == offered)
    };
    Ok(vec![
        same("1 GiB from nginx to curl", &seen),
        same("the same from curl to nginx", &uploaded),
        Row::new("left over", NOTHING, &left, left == NOTHING),
        Row::report("rates there and back", format!("{:.2} and {:.2} Gb/s", gigabits(fetched), gigabits(sent))),
    ])
}

/// The hash of what was fetched, and how many seconds that and sending it back took.
struct Moved {
    seen: String,
    fetched: f64,
    sent: f64,
}

fn there_and_back(bed: &Bed, file: &Path) -> Result<Moved> {
    let name = file.to_string_lossy();
    let fetched = curl(bed, &["--output", &name], &format!("/bytes/{BYTES}"))?;
    let seen = digest(file)?;
    let sent = curl(bed, &["--upload-file", &name], "/uploads/bulk")?;
    Ok(Moved { seen, fetched, sent })
}

/// Runs curl, and returns how many seconds it took.
fn curl(bed: &Bed, arguments: &[&str], path: &str) -> Result<f64> {
    let start = Instant::now();
    let url = format!("http://{}{path}", bed.address());
    let output = bed
        .client()
        .command("curl")
        .args(["--silent", "--show-error", "--fail", "--max-time", "300"])
        .args(arguments)
        .arg(url)
        .output()?;
    ensure!(output.status.success(), "curl: {}\n{}", String::from_utf8_lossy(&output.stderr), bed.front.log());
    Ok(start.elapsed().as_secs_f64())
}

fn digest(file: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    let mut source = File::open(file).with_context(|| file.display().to_string())?;
    io::copy(&mut source, &mut hash).with_context(|| file.display().to_string())?;
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn gigabits(seconds: f64) -> f64 {
    BYTES as f64 * 8.0 / seconds / 1e9
}
