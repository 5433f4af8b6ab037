//! What an engine is told once, and how it is put together.

use crate::shard::FamilyTerms;
use siphasher::sip::SipHasher24;
use std::ops::RangeInclusive;
use std::time::Duration;
use synward_proto::connection::{CongestionAlgorithm, ConnectionConfig, Ecn, Keepalive, SocketOption};
use synward_proto::flood_guard::{CookieTimestamps, Syncookies};
use synward_proto::half_open::Offer;
use synward_proto::listener::ListenerConfig;
use synward_proto::segment::{Mss, WindowScale};
use synward_proto::syn_cookie::KeySchedule;
use synward_proto::syn_table::SynTableConfig;
use synward_proto::wire::ChecksumPolicy;
use synward_proto::{Endpoint, Marking};

/// What an engine is told once. The defaults are Linux's where Linux has the setting.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Connections at once, in each shard; one more is refused ([`ConnectionTableFull`](synward_proto::DropReason)).
    pub max_connections: u32,
    /// TIME-WAIT entries at once, in each shard (Linux: `tcp_max_tw_buckets`); past it the oldest goes.
    pub max_time_waits: u32,
    /// Closed connections whose peers have not finished with them, in each shard; one more is reset instead of closed (Linux:
    /// `tcp_max_orphans`). Those in FIN-WAIT-2 count, those in TIME-WAIT do not.
    pub orphan_limit: u32,
    /// Bytes that the connections of each shard may hold together: unsent, not acknowledged, unread, or received beyond a gap (Linux:
    /// the last of `tcp_mem`). Past it the connection of which nothing has moved for the longest drops what it keeps beyond a gap,
    /// or is reset.
    pub buffer_memory: u64,
    /// Bound of every listener's backlog (Linux: `net.core.somaxconn`).
    pub somaxconn: u32,
    /// With cookies off, SYNs are dropped from three quarters of this on (Linux: `tcp_max_syn_backlog`).
    pub max_syn_backlog: u32,
    /// Half-open connections that each shard can remember for all listeners together. Four times the sum of their backlogs makes
    /// a full bucket rare.
    pub syn_table: u32,
    /// Half-open connections of one network, an IPv4 /24 or an IPv6 /64, for all listeners together; from then on its SYNs get
    /// cookies, or with cookies off nothing, and those of others go on as before. Divided among the shards; `None`, as in
    /// Linux, sets no limit.
    pub half_opens_per_prefix: Option<u16>,
    /// 0: no cookies, 1: when the SYN queue overflows, 2: always (Linux: `tcp_syncookies`).
    pub syncookies: u8,
    /// Whether a cookie may do without timestamps.
    pub cookie_timestamps: CookieTimestamps,
    /// How long a cookie key is in force, rounded up to whole ticks of 16 s and at least one (see
    /// [`KeySchedule`]).
    pub cookie_key_life: Duration,
    /// SYN-ACKs sent again before a half-open entry is forgotten (Linux: `tcp_synack_retries`).
    pub synack_retries: u8,
    /// Whether a full accept queue resets (Linux: `tcp_abort_on_overflow`).
    pub abort_on_overflow: bool,
    /// Largest IP packet on the interface, bytes. A link watch keeps it current.
    pub mtu: u16,
    /// The shift of the windows that we offer, where the peer scales too, at most 14; `None` switches window scaling off
    /// (Linux: `tcp_window_scaling`).
    pub window_scale: Option<u8>,
    /// Whether SACK is permitted where the peer permits it (Linux: `tcp_sack`).
    pub sack: bool,
    /// Whether timestamps are used where the peer uses them (Linux: `tcp_timestamps`).
    pub timestamps: bool,
    /// Bytes that a peer may have in flight or unread, per new connection (Linux: the middle of `tcp_rmem`).
    pub receive_buffer: u32,
    /// What that may grow to, as far as the reader keeps up with the peer (Linux: the last of `tcp_rmem`). Equal: it does not grow.
    pub receive_buffer_max: u32,
    /// Bytes that the application may have unsent or unacknowledged, per new connection.
    pub send_buffer: u32,
    /// What that may grow to with the congestion window (Linux: the last of `tcp_wmem`). Equal: it does not grow.
    pub send_buffer_max: u32,
    /// Keepalive of new connections; off by default.
    pub keepalive: Option<Keepalive>,
    /// Whether new connections may hold back small segments (Nagle).
    pub nagle: bool,
    /// Whether the first segments of new connections are acknowledged at once (Linux: TCP_QUICKACK); without, the bytes that
    /// answer carry the acknowledgment, and on an open of ours the first bytes carry that of the SYN.
    pub quick_acks: bool,
    /// How new connections avoid congestion (Linux: `tcp_congestion_control`).
    pub congestion: CongestionAlgorithm,
    /// Retransmissions of data before a connection is given up (Linux: `tcp_retries2`).
    pub retries: u8,
    /// Retransmissions of a SYN at doubling intervals, after four that come every second, before an open is given up (Linux:
    /// `tcp_syn_retries`): 6 last for 131 s, and 7 for more than the three minutes of RFC 9293, section 3.8.3 (MUST-23).
    pub syn_retries: u8,
    /// How long data of new connections may stay unacknowledged, a window closed, or keepalive unanswered; `None` as long as the
    /// counts say (Linux: TCP_USER_TIMEOUT).
    pub user_timeout: Option<Duration>,
    /// How long TIME-WAIT lasts (Linux: `TCP_TIMEWAIT_LEN`).
    pub time_wait: Duration,
    /// How long FIN-WAIT-2 lasts after close (Linux: `tcp_fin_timeout`).
    pub fin_wait_2: Duration,
    /// Whether peers that ask for ECN get it, and whether we ask (Linux: `tcp_ecn`). A peer that got a cookie has it not: no cookie
    /// tells it.
    pub ecn: Ecn,
    /// Time to live or hop limit of all segments (Linux: `ip_default_ttl`).
    pub hop_limit: u8,
    /// What a shard and a worker may have said to each other, either way, that the other has not heard yet; past it whoever has
    /// more to say keeps it. Where interfaces differ, the most.
    pub ring_slots: u32,
    /// Received frames that one connection may have with its reader; past it payload is copied out.
    pub frames_per_reader: u32,
    /// Source ports of connections whose port is not asked for (Linux: `ip_local_port_range`). All of them are ours on the
    /// interface: no other program may use them there.
    pub source_ports: RangeInclusive<u16>,
    /// What to do about unfinished checksums.
    pub checksums: ChecksumPolicy,
    /// Where keys come from; `None` draws them from the system.
    pub secrets: Option<Secrets>,
    /// The core that [`PollLoop::run`](crate::PollLoop::run) pins its thread to.
    pub core: Option<usize>,
    /// The interface whose link is watched by [`PollLoop::run`](crate::PollLoop::run); none for a port in memory.
    pub interface: Option<String>,
    /// How long an idle loop keeps polling before it sleeps.
    pub spin: Duration,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            max_connections: 32_768,
            max_time_waits: 32_768,
            orphan_limit: 16_384,
            buffer_memory: 1 << 30,
            somaxconn: 4096,
            max_syn_backlog: 4096,
            syn_table: 16_384,
            half_opens_per_prefix: Some(256),
            syncookies: 1,
            cookie_timestamps: CookieTimestamps::Optional,
            cookie_key_life: Duration::from_secs(600),
            synack_retries: 5,
            abort_on_overflow: false,
            mtu: 1500,
            window_scale: Some(7),
            sack: true,
            timestamps: true,
            receive_buffer: 128 * 1024,
            receive_buffer_max: 6 * 1024 * 1024,
            send_buffer: 256 * 1024,
            send_buffer_max: 4 * 1024 * 1024,
            keepalive: None,
            nagle: true,
            quick_acks: true,
            congestion: CongestionAlgorithm::Cubic,
            retries: 15,
            syn_retries: 6,
            user_timeout: None,
            time_wait: Duration::from_secs(60),
            fin_wait_2: Duration::from_secs(60),
            ecn: Ecn::WhenAsked,
            hop_limit: Marking::DEFAULT.hop_limit,
            ring_slots: 4096,
            frames_per_reader: 32,
            source_ports: 32_768..=60_999,
            checksums: ChecksumPolicy::AllowUnfinished,
            secrets: None,
            core: None,
            interface: None,
            spin: Duration::from_micros(50),
        }
    }
}

impl EngineConfig {
    /// Says which setting cannot be used, and why.
    pub(crate) fn check(&self) -> Result<(), BuildError> {
        let holds = |setting, holds, problem| {
            if holds { Ok(()) } else { Err(BuildError::Setting { setting, problem }) }
        };
        let at_most = |setting, value: u32, most: u32, problem| holds(setting, value <= most, problem);
        let some = |setting, value: u32| holds(setting, value > 0, "must not be zero");
        some("max_connections", self.max_connections)?;
        some("receive_buffer", self.receive_buffer)?;
        some("send_buffer", self.send_buffer)?;
        some("hop_limit", self.hop_limit.into())?;
        some("syn_table", self.syn_table)?;
        some("ring_slots", self.ring_slots)?;
        some("source_ports", (*self.source_ports.start()).into())?;
        some("source_ports", (!self.source_ports.is_empty()).into())?;
        at_most("max_connections", self.max_connections, 1 << 24, "at most 16,777,216")?;
        at_most("max_time_waits", self.max_time_waits, 1 << 24, "at most 16,777,216")?;
        at_most("somaxconn", self.somaxconn, 1 << 16, "at most 65,536")?;
        at_most("syn_table", self.syn_table, 1 << 24, "at most 16,777,216")?;
        at_most("ring_slots", self.ring_slots, 1 << 20, "at most 1,048,576")?;
        at_most("syncookies", self.syncookies.into(), 2, "0, 1 or 2")?;
        at_most("window_scale", self.window_scale.unwrap_or(0).into(), 14, "at most 14 (RFC 7323, section 2.3)")?;
        let window = u32::from(u16::MAX) << self.window_scale.unwrap_or(0).min(14);
        at_most("receive_buffer", self.receive_buffer, self.receive_buffer_max, "larger than receive_buffer_max")?;
        at_most("send_buffer", self.send_buffer, self.send_buffer_max, "larger than send_buffer_max")?;
        at_most("receive_buffer_max", self.receive_buffer_max, window, "larger than window_scale can say")?;
        let served = self.cookie_timestamps == CookieTimestamps::Optional || self.timestamps || self.syncookies == 0;
        holds("cookie_timestamps", served, "required without timestamps: nobody could get a cookie")?;
        at_most("mtu", MIN_MTU.into(), self.mtu.into(), "at least 576")
    }

    /// What connections are told, by address family.
    pub(crate) fn terms(&self) -> FamilyTerms {
        let Offer { mss_v4, mss_v6, marking, .. } = self.offer();
        let config = |mss| ConnectionConfig {
            receive_buffer: self.receive_buffer,
            receive_buffer_max: self.receive_buffer_max,
            send_buffer: self.send_buffer,
            send_buffer_max: self.send_buffer_max,
            mss,
            keepalive: self.keepalive,
            nagle: self.nagle,
            quick_acks: self.quick_acks,
            congestion: self.congestion,
            retries: self.retries,
            syn_retries: self.syn_retries,
            user_timeout: self.user_timeout,
            time_wait: self.time_wait,
            fin_wait_2: self.fin_wait_2,
            ecn: self.ecn,
            marking,
        };
        FamilyTerms { v4: (&config(mss_v4)).into(), v6: (&config(mss_v6)).into() }
    }

    /// How large the SYN table of each of so many shards is.
    pub(crate) fn syn_table(&self, shards: u16) -> SynTableConfig {
        let (capacity, synack_retries) = (self.syn_table, self.synack_retries);
        let per_prefix = self.half_opens_per_prefix.map(|limit| limit.div_ceil(shards));
        SynTableConfig { capacity, synack_retries, per_prefix, ..SynTableConfig::default() }
    }

    /// What a listener of this engine is told on each of so many shards.
    pub(crate) fn listener(&self, config: &ListenConfig, shards: u32) -> ListenerConfig {
        ListenerConfig {
            local: config.local,
            syn_queue_limit: config.backlog.min(self.somaxconn).div_ceil(shards),
            max_syn_backlog: self.max_syn_backlog.div_ceil(shards),
            syncookies: match self.syncookies {
                0 => Syncookies::Never,
                1 => Syncookies::Auto,
                _ => Syncookies::Always,
            },
            cookie_timestamps: self.cookie_timestamps,
            abort_on_overflow: self.abort_on_overflow,
            offer: self.offer().with(&config.options),
        }
    }

    /// What the SYN-ACKs of its listeners offer.
    pub fn offer(&self) -> Offer {
        let mss = |headers: u16, least: Mss| Mss::announced(self.mtu.saturating_sub(headers)).unwrap_or(least);
        Offer {
            mss_v4: mss(40, Mss::DEFAULT_V4),
            mss_v6: mss(60, Mss::DEFAULT_V6),
            window: u16::try_from(self.receive_buffer).unwrap_or(u16::MAX),
            window_scale: self.window_scale.map(WindowScale::clamped),
            sack: self.sack,
            timestamps: self.timestamps,
            ecn: self.ecn != Ecn::Off,
            marking: Marking { hop_limit: self.hop_limit, ..Marking::DEFAULT },
        }
    }
}

/// The smallest MTU: what every IPv4 host takes (RFC 791).
pub(crate) const MIN_MTU: u16 = 576;

/// The secrets of one engine. Each part of it that needs one gets its own.
#[derive(Clone)]
pub struct Secrets {
    /// Initial sequence numbers, timestamps, the SYN table and cookies.
    pub(crate) proto: synward_proto::isn::Secrets,
    /// The connection table and the listeners.
    pub(crate) tables: [u8; 16],
    /// Which shard owns a connection.
    pub(crate) steering: [u8; 16],
    /// Where source ports begin.
    pub(crate) source_ports: [u8; 16],
}

/// Bytes of seed for all of them.
const SEED_LEN: usize = synward_proto::isn::Secrets::SEED_LEN + 3 * 16;

impl Secrets {
    /// From the system's random source.
    ///
    /// # Errors
    /// [`BuildError::NoEntropy`] when it gives none.
    pub fn random() -> Result<Self, BuildError> {
        let mut seed = [0; SEED_LEN];
        getrandom::fill(&mut seed).map_err(|_| BuildError::NoEntropy)?;
        Ok(Self::from_bytes(&seed))
    }

    /// From a number, for runs that are to be repeated. Never for a network with strangers on it.
    pub fn from_seed(seed: u64) -> Self {
        let mut bytes = [0; SEED_LEN];
        for (word, counter) in bytes.chunks_exact_mut(8).zip(0_u64..) {
            word.copy_from_slice(&SipHasher24::new_with_keys(seed, counter).hash(b"synward").to_le_bytes());
        }
        Self::from_bytes(&bytes)
    }

    fn from_bytes(seed: &[u8; SEED_LEN]) -> Self {
        const PROTO: usize = synward_proto::isn::Secrets::SEED_LEN;
        let mut proto = [0; PROTO];
        proto.copy_from_slice(&seed[..PROTO]);
        let key = |number: usize| -> [u8; 16] { std::array::from_fn(|byte| seed[PROTO + 16 * number + byte]) };
        Self {
            proto: synward_proto::isn::Secrets::from_seed(&proto),
            tables: key(0),
            steering: key(1),
            source_ports: key(2),
        }
    }

    /// The cookie keys of an engine with these secrets and this [`cookie_key_life`](EngineConfig::cookie_key_life), for
    /// whoever mints and checks cookies in its name.
    pub fn cookie_keys(&self, life: Duration) -> KeySchedule {
        self.proto.cookie_keys(life)
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
    /// Whether other workers may listen here, too. New connections are spread over them. As SO_REUSEPORT, but all have one
    /// backlog, that of the first.
    pub shared: bool,
    /// Options that its connections begin with. A shared listener has those of the first.
    pub options: Vec<SocketOption>,
}

impl ListenConfig {
    /// A listener with as large a backlog as the engine allows.
    pub fn new(local: Endpoint) -> Self {
        Self { local, backlog: u32::MAX, shared: false, options: Vec::new() }
    }
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
    /// The port has no frames.
    #[error("the port has no free frame")]
    NoFrames,
    /// There is nobody to do the work.
    #[error("an engine needs an interface with a queue, a port for each of its queues, and a worker")]
    NoShards,
    /// Shards are named by 16 bits.
    #[error("more than 65,535 queues")]
    TooManyShards,
    /// A setting is out of its range.
    #[error("{setting}: {problem}")]
    Setting {
        /// The field of [`EngineConfig`].
        setting: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::{BuildError, CookieTimestamps, EngineConfig};

    /// Who gets a cookie only with timestamps must be able to have them.
    #[test]
    fn cookies_that_nobody_could_get_are_refused() {
        let config = |cookie_timestamps, timestamps, syncookies| {
            EngineConfig { cookie_timestamps, timestamps, syncookies, ..EngineConfig::default() }.check()
        };
        let (optional, required) = (CookieTimestamps::Optional, CookieTimestamps::Required);
        for syncookies in [1, 2] {
            let refused = config(required, false, syncookies);
            assert!(matches!(refused, Err(BuildError::Setting { setting: "cookie_timestamps", .. })), "{refused:?}");
        }
        for (stamps, timestamps, syncookies) in [(required, false, 0), (required, true, 2), (optional, false, 2)] {
            assert!(config(stamps, timestamps, syncookies).is_ok());
        }
    }
}
