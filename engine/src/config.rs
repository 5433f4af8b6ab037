//! What an engine is told once, and how it is put together.

use crate::{Observer, PollLoop, SocketCore};
use std::time::Duration;
use synward_nic::Port;
use synward_proto::Endpoint;
use synward_proto::connection::Keepalive;
use synward_proto::wire::ChecksumPolicy;

/// What an engine is told once. The defaults are Linux's where Linux has the setting.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Connections at once; one more is refused ([`ConnectionTableFull`](synward_proto::DropReason)).
    pub max_connections: u32,
    /// TIME-WAIT entries at once (Linux: `tcp_max_tw_buckets`); past it the oldest goes.
    pub max_time_waits: u32,
    /// Bound of every listener's backlog (Linux: `net.core.somaxconn`).
    pub somaxconn: u32,
    /// Half-open connections without cookies (Linux: `tcp_max_syn_backlog`).
    pub max_syn_backlog: u32,
    /// 0: no cookies, 1: when the SYN queue overflows, 2: always (Linux: `tcp_syncookies`).
    pub syncookies: u8,
    /// SYN-ACKs sent again before a half-open entry is forgotten (Linux: `tcp_synack_retries`).
    pub synack_retries: u8,
    /// Whether a full accept queue resets (Linux: `tcp_abort_on_overflow`).
    pub abort_on_overflow: bool,
    /// Largest IP packet on the interface, bytes. A link watch keeps it current.
    pub mtu: u16,
    /// Bytes that a peer may have in flight or unread, per connection.
    pub receive_buffer: u32,
    /// Bytes that the application may have unsent or unacknowledged, per connection.
    pub send_buffer: u32,
    /// Keepalive of new connections; off by default.
    pub keepalive: Option<Keepalive>,
    /// Whether new connections may hold back small segments (Nagle).
    pub nagle: bool,
    /// Retransmissions of data before a connection is given up (Linux: `tcp_retries2`).
    pub retries: u8,
    /// How long TIME-WAIT lasts (Linux: `TCP_TIMEWAIT_LEN`).
    pub time_wait: Duration,
    /// How long FIN-WAIT-2 lasts after close (Linux: `tcp_fin_timeout`).
    pub fin_wait_2: Duration,
    /// Received frames that one connection may have with its reader; past it payload is copied out.
    pub frames_per_reader: u32,
    /// What to do about unfinished checksums.
    pub checksums: ChecksumPolicy,
    /// Where keys come from; `None` draws them from the system.
    pub secrets: Option<Secrets>,
    /// The core that [`PollLoop::run`] pins its thread to.
    pub core: Option<usize>,
    /// The interface whose link is watched by [`PollLoop::run`]; none for a port in memory.
    pub interface: Option<String>,
    /// How long an idle loop keeps polling before it sleeps.
    pub spin: Duration,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            max_connections: 32_768,
            max_time_waits: 32_768,
            somaxconn: 4096,
            max_syn_backlog: 4096,
            syncookies: 1,
            synack_retries: 5,
            abort_on_overflow: false,
            mtu: 1500,
            receive_buffer: 256 * 1024,
            send_buffer: 256 * 1024,
            keepalive: None,
            nagle: true,
            retries: 15,
            time_wait: Duration::from_secs(60),
            fin_wait_2: Duration::from_secs(60),
            frames_per_reader: 32,
            checksums: ChecksumPolicy::AllowUnfinished,
            secrets: None,
            core: None,
            interface: None,
            spin: Duration::from_micros(50),
        }
    }
}

/// The keys of one engine. Each has one use.
#[derive(Clone)]
pub struct Secrets {
    pub(crate) seed: [u8; 32],
}

impl Secrets {
    /// From the system's random source.
    ///
    /// # Errors
    /// [`BuildError::NoEntropy`] when it gives none.
    pub fn random() -> Result<Self, BuildError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|_| BuildError::NoEntropy)?;
        Ok(Self { seed })
    }

    /// From a number, for runs that are to be repeated. Never for a network with strangers on it.
    pub fn from_seed(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Self { seed: bytes }
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(..)")
    }
}

/// What a listener is told.
#[derive(Clone, Debug)]
pub struct ListenConfig {
    /// Where it listens. An unspecified address takes every address of its family that nobody else listens on.
    pub local: Endpoint,
    /// Completed connections that may wait for accept: *more than* this many is full, as in Linux. Cut to `somaxconn`.
    pub backlog: u32,
}

impl ListenConfig {
    /// A listener with as large a backlog as the engine allows.
    pub fn new(local: Endpoint) -> Self {
        Self { local, backlog: u32::MAX }
    }
}

/// The three ends of an engine.
pub struct Engine<P: Port> {
    /// For the thread that owns the port.
    pub poll_loop: PollLoop<P>,
    /// For the worker thread.
    pub sockets: SocketCore,
    /// For everybody.
    pub observer: Observer,
}

/// Why an engine could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The system's random source failed.
    #[error("no random bytes from the system for the engine's keys")]
    NoEntropy,
    /// A descriptor could not be made.
    #[error("{what}: {source}")]
    Descriptor {
        /// What it was for.
        what: &'static str,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// A setting is out of its range.
    #[error("{setting}: {problem}")]
    Setting {
        /// The field of [`EngineConfig`].
        setting: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// Builds an engine of one shard and one worker on `port`.
///
/// # Errors
/// When a setting is out of range, or the system gives no entropy or no descriptors.
pub fn build<P: Port>(config: EngineConfig, port: P) -> Result<Engine<P>, BuildError> {
    let _ = (config, port);
    todo!()
}
