//! What a configuration says once it has been checked. Every value is in its range and every default is filled in.

use crate::balance::TableSize;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;
use synward_ebpf::{ListVerdict, OnStall, Prefix, XdpMode};
use synward_nic::ModeDemand;
use synward_proto::Endpoint;
use synward_proto::flood_guard::{CookieTimestamps, Syncookies};

/// A front end, whole.
///
/// What the file's checks guarantee beyond the single values: there is at least one interface and one listener; names are
/// unique within their kind; no two listeners take the same connections; every [`ListenerConfig::pool`] is an index into
/// [`pools`](Config::pools); no pool is empty; no listener's port lies within any
/// [`source_ports`](InterfaceConfig::source_ports); without cookies no listener has a shield; the kernel's socket for metrics is
/// at no address that is ours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// `[engine]`
    pub engine: EngineSettings,
    /// `[[interface]]`, in the order of the file.
    pub interfaces: Vec<InterfaceConfig>,
    /// `[[listener]]`, in the order of the file.
    pub listeners: Vec<ListenerConfig>,
    /// `[[pool]]`, in the order of the file.
    pub pools: Vec<PoolConfig>,
    /// `[shield]`
    pub shield: ShieldSettings,
    /// `[metrics]`: where they are served over HTTP, by a socket of the kernel; `None` serves none.
    pub metrics: Option<SocketAddr>,
    /// `[shutdown]`
    pub shutdown: ShutdownConfig,
}

/// `[engine]`: what holds for the engine as a whole. Settings that Linux has too carry its names and its defaults.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EngineSettings {
    /// Worker threads that run the proxy; 0 runs it on the poll loops themselves.
    pub workers: u16,
    /// Connections at once, in the whole engine. A proxied client takes two: its own and the backend's.
    pub max_connections: u32,
    /// When SYNs are answered by cookies.
    pub syncookies: Syncookies,
    /// Whether a full accept queue resets instead of waiting for the client to try again.
    pub abort_on_overflow: bool,
    /// Bound of every listener's backlog.
    pub somaxconn: u32,
    /// With cookies off, SYNs are dropped from three quarters of this on.
    pub max_syn_backlog: u32,
    /// Half-open connections of one /24 or /64, after which its SYNs get cookies; `None` sets no limit.
    pub half_opens_per_prefix: Option<u16>,
    /// SYN-ACKs sent again before a half-open entry is forgotten.
    pub synack_retries: u8,
    /// Bytes that a peer may have in flight or unread at most, per connection: what it begins with grows as far.
    pub receive_buffer: u32,
    /// Bytes that may be unsent or unacknowledged at most, per connection.
    pub send_buffer: u32,
    /// Bytes that the connections of each poll loop may hold together.
    pub buffer_memory: u64,
    /// The shift of the windows that we offer, at most 14; `None` switches window scaling off.
    pub window_scale: Option<u8>,
    /// Whether SACK is permitted where the peer permits it.
    pub sack: bool,
    /// Whether timestamps are used where the peer uses them.
    pub timestamps: bool,
    /// Whether a cookie may do without timestamps.
    pub cookie_timestamps: CookieTimestamps,
    /// How long TIME-WAIT lasts.
    pub time_wait: Duration,
    /// Where the control socket is.
    pub control: PathBuf,
}

/// `[[interface]]`: a network interface that is served, all of its queues.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InterfaceConfig {
    /// Its name in the network namespace of the process.
    pub name: String,
    /// How many receive queues it must have.
    pub queues: Queues,
    /// The core for the poll loop of each queue, by queue; empty leaves it to the scheduler.
    pub cores: Vec<usize>,
    /// How frames cross between device and memory; anything but `Any` is demanded.
    pub frames: ModeDemand,
    /// Where the XDP program runs; anything but `Any` is demanded.
    pub xdp: XdpMode,
    /// Whether the device is polled from the poll loop's system calls instead of its interrupts.
    pub busy_poll: bool,
    /// The addresses that connections to backends come from; empty means what the route says.
    pub source_addresses: Vec<IpAddr>,
    /// The ports that connections to backends come from. All of them are taken from the kernel, on every source address.
    pub source_ports: RangeInclusive<u16>,
}

/// The receive queues of an interface. All of them are served; the question is whether their number is asserted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Queues {
    /// As many as there are.
    All,
    /// This many, or the start is refused.
    Exactly(u16),
}

/// `[[listener]]`: addresses that clients connect to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListenerConfig {
    /// Its name, unique among the listeners.
    pub name: String,
    /// Where it listens, at least one. An unspecified address takes every address of its own family; `[::]` does not take
    /// IPv4.
    pub addresses: Vec<Endpoint>,
    /// The pool that its connections go to: an index into [`Config::pools`].
    pub pool: usize,
    /// Completed connections that may wait to be accepted. Cut to [`EngineSettings::somaxconn`].
    pub backlog: u32,
    /// How long neither side may send anything before both are reset.
    pub idle_timeout: Duration,
    /// Clients at once; `None` leaves it to [`EngineSettings::max_connections`].
    pub max_connections: Option<u32>,
    /// When the XDP program answers its SYNs by cookies and lets nothing through but known flows.
    pub shield: ShieldMode,
}

/// `[[pool]]`: backends among which connections are shared out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PoolConfig {
    /// Its name, unique among the pools.
    pub name: String,
    /// How a backend is chosen.
    pub balance: Balance,
    /// How long a backend may take to complete a handshake before the next one is tried; and how long all are
    /// tried again where none is left and a way was missing or an answer, as when a link is down.
    pub connect_timeout: Duration,
    /// How long a backend that failed is left alone.
    pub backoff: Backoff,
    /// The backends, in the order of the file: at least one, at most [`MAX_BACKENDS`](crate::balance::MAX_BACKENDS).
    pub backends: Vec<BackendConfig>,
}

/// How a backend is chosen for a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Balance {
    /// In turn, by weight.
    RoundRobin,
    /// By a hash of the connection, so that several front ends choose alike.
    Maglev {
        /// Entries of the lookup table.
        table_size: TableSize,
    },
}

/// How long a backend is left alone after failures in a row: `first`, then twice as long each time, up to `longest`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backoff {
    /// After the first failure; more than zero.
    pub first: Duration,
    /// The most; not less than `first`.
    pub longest: Duration,
}

/// `[[pool.backend]]`: a server that does the work.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackendConfig {
    /// Its name, unique in the pool; its address where the file gives none.
    pub name: String,
    /// Where it listens.
    pub address: Endpoint,
    /// Its share of the connections, relative to the others of the pool. 0 is draining: no new connections, the present
    /// ones go on.
    pub weight: u16,
}

/// When a listener is behind the shield.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum ShieldMode {
    /// Never.
    Off,
    /// While it is attacked.
    Auto,
    /// Always.
    Always,
}

impl ShieldMode {
    /// The word for it in configurations and on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Auto => "auto",
            Self::Always => "always",
        }
    }
}

/// Prefixes that can be listed, by the configuration and at run time together.
pub const MAX_PREFIXES: u32 = 1 << 17;

/// `[shield]`: when the shield of a listener whose mode is [`ShieldMode::Auto`] goes up and down, and what the XDP program
/// refuses. Rates are segments a second, on each interface; `None` sets no limit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShieldSettings {
    /// SYNs a second for one listener that raise its shield. It comes down below half of that.
    pub raise_at: u32,
    /// How long it must have been calm before a shield comes down.
    pub calm: Duration,
    /// How long a poll loop may stand still while a frame waits for it; `None` does not look.
    pub stall_limit: Option<Duration>,
    /// What happens to frames after that.
    pub on_stall: OnStall,
    /// SYNs from one source (an address, an IPv6 /64).
    pub syn_rate_per_source: Option<u32>,
    /// SYNs from one prefix (/24, /48).
    pub syn_rate_per_prefix: Option<u32>,
    /// Replies to one prefix (/24, /48) that nobody has answered.
    pub reply_ceiling_per_prefix: Option<u32>,
    /// Replies in all that nobody has answered.
    pub reply_ceiling: Option<u32>,
    /// Segments from one source that prove nothing, from which on everything from there is dropped for a while.
    pub drop_hopeless: Option<u32>,
    /// How long that is.
    pub drop_hopeless_for: Duration,
    /// Prefixes whose sources are dropped or let past the limits on SYNs, the files of prefixes included: at most
    /// [`MAX_PREFIXES`]. The longest that matches decides.
    pub prefixes: BTreeMap<Prefix, ListVerdict>,
}

/// `[shutdown]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShutdownConfig {
    /// How long connections may go on after SIGTERM before they are reset.
    pub drain: Duration,
}
