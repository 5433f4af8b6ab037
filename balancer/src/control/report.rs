//! The documents of the control socket: what the server sends and the command line reads.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `GET /v1/ss`: sockets, as `ss` shows them; with `?listening=true` listeners only.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sockets {
    /// Listeners.
    pub listeners: Vec<Listener>,
    /// Half-open, open and closing connections.
    pub connections: Vec<Connection>,
}

/// A listener and its two queues.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Listener {
    /// Where it listens.
    pub local: String,
    /// Connections that wait to be accepted.
    pub accept_queue: u64,
    /// The accept queue is full when *more than* this many wait.
    pub accept_limit: u64,
    /// Half-open connections.
    pub syn_queue: u64,
    /// The SYN queue is full when *more than* this many are half-open.
    pub syn_limit: u64,
    /// `off`, `auto` or `always`.
    pub syncookies: String,
    /// Whether SYNs are being answered by cookies now.
    pub sending_cookies: bool,
}

/// A connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Connection {
    /// The state, as `ss` spells it.
    pub state: String,
    /// Bytes received and not read.
    pub recv_queue: u32,
    /// Bytes not acknowledged.
    pub send_queue: u32,
    /// Our end.
    pub local: String,
    /// The peer's end.
    pub peer: String,
    /// The nearest timer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timer: Option<Timer>,
    /// What `ss -i` shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<Info>,
}

/// A running timer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Timer {
    /// `on`, `persist`, `keepalive`, `timewait`…, as `ss -o` spells it.
    pub name: String,
    /// Until it fires.
    pub expires_ms: u64,
}

/// Inner state of a connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names of `ss -i`")]
pub struct Info {
    pub rtt_ms: Option<f64>,
    pub rto_ms: u64,
    pub timestamps: bool,
    pub sack: bool,
    pub peer_scale: u8,
    pub our_scale: u8,
    pub mss: u16,
    pub cwnd: u32,
    pub ssthresh: u32,
    pub snd_wnd: u32,
    pub rcv_wnd: u32,
    pub retrans: u32,
}

/// `GET /v1/stat`: counters under Linux's names, gauges, and the modes in force.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Stat {
    /// Counters since the start.
    pub counters: BTreeMap<String, u64>,
    /// What is there now.
    pub gauges: BTreeMap<String, u64>,
    /// How packets reach us.
    pub modes: BTreeMap<String, String>,
}

/// `GET /v1/drops`: what became of every received frame.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Drops {
    /// Frames dropped, by reason; reasons that never occurred are left out.
    pub drops: BTreeMap<String, u64>,
    /// Every received frame has exactly one outcome: these and the drops add up to `received`.
    pub outcomes: BTreeMap<String, u64>,
    /// Frames received.
    pub received: u64,
    /// Where the frames are.
    pub frames: BTreeMap<String, u64>,
    /// Verdicts of the XDP program.
    pub xdp: BTreeMap<String, u64>,
    /// What the kernel counted on the AF_XDP socket.
    pub socket: BTreeMap<String, u64>,
}

/// `GET /v1/shield`: what the XDP programs of all interfaces do, and who raised which shield.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ShieldReport {
    /// The addresses of listeners, in the order of the configuration.
    pub listeners: Vec<ShieldedListener>,
    /// What became of frames, by verdict; each frame has one.
    pub verdicts: BTreeMap<String, Rate>,
    /// Who sends most of what proves nothing, the busiest first: a sample of the last seconds.
    pub top_sources: Vec<TopSource>,
    /// How many prefixes are listed.
    pub lists: ListSizes,
    /// Flows that pass a shield that is up.
    pub known_flows: u64,
    /// Flows that found their bucket of the filter full so far; everything in such a bucket passes.
    pub known_flow_overflows: u64,
}

/// An address of a listener, and its shield.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ShieldedListener {
    /// The listener's name.
    pub listener: String,
    /// Where it listens.
    pub local: String,
    /// `off`, `auto` or `always`.
    pub mode: String,
    /// Whether it is up.
    pub up: bool,
    /// How long it has been so.
    pub seconds: u64,
    /// How often it went up.
    pub raised: u64,
    /// SYNs that arrived.
    pub syns: Rate,
    /// SYNs that the program answered by a cookie.
    pub cookies_sent: Rate,
    /// Cookies that came back.
    pub cookies_valid: Rate,
    /// Segments that the program dropped.
    pub refused: Rate,
    /// Segments that went on to the engine.
    pub passed: Rate,
}

/// A count, and how fast it grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Rate {
    /// Since the start.
    pub total: u64,
    /// A second, now.
    pub per_second: u64,
}

/// A source that sends much to listeners with a shield.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TopSource {
    /// An IPv4 address, or an IPv6 /64.
    pub source: String,
    /// Segments that were refused or answered by a cookie, a second, at least.
    pub unproven_per_second: u64,
    /// Cookies that it brought back, a second.
    pub proven_per_second: u64,
}

/// How many prefixes are listed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ListSizes {
    /// From where everything is dropped; the hopeless among them.
    pub dropped: u64,
    /// From where it is let past the limits.
    pub allowed: u64,
    /// Dropped for a while because nobody there answers.
    pub hopeless: u64,
    /// The most there can be.
    pub limit: u64,
}

/// `GET /v1/prefixes`: one of the prefixes that are listed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ListedPrefix {
    /// The prefix.
    pub prefix: String,
    /// `drop` or `allow`.
    pub verdict: String,
    /// Who listed it: `configuration`, `command`, or `guard` for those that seemed hopeless.
    pub by: String,
    /// Until it is listed no more; without, it stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_seconds: Option<u64>,
}

/// `POST /v1/block`, `/v1/allow` and `/v1/unblock`: what is wanted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PrefixOrder {
    /// The prefix.
    pub prefix: String,
    /// For how long; without, until the server ends. Has no meaning for `unblock`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

/// What `block`, `allow` and `unblock` have changed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PrefixChange {
    /// How the prefix was listed before.
    pub before: Option<ListedPrefix>,
    /// How it is listed now.
    pub now: Option<ListedPrefix>,
}
