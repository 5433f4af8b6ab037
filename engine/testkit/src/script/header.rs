//! Header lines: what the listener and the world are like before the first step.

use super::line::Line;
use super::{PeerId, ScriptError};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;
use synward_proto::Endpoint;

/// The port that the script's listener has.
pub const LISTEN_PORT: u16 = 80;
const FIRST_PEER_PORT: u16 = 40_000;
const FIRST_CONNECT_PORT: u16 = 50_000;

/// What the header lines ask for. The defaults are Linux's, where Linux has one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setup {
    /// `ip 4|6`: the only family that the conversation is for.
    pub only: Option<Ip>,
    /// The family in which it runs.
    pub ip: Ip,
    /// `backlog n`: what listen(2) is given.
    pub backlog: u32,
    /// `somaxconn n`
    pub somaxconn: u32,
    /// `max_syn_backlog n`
    pub max_syn_backlog: u32,
    /// `syncookies 0|1|2`
    pub syncookies: u8,
    /// `abort_on_overflow 0|1`
    pub abort_on_overflow: bool,
    /// `synack_retries n`
    pub synack_retries: u8,
    /// `retries n`: retransmissions of data before a connection is given up (Linux: `tcp_retries2`).
    pub retries: u8,
    /// `syn_retries n`: retransmissions of a SYN at doubling intervals (Linux: `tcp_syn_retries`).
    pub syn_retries: u8,
    /// `keepalive idle 2s interval 1s probes 3`
    pub keepalive: Option<Keepalive>,
    /// `receive_buffer n`, bytes of payload.
    pub receive_buffer: Option<u32>,
    /// `send_buffer n`, bytes of payload.
    pub send_buffer: Option<u32>,
    /// `nagle 0|1`
    pub nagle: bool,
    /// `mtu n`
    pub mtu: u16,
    /// `congestion reno|cubic`; where the script does not say, reno in the kernel.
    pub congestion: Option<Algorithm>,
    /// `ecn 0|1|2`: never, always, when asked (Linux: `tcp_ecn`).
    pub ecn: u8,
    /// `timestamps 0|1`
    pub timestamps: bool,
    /// `sack 0|1`
    pub sack: bool,
    /// `user_timeout 5s`: of every connection (Linux: `TCP_USER_TIMEOUT` on the listener).
    pub user_timeout: Option<Duration>,
    /// `kernel 3s` or `kernel skip "reason"`.
    pub kernel: KernelRun,
    /// `proves MUST-12 threats 4.2`: the requirements that cannot be broken without the script failing.
    pub proves: Vec<String>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            only: None,
            ip: Ip::V4,
            backlog: 128,
            somaxconn: 4096,
            max_syn_backlog: 4096,
            syncookies: 1,
            abort_on_overflow: false,
            synack_retries: 5,
            retries: 15,
            syn_retries: 6,
            keepalive: None,
            receive_buffer: None,
            send_buffer: None,
            nagle: true,
            mtu: 1500,
            congestion: None,
            ecn: 2,
            timestamps: true,
            sack: true,
            user_timeout: None,
            kernel: KernelRun::Unsaid,
            proves: Vec::new(),
        }
    }
}

impl Setup {
    /// The address that answers.
    pub fn our_address(&self) -> IpAddr {
        self.address(1)
    }

    /// A router's on the way to everybody.
    pub fn router(&self) -> IpAddr {
        self.address(254)
    }

    /// The segment size that the interface's MTU leaves room for: `$mss` in a script.
    pub fn mss(&self) -> u32 {
        u32::from(self.mtu) - if self.ip == Ip::V6 { 60 } else { 40 }
    }

    /// Our end of the conversation with `peer`.
    pub fn local(&self, peer: &Peer) -> Endpoint {
        Endpoint::new(peer.at.unwrap_or_else(|| self.our_address()), peer.to)
    }

    /// The outside end of the conversation with `peer`.
    pub fn remote(&self, peer: &Peer) -> Endpoint {
        Endpoint::new(peer.address.unwrap_or_else(|| self.address(peer.host)), peer.port)
    }

    /// Host `number` of the script's network, 198.18.0.0/24 (RFC 2544) or 2001:db8::/64.
    fn address(&self, number: u8) -> IpAddr {
        match self.ip {
            Ip::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number.into()).into(),
            Ip::V4 => Ipv4Addr::new(198, 18, 0, number).into(),
        }
    }
}

/// A family of addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ip {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Ip {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// This one only.
    pub fn alone(self) -> &'static [Self] {
        match self {
            Self::V4 => &Self::ALL[..1],
            Self::V6 => &Self::ALL[1..],
        }
    }

    /// Its number, as in `ip 6`.
    pub const fn number(self) -> u8 {
        match self {
            Self::V4 => 4,
            Self::V6 => 6,
        }
    }
}

/// A congestion control of `congestion reno|cubic`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    /// RFC 5681 and RFC 6582.
    Reno,
    /// RFC 9438.
    Cubic,
}

impl Algorithm {
    /// Linux's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reno => "reno",
            Self::Cubic => "cubic",
        }
    }

    /// Reads it.
    pub(super) fn read(line: &mut Line<'_>) -> Result<Self, ScriptError> {
        Ok(if line.choice(&["reno", "cubic"])? == 0 { Self::Reno } else { Self::Cubic })
    }
}

/// What the `keepalive` line sets (Linux: `TCP_KEEPIDLE`, `TCP_KEEPINTVL`, `TCP_KEEPCNT`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keepalive {
    /// Silence before the first probe.
    pub idle: Duration,
    /// Between probes.
    pub interval: Duration,
    /// Probes without answer before the connection is given up.
    pub probes: u8,
}

impl Default for Keepalive {
    /// Linux's times.
    fn default() -> Self {
        Self { idle: Duration::from_secs(7200), interval: Duration::from_secs(75), probes: 9 }
    }
}

/// Whether, and for how long, the kernel plays the script.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KernelRun {
    /// The script does not say yet; no script that has been read is in this state.
    Unsaid,
    /// It needs this long.
    For(Duration),
    /// It does not, for this reason.
    Skip(String),
}

/// Somebody outside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Its name in the script; the one that needs no name is `a`.
    pub name: String,
    /// The last byte of its address.
    pub host: u8,
    /// Its port.
    pub port: u16,
    /// Our port in its conversation.
    pub to: u16,
    /// Its address, where it is not one of the script's network.
    pub address: Option<IpAddr>,
    /// Our address in its conversation, where it is not the usual one.
    pub at: Option<IpAddr>,
}

impl Peer {
    /// The peer that is the `index`th to be mentioned, with the port that falls to it.
    pub(super) fn nth(index: PeerId, name: String) -> Self {
        let offset = u16::try_from(index).unwrap_or(u16::MAX - FIRST_PEER_PORT);
        Self { name, host: 2, port: FIRST_PEER_PORT + offset, to: LISTEN_PORT, address: None, at: None }
    }

    /// Makes its conversation one that is opened from here: our port is no longer the listener's.
    pub(super) fn answers(&mut self, index: PeerId) {
        if self.to == LISTEN_PORT {
            self.to = FIRST_CONNECT_PORT.saturating_add(u16::try_from(index).unwrap_or(0));
        }
    }
}

/// The words that begin header lines.
const WORDS: [&str; 22] = [
    "ip",
    "backlog",
    "somaxconn",
    "max_syn_backlog",
    "syncookies",
    "abort_on_overflow",
    "synack_retries",
    "retries",
    "syn_retries",
    "keepalive",
    "receive_buffer",
    "send_buffer",
    "nagle",
    "mtu",
    "congestion",
    "ecn",
    "timestamps",
    "sack",
    "user_timeout",
    "kernel",
    "peer",
    "proves",
];

/// Whether a line that begins with `word` is a header line.
pub(super) fn is_header(word: &str) -> bool {
    WORDS.contains(&word)
}

/// Reads one header line, `word` being its first.
pub(super) fn read(word: &str, line: &mut Line<'_>, setup: &mut Setup) -> Result<(), ScriptError> {
    match word {
        "ip" => {
            let ip = Ip::ALL[line.choice(&["4", "6"])?];
            (setup.only, setup.ip) = (Some(ip), ip);
        }
        "backlog" => setup.backlog = line.number("a backlog, as in `backlog 8`")?,
        "somaxconn" => setup.somaxconn = line.number("a limit, as in `somaxconn 4096`")?,
        "max_syn_backlog" => setup.max_syn_backlog = line.number("a limit, as in `max_syn_backlog 128`")?,
        "syncookies" => setup.syncookies = line.choice(&["0", "1", "2"])? as u8,
        "abort_on_overflow" => setup.abort_on_overflow = line.choice(&["0", "1"])? == 1,
        "synack_retries" => setup.synack_retries = line.number("a number of retries below 256")?,
        "syn_retries" => setup.syn_retries = line.number("a number of retries below 256")?,
        "retries" => setup.retries = line.number("a number of retries below 256")?,
        "keepalive" => setup.keepalive = Some(keepalive(line)?),
        "receive_buffer" => setup.receive_buffer = Some(line.number("a number of bytes")?),
        "send_buffer" => setup.send_buffer = Some(line.number("a number of bytes")?),
        "nagle" => setup.nagle = line.choice(&["0", "1"])? == 1,
        "mtu" => setup.mtu = line.number("a number of bytes below 65536")?,
        "congestion" => setup.congestion = Some(Algorithm::read(line)?),
        "ecn" => setup.ecn = line.choice(&["0", "1", "2"])? as u8,
        "timestamps" => setup.timestamps = line.choice(&["0", "1"])? == 1,
        "sack" => setup.sack = line.choice(&["0", "1"])? == 1,
        "user_timeout" => setup.user_timeout = Some(line.duration()?),
        "kernel" => setup.kernel = kernel(line)?,
        "proves" => proves(line, &mut setup.proves)?,
        _ => peer(line)?,
    }
    line.end()
}

fn keepalive(line: &mut Line<'_>) -> Result<Keepalive, ScriptError> {
    line.word_is("idle")?;
    let idle = line.duration()?;
    line.word_is("interval")?;
    let interval = line.duration()?;
    line.word_is("probes")?;
    Ok(Keepalive { idle, interval, probes: line.number("a number of probes below 256")? })
}

fn kernel(line: &mut Line<'_>) -> Result<KernelRun, ScriptError> {
    if line.take_word("skip") {
        let reason = line.text("the reason in quotes, as in `kernel skip \"…\"`")?;
        return Ok(KernelRun::Skip(String::from_utf8_lossy(&reason).into_owned()));
    }
    line.duration().map(KernelRun::For)
}

/// `proves MUST-12 RFC-5961 threats 4.2`
fn proves(line: &mut Line<'_>, proves: &mut Vec<String>) -> Result<(), ScriptError> {
    const WANTED: &str = "a requirement, as in `proves MUST-12 threats 4.2`";
    loop {
        let list = line.word(WANTED)?;
        let gap = if line.take_sign("-") { "-" } else { " " };
        proves.push(format!("{list}{gap}{}", line.word(WANTED)?));
        if line.at_end() {
            return Ok(());
        }
    }
}

/// `peer b host 3 port 41000 to 81`, `peer m address "224.0.0.1"`, `peer n at "198.18.0.255"`
fn peer(line: &mut Line<'_>) -> Result<(), ScriptError> {
    let name = line.word("a peer's name, as in `peer b host 3`")?;
    let id = line.peer(name);
    while !line.at_end() {
        match line.choice(&["host", "port", "to", "address", "at"])? {
            0 => line.peers[id].host = line.number("the last byte of an address")?,
            1 => line.peers[id].port = line.number("a port")?,
            2 => line.peers[id].to = line.number("a port")?,
            3 => line.peers[id].address = Some(address(line)?),
            _ => line.peers[id].at = Some(address(line)?),
        }
    }
    Ok(())
}

fn address(line: &mut Line<'_>) -> Result<IpAddr, ScriptError> {
    const WANTED: &str = "an address in quotes, as in `address \"224.0.0.1\"`";
    let text = line.text(WANTED)?;
    match std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok()) {
        Some(address) => Ok(address),
        None => {
            line.back(1);
            line.wanted(WANTED)
        }
    }
}
