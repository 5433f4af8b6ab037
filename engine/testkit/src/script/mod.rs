//! A conversation script, read and checked: what goes in, what must come out, and when.
//!
//! The language is described in `engine/tests/conversations/README.md`.

mod breaking;
mod header;
mod icmp;
mod lexer;
mod line;
mod parser;
mod segment;
mod setting;
mod step;

#[cfg(test)]
mod tests;

pub use header::{Algorithm, Ip, Keepalive, KernelRun, LISTEN_PORT, Peer, Setup};
pub use icmp::{IcmpKind, IcmpLine};
pub use segment::LETTERS as FLAG_LETTERS;
pub use setting::Setting;

use crate::target::{Direction, Queue, Ready};
use crate::wire::EcnMark;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use synward_proto::Flags;

/// A script.
#[derive(Clone, Debug)]
pub struct Script {
    /// The file's name without its ending.
    pub name: String,
    /// Where it was read.
    pub path: PathBuf,
    /// What the header lines ask for.
    pub setup: Setup,
    /// Everybody who speaks from outside; [`PeerId`] counts into it. The first is the one who needs no name.
    pub peers: Vec<Peer>,
    /// What happens, loops unrolled.
    pub steps: Vec<Step>,
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// The first place where the text is not a script, and what would be right there; or that the file cannot be read.
    pub fn read(path: &Path) -> Result<Self, ScriptError> {
        let text = std::fs::read_to_string(path).map_err(|error| ScriptError {
            path: path.to_owned(),
            line: 0,
            column: 0,
            text: String::new(),
            message: error.to_string(),
        })?;
        Self::parse(path, &text)
    }

    /// Reads a script from its text; `path` is for messages and for the name.
    ///
    /// # Errors
    /// The first place where the text is not a script, and what would be right there.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ScriptError> {
        parser::parse(path, text)
    }

    /// The families that the script is for.
    pub fn families(&self) -> &'static [Ip] {
        self.setup.only.map_or(&Ip::ALL, Ip::alone)
    }

    /// The script in one of its families.
    #[must_use]
    pub fn over(&self, ip: Ip) -> Self {
        let mut script = self.clone();
        script.setup.ip = ip;
        script
    }

    /// The names of all counters that the script mentions on `target`.
    pub fn counters(&self, target: TargetKind) -> impl Iterator<Item = &str> {
        self.steps_for(target).filter_map(|step| match &step.action {
            Action::Counter { name, .. } => Some(name.as_str()),
            _ => None,
        })
    }

    /// The steps that `target` takes.
    pub fn steps_for(&self, target: TargetKind) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(move |step| step.is_for(target, self.setup.ip))
    }
}

/// Who answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TargetKind {
    /// Synward's engine, in virtual time.
    Engine,
    /// The Linux kernel, in real time: the oracle.
    Kernel,
}

impl fmt::Display for TargetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Engine => "engine",
            Self::Kernel => "kernel",
        })
    }
}

/// An index into [`Script::peers`].
pub type PeerId = usize;

/// One line of a script, for one turn of the loops around it.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its line in the file, from 1.
    pub line: usize,
    /// The line as written.
    pub text: String,
    /// The target it is meant for, when not for all.
    pub only: Option<TargetKind>,
    /// The family it is meant for, when not for both.
    pub ip: Option<Ip>,
    /// When it happens.
    pub when: When,
    /// What happens.
    pub action: Action,
}

impl Step {
    /// Whether it is one of `target` in a conversation over `ip`.
    pub fn is_for(&self, target: TargetKind, ip: Ip) -> bool {
        self.only.is_none_or(|only| only == target) && self.ip.is_none_or(|only| only == ip)
    }
}

/// When a line happens, in time since the start of the script.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// At the time of the line before.
    Same,
    /// `@12ms`
    At(Duration),
    /// `@+12ms`: so long after the line before.
    After(Duration),
    /// `@1s..1.2s`, of a segment that comes out: any time between the two.
    Between(Duration, Duration),
}

/// What a line does or demands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// `->`: the segment goes in.
    Inject(SegmentLine),
    /// `<-`: the segment must come out.
    Expect(SegmentLine),
    /// `-> icmp …`: an error about a segment that came out goes in.
    Icmp(IcmpLine),
    /// `mtu n`: the interface's MTU changes.
    Mtu(u16),
    /// `listen port …`: another listener.
    Listen {
        /// Its port.
        port: u16,
        /// What the call gives.
        outcome: Outcome<()>,
    },
    /// `silence`: nothing comes out before this line's time.
    Silence,
    /// `accept …`
    Accept(Outcome<Accepted>),
    /// `connect $c …`: an active open towards a peer begins.
    Connect {
        /// The name of the new socket.
        socket: String,
        /// Whom to.
        peer: PeerId,
        /// What the call gives.
        outcome: Outcome<()>,
    },
    /// `connected $c …`: how the active open stands.
    Connected {
        /// The socket.
        socket: String,
        /// How it stands.
        outcome: Outcome<()>,
    },
    /// `read $c …`
    Read {
        /// The socket.
        socket: String,
        /// What the read gives.
        outcome: Outcome<Reading>,
    },
    /// `poll $c in out hup err`: what it can do now.
    Poll {
        /// The socket.
        socket: String,
        /// All that it can do.
        ready: Ready,
    },
    /// `inq $c n`, `outq $c n`: so many bytes wait to be read, or to be acknowledged.
    Queued {
        /// The socket.
        socket: String,
        /// Which way.
        queue: Queue,
        /// How many.
        bytes: u64,
    },
    /// `info $c field n …`: what TCP_INFO tells.
    Info {
        /// The socket.
        socket: String,
        /// Fields by Linux's names, without `tcpi_`.
        fields: Vec<(String, u64)>,
    },
    /// `set $c nodelay 1`
    Set {
        /// The socket.
        socket: String,
        /// What is set.
        setting: Setting,
        /// What the call gives.
        outcome: Outcome<()>,
    },
    /// `write $c …`
    Write {
        /// The socket.
        socket: String,
        /// What is written.
        payload: Bytes,
        /// How much of it the socket takes.
        outcome: Outcome<Taken>,
    },
    /// `shutdown $c [read|both]`: no more will be written, or read.
    Shutdown {
        /// The socket.
        socket: String,
        /// Which way.
        direction: Direction,
    },
    /// `close $c`
    Close {
        /// The socket.
        socket: String,
    },
    /// `abort $c`: close with linger zero.
    Abort {
        /// The socket.
        socket: String,
    },
    /// `counter Name +n`: it rose by exactly `rise` since it was last mentioned, or since the start.
    Counter {
        /// Linux's name.
        name: String,
        /// By how much it rose.
        rise: u64,
    },
    /// `drop reason n`: so many frames died for this reason since it was last mentioned, or since the start.
    Drop {
        /// The reason's name.
        reason: String,
        /// How many.
        count: u64,
    },
    /// `half_open n`: so many connections are half open now.
    HalfOpen(u64),
}

/// What a socket call must give.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome<T> {
    /// It succeeds, with this.
    Done(T),
    /// It would block (EAGAIN).
    Blocks,
    /// It fails with this error, by its name in errno(3).
    Error(String),
}

/// `accept $c from b`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// The name of the new socket.
    pub socket: String,
    /// Whose connection it must be, when that is said.
    pub from: Option<PeerId>,
}

/// What a read gives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reading {
    /// End of file.
    Eof,
    /// Exactly so many bytes; these, or else the ones that went in.
    Data {
        /// How many.
        len: usize,
        /// Their values, when the line says them.
        bytes: Option<Vec<u8>>,
    },
}

/// How much of a write the socket takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// All.
    All,
    /// So many bytes.
    Some(usize),
}

/// Bytes as a line says them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Bytes {
    /// `data "…"` or `"…"`: these.
    Literal(Vec<u8>),
    /// `len n`: so many, of the pattern that belongs to their place in the stream ([`pattern`]).
    Pattern(usize),
}

/// The byte that `len` puts at `offset` of a stream, so that a byte lost, doubled or moved is seen. The period is prime
/// and no divisor of a segment size.
pub const fn pattern(offset: usize) -> u8 {
    (offset % 251) as u8
}

/// A segment as a line writes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SegmentLine {
    /// The peer that sends it or that it is for.
    pub peer: PeerId,
    /// Control bits.
    pub flags: Flags,
    /// Control bits that may be set or not: those that the line writes in small letters.
    pub optional: Flags,
    /// Sequence number.
    pub seq: Option<Expr>,
    /// Acknowledgment number.
    pub ack: Option<Expr>,
    /// Window field, unscaled.
    pub window: Option<Expr>,
    /// Urgent pointer.
    pub urgent: Option<Expr>,
    /// Payload.
    pub payload: Option<Bytes>,
    /// Options, in order.
    pub options: Vec<OptionLine>,
    /// `..`: what is not said is not looked at.
    pub open: bool,
    /// `badsum`: goes in with a wrong checksum.
    pub bad_checksum: bool,
    /// What its IP header and frame say.
    pub envelope: EnvelopeLine,
}

/// What a line says of the headers before TCP's.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EnvelopeLine {
    /// `ect0`, `ect1`, `ce`: the ECN mark of the IP header.
    pub ecn: Option<EcnMark>,
    /// `tos n`: the Diffserv field, ECN's bits zero.
    pub tos: Option<Expr>,
    /// `ttl n`: time to live or hop limit.
    pub ttl: Option<Expr>,
    /// `id n`: identification of IPv4.
    pub id: Option<Expr>,
    /// `vlan n`, once or twice: VLAN identifiers, outer first.
    pub vlans: Vec<u16>,
    /// `ipoptions 0101…`: options of IPv4. Only for what goes in.
    pub options: Vec<u8>,
    /// `fragment`: goes in as the first fragment of more. Only for what goes in.
    pub fragment: bool,
}

/// An option as a line writes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OptionLine {
    /// `mss n`
    Mss(Expr),
    /// `sack`: SACK permitted.
    SackPermitted,
    /// `sackblocks a-b c-d`
    SackBlocks(Vec<(Expr, Expr)>),
    /// `ws n`
    WindowScale(Expr),
    /// `ts value/echo`
    Timestamps(Expr, Expr),
    /// `nop`: written when it goes in, never compared.
    Nop,
    /// `raw 0303ff`: these bytes, whatever they mean. Only for what goes in.
    Raw(Vec<u8>),
}

/// A number of a line: known, computed from values seen before, or to be bound.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Expr {
    /// `_`: any value, not kept.
    Any,
    /// A sum of numbers and names.
    Sum(Vec<Term>),
}

impl Expr {
    /// The name that stands alone here, and would be bound when it has no value yet.
    pub fn bare_name(&self) -> Option<&ValueName> {
        match self {
            Self::Sum(terms) => match terms.as_slice() {
                [Term { negative: false, atom: Atom::Name(name) }] => Some(name),
                _ => None,
            },
            Self::Any => None,
        }
    }

    /// One more; `None` where any value would do.
    pub(super) fn plus_one(&self) -> Option<Self> {
        let Self::Sum(terms) = self else { return None };
        let one = Term { negative: false, atom: Atom::Number(1) };
        Some(Self::Sum(terms.iter().cloned().chain([one]).collect()))
    }
}

/// One addend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Term {
    /// Whether it is subtracted.
    pub negative: bool,
    /// What is added.
    pub atom: Atom,
}

/// A number or the name of one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Atom {
    /// A number.
    Number(u32),
    /// A name.
    Name(ValueName),
}

/// The name of a value. Values belong to the peer on whose line they were first seen; `$b.iss` is `b`'s `$iss`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ValueName {
    /// The peer named before the dot.
    pub peer: Option<PeerId>,
    /// The name.
    pub name: String,
}

impl fmt::Display for ValueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${}", self.name)
    }
}

/// Where a text is not a script, and what would be right there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScriptError {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// The line as written.
    pub text: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, column, text, message } = self;
        write!(f, "{}:{line}:{column}: {message}", path.display())?;
        if !text.is_empty() {
            write!(f, "\n  | {text}\n  | {:>column$}", "^")?;
        }
        Ok(())
    }
}

impl std::error::Error for ScriptError {}
