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
    /// `ip 6`: whether the conversation runs over IPv6.
    pub ipv6: bool,
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
    /// `kernel 3s` or `kernel skip "reason"`.
    pub kernel: KernelRun,
    /// `proves MUST-12 threats 4.2`: the requirements that cannot be broken without the script failing.
    pub proves: Vec<String>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            ipv6: false,
            backlog: 128,
            somaxconn: 4096,
            max_syn_backlog: 4096,
            syncookies: 1,
            abort_on_overflow: false,
            synack_retries: 5,
            retries: 15,
            keepalive: None,
            receive_buffer: None,
            send_buffer: None,
            nagle: true,
            mtu: 1500,
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

    /// Our end of the conversation with `peer`.
    pub fn local(&self, peer: &Peer) -> Endpoint {
        Endpoint::new(self.our_address(), peer.to)
    }

    /// The outside end of the conversation with `peer`.
    pub fn remote(&self, peer: &Peer) -> Endpoint {
        Endpoint::new(self.address(peer.host), peer.port)
    }

    /// Host `number` of the script's network, 198.18.0.0/24 (RFC 2544) or 2001:db8::/64.
    fn address(&self, number: u8) -> IpAddr {
        if self.ipv6 {
            Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number.into()).into()
        } else {
            Ipv4Addr::new(198, 18, 0, number).into()
        }
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
}

impl Peer {
    /// The peer that is the `index`th to be mentioned, with the port that falls to it.
    pub(super) fn nth(index: PeerId, name: String) -> Self {
        let offset = u16::try_from(index).unwrap_or(u16::MAX - FIRST_PEER_PORT);
        Self { name, host: 2, port: FIRST_PEER_PORT + offset, to: LISTEN_PORT }
    }

    /// Makes its conversation one that is opened from here: our port is no longer the listener's.
    pub(super) fn answers(&mut self, index: PeerId) {
        if self.to == LISTEN_PORT {
            self.to = FIRST_CONNECT_PORT.saturating_add(u16::try_from(index).unwrap_or(0));
        }
    }
}

/// The words that begin header lines.
const WORDS: [&str; 16] = [
    "ip",
    "backlog",
    "somaxconn",
    "max_syn_backlog",
    "syncookies",
    "abort_on_overflow",
    "synack_retries",
    "retries",
    "keepalive",
    "receive_buffer",
    "send_buffer",
    "nagle",
    "mtu",
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
        "ip" => setup.ipv6 = line.choice(&["4", "6"])? == 1,
        "backlog" => setup.backlog = line.number("a backlog, as in `backlog 8`")?,
        "somaxconn" => setup.somaxconn = line.number("a limit, as in `somaxconn 4096`")?,
        "max_syn_backlog" => setup.max_syn_backlog = line.number("a limit, as in `max_syn_backlog 128`")?,
        "syncookies" => setup.syncookies = line.choice(&["0", "1", "2"])? as u8,
        "abort_on_overflow" => setup.abort_on_overflow = line.choice(&["0", "1"])? == 1,
        "synack_retries" => setup.synack_retries = line.number("a number of retries below 256")?,
        "retries" => setup.retries = line.number("a number of retries below 256")?,
        "keepalive" => setup.keepalive = Some(keepalive(line)?),
        "receive_buffer" => setup.receive_buffer = Some(line.number("a number of bytes")?),
        "send_buffer" => setup.send_buffer = Some(line.number("a number of bytes")?),
        "nagle" => setup.nagle = line.choice(&["0", "1"])? == 1,
        "mtu" => setup.mtu = line.number("a number of bytes below 65536")?,
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

/// `peer b host 3 port 41000 to 81`
fn peer(line: &mut Line<'_>) -> Result<(), ScriptError> {
    let name = line.word("a peer's name, as in `peer b host 3`")?;
    let id = line.peer(name);
    while !line.at_end() {
        match line.choice(&["host", "port", "to"])? {
            0 => line.peers[id].host = line.number("the last byte of an address")?,
            1 => line.peers[id].port = line.number("a port")?,
            _ => line.peers[id].to = line.number("a port")?,
        }
    }
    Ok(())
}
