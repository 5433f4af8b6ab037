//! The command line `synward`.

use crate::check::Check;
use crate::config::parse_duration;
use crate::demo::Demo;
use crate::lab::LabCommand;
use crate::run::Run;
use crate::serve::Serve;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::time::Duration;
use synward_ebpf::Prefix;

/// Where the control socket is unless told otherwise.
pub const CONTROL: &str = "/run/synward/control.sock";

/// TCP that stands up to a flood: a kernel-bypass TCP engine on AF_XDP.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the load-balancer front end that a configuration describes.
    Run(Run),
    /// Serve echo and HTTP from the engine on all queues of an interface.
    Serve(Serve),
    /// Say whether a configuration is right, or every mistake in it.
    Check(Check),
    /// Show listeners with both queues, and connections.
    Ss {
        /// Whom to ask.
        #[command(flatten)]
        control: Control,
        /// Also show round-trip times, windows and retransmissions.
        #[arg(short, long)]
        info: bool,
        /// Show listeners only.
        #[arg(short, long)]
        listening: bool,
    },
    /// Show counters under Linux's names, and the modes in force.
    Stat {
        /// Whom to ask.
        #[command(flatten)]
        control: Control,
        /// Also show counters that are zero.
        #[arg(short, long)]
        all: bool,
    },
    /// Show what became of every received frame.
    Drops {
        /// Whom to ask.
        #[command(flatten)]
        control: Control,
    },
    /// Show a front end's listeners, pools and backends.
    Pools {
        /// Whom to ask.
        #[command(flatten)]
        control: Control,
    },
    /// Show the shield of every listener, what the XDP programs refuse, and from whom.
    Shield {
        /// Whom to ask.
        #[command(flatten)]
        control: Control,
        /// Show the prefixes that are dropped and allowed instead.
        #[arg(long)]
        lists: bool,
    },
    /// Drop everything that comes from a prefix for listeners with a shield.
    Block(ListPrefix),
    /// Let a prefix past the limits on SYNs.
    Allow(ListPrefix),
    /// Take a prefix from whichever list it is in.
    Unblock {
        /// An address or a network, as it was listed.
        #[arg(value_name = "PREFIX")]
        prefix: Prefix,
        /// Whom to ask.
        #[command(flatten)]
        control: Control,
    },
    /// Build and remove test beds of network namespaces.
    #[command(subcommand)]
    Lab(LabCommand),
    /// Show the main job: real clients and web servers around the front end, calm and under a SYN flood; then HAProxy in its place.
    Demo(Demo),
}

/// A prefix that is to be listed.
#[derive(Debug, Args)]
pub struct ListPrefix {
    /// An address or a network: 192.0.2.1, 10.0.0.0/8, 2001:db8::/32.
    #[arg(value_name = "PREFIX")]
    pub prefix: Prefix,
    /// For how long, such as 90s, 10m or 12h; until the server ends without it.
    #[arg(long = "for", value_name = "TIME", value_parser = listing_time)]
    pub time: Option<Duration>,
    /// Whom to ask.
    #[command(flatten)]
    pub control: Control,
}

/// A second at least, since that is how times are shown.
fn listing_time(text: &str) -> Result<Duration, String> {
    let time = parse_duration(text)?;
    if time < Duration::from_secs(1) { Err("at least one second".to_owned()) } else { Ok(time) }
}

/// How to reach a running server.
#[derive(Debug, Args)]
pub struct Control {
    /// The server's control socket.
    #[arg(long, value_name = "PATH", default_value = CONTROL)]
    pub control: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}
