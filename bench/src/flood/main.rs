//! `synward-flood`: the flood generator on the command line, for use inside a network namespace.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use synward_bench::flood::{Attack, Flood, FloodConfig, SynForm};
use synward_lab::plan::{Mac, Prefix};

/// Sends forged TCP segments through a veth interface, and through no other kind of device. Prints what it did as JSON.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// The veth to send through; its far end must carry an XDP program or have GRO on.
    #[arg(long)]
    interface: String,
    /// The Ethernet address that the frames are for.
    #[arg(long)]
    mac: Mac,
    /// The address and port that the segments are for.
    #[arg(long)]
    target: SocketAddr,
    /// The prefix that they claim to come from; by default the one that `synward lab` sets apart for forged sources.
    #[arg(long)]
    sources: Option<Prefix>,
    /// Frames a second.
    #[arg(long, default_value_t = 100_000)]
    rate: u64,
    /// How long to send.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// What to send.
    #[arg(long, value_enum, default_value_t = Attack::Syn)]
    attack: Attack,
    /// How a SYN looks: 60 bytes without options, or 74 with those of a Linux client (74 and 94 over IPv6).
    #[arg(long, value_enum, default_value_t = SynForm::Bare)]
    form: SynForm,
    /// Frames that leave at once.
    #[arg(long, default_value_t = 1)]
    burst: u32,
    /// Frames between two looks of the kernel at its other work.
    #[arg(long, default_value_t = 64)]
    batch: u32,
    /// The same seed draws the same frames.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    match run(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("synward-flood: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<()> {
    let Options { interface, mac, target, sources, rate, seconds, attack, form, burst, batch, seed } = options;
    let default = FloodConfig::new(&interface, mac.0, target);
    let config = FloodConfig {
        sources: sources.unwrap_or(default.sources),
        rate,
        duration: Duration::try_from_secs_f64(seconds)?,
        attack,
        form,
        burst,
        batch,
        seed,
        ..default
    };
    let report = Flood::start(&config)?.wait()?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}
