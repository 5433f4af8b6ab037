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
