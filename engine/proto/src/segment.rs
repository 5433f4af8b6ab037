//! A TCP segment after the door: everything a peer says has become a checked type.

use crate::{SeqNum, Tuple};
use bitflags::bitflags;
use core::fmt;

bitflags! {
    /// The control bits (RFC 9293, section 3.1; ECE and CWR from RFC 3168, AE from RFC 9768).
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct Flags: u16 {
        /// No more data from the sender.
        const FIN = 0x001;
        /// Synchronise sequence numbers.
        const SYN = 0x002;
        /// Reset the connection.
        const RST = 0x004;
        /// Push function.
        const PSH = 0x008;
        /// The acknowledgment field is significant.
        const ACK = 0x010;
        /// The urgent field is significant.
        const URG = 0x020;
        /// ECN-echo.
        const ECE = 0x040;
        /// Congestion window reduced.
        const CWR = 0x080;
        /// Accurate ECN.
        const AE = 0x100;
    }
}

/// What the two ECN bits of an IP header say (RFC 3168, section 5).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(u8)]
pub enum Codepoint {
    /// Not ECN-capable: a congested router drops it.
    #[default]
    NotEct = 0b00,
    /// ECN-capable, ECT(1).
    Ect1 = 0b01,
    /// ECN-capable, ECT(0).
    Ect0 = 0b10,
    /// A router on the way was congested.
    Ce = 0b11,
}

impl Codepoint {
    /// The bits within a traffic class or type of service.
    pub const MASK: u8 = 0b11;

    /// The codepoint in a traffic class or type of service.
    pub const fn of(traffic_class: u8) -> Self {
        match traffic_class & Self::MASK {
            0b00 => Self::NotEct,
            0b01 => Self::Ect1,
            0b10 => Self::Ect0,
            _ => Self::Ce,
        }
    }
}

/// What the IP header of a segment of ours says besides the addresses.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Marking {
    /// The differentiated services field, in the upper six bits of the octet (RFC 2474; MUST-48, SHLD-22). The lower two are
    /// taken from `ecn`.
    pub service: u8,
    /// The ECN bits.
    pub ecn: Codepoint,
    /// Time to live or hop limit (MUST-49).
    pub hop_limit: u8,
}

impl Marking {
    /// Best effort, not ECN-capable, 64 hops (Linux: `ip_default_ttl`, `IPV6_DEFAULT_HOPLIMIT`).
    pub const DEFAULT: Self = Self { service: 0, ecn: Codepoint::NotEct, hop_limit: 64 };

    /// The octet of the IP header.
    pub const fn traffic_class(self) -> u8 {
        self.service & !Codepoint::MASK | self.ecn as u8
    }

    /// The same, ECN-capable or not.
    #[must_use]
    pub const fn with(self, ecn: Codepoint) -> Self {
        Self { ecn, ..self }
    }
}

impl Default for Marking {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A link-layer address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct MacAddr(pub [u8; 6]);

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// One VLAN tag: protocol (0x8100 or 0x88a8) and tag control information, in host order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct VlanTag {
    /// The tag protocol identifier.
    pub protocol: u16,
    /// Priority, drop eligibility and VLAN identifier.
    pub control: u16,
}

/// The way to a neighbour: link addresses, and the VLAN tags its frames carry (outermost first, at most two).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Link {
    /// Our address.
    pub local: MacAddr,
    /// The neighbour's address.
    pub remote: MacAddr,
    /// The outer tag, if any.
    pub outer: Option<VlanTag>,
    /// The inner tag, if any; only with an outer one.
    pub inner: Option<VlanTag>,
}

/// A maximum segment size: payload bytes, options not counted (RFC 9293, section 3.7.1; RFC 6691).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Mss(u16);

impl Mss {
    /// The least that is honoured, as in Linux (`TCP_MIN_SND_MSS`).
    pub const MIN: Self = Self(48);
    /// What an IPv4 peer accepts when it says nothing (MUST-15).
    pub const DEFAULT_V4: Self = Self(536);
    /// What an IPv6 peer accepts when it says nothing (MUST-15).
    pub const DEFAULT_V6: Self = Self(1220);

    /// Checks what a peer announced: zero counts as absent, less than [`Self::MIN`] is raised to it.
    pub const fn announced(raw: u16) -> Option<Self> {
        match raw {
            0 => None,
            1..48 => Some(Self::MIN),
            _ => Some(Self(raw)),
        }
    }

    /// The size in bytes.
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// A window scale shift, at most 14 (RFC 7323, section 2.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct WindowScale(u8);

impl WindowScale {
    /// No shift: what holds without the option.
    pub const NONE: Self = Self(0);
    /// The largest shift.
    pub const MAX: Self = Self(14);

    /// A shift; a larger one counts as 14 (RFC 7323, section 2.3).
    pub const fn clamped(raw: u8) -> Self {
        if raw > 14 { Self::MAX } else { Self(raw) }
    }

    /// The shift in bits.
    pub const fn shift(self) -> u8 {
        self.0
    }
}

/// The timestamps option (RFC 7323, section 3.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Timestamps {
    /// TSval: the sender's clock.
    pub value: u32,
    /// TSecr: the clock value echoed; meaningful only with ACK.
    pub echo: u32,
}

/// One block of received data (RFC 2018, section 3): `[start, end)`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct SackBlock {
    /// The first sequence number of the block.
    pub start: SeqNum,
    /// The one after its last.
    pub end: SeqNum,
}

impl SackBlock {
    /// Whether `seq` is the number of a byte in it.
    pub fn contains(&self, seq: SeqNum) -> bool {
        !seq.before(self.start) && seq.before(self.end)
    }
}

/// At most four SACK blocks, in the order of the option.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct SackBlocks {
    blocks: [SackBlock; 4],
    len: u8,
}

impl SackBlocks {
    /// No blocks.
    pub const NONE: Self = Self { blocks: [SackBlock { start: SeqNum(0), end: SeqNum(0) }; 4], len: 0 };

    /// Adds a block; false when four are there already.
    pub fn push(&mut self, block: SackBlock) -> bool {
        let Some(slot) = self.blocks.get_mut(usize::from(self.len)) else { return false };
        *slot = block;
        self.len += 1;
        true
    }

    /// The blocks.
    pub fn as_slice(&self) -> &[SackBlock] {
        &self.blocks[..usize::from(self.len)]
    }
}

/// Options that may stand on a SYN or SYN-ACK.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct SynOptions {
    /// Maximum segment size.
    pub mss: Option<Mss>,
    /// Window scale.
    pub window_scale: Option<WindowScale>,
    /// SACK permitted (RFC 2018, section 2).
    pub sack_permitted: bool,
    /// Timestamps.
    pub timestamps: Option<Timestamps>,
}

/// Options that may stand on any other segment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct DataOptions {
    /// Timestamps.
    pub timestamps: Option<Timestamps>,
    /// SACK blocks.
    pub sack: SackBlocks,
}

/// Options, typed by the kind of segment they stand on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Options {
    /// On a segment with SYN.
    Syn(SynOptions),
    /// On a segment without SYN.
    Data(DataOptions),
}

impl Options {
    /// No options on a segment without SYN.
    pub const NONE: Self = Self::Data(DataOptions { timestamps: None, sack: SackBlocks::NONE });

    /// The timestamps, wherever they stand.
    pub const fn timestamps(&self) -> Option<Timestamps> {
        match self {
            Self::Syn(options) => options.timestamps,
            Self::Data(options) => options.timestamps,
        }
    }
}

/// A range of bytes within a frame.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Span {
    /// Offset of the first byte from the start of the frame.
    pub start: u16,
    /// Length in bytes.
    pub len: u16,
}

impl Span {
    /// The bytes of `frame` in this range; empty when the range does not lie within it.
    pub fn of(self, frame: &[u8]) -> &[u8] {
        let start = usize::from(self.start);
        frame.get(start..start + usize::from(self.len)).unwrap_or_default()
    }

    /// This range without its first `n` bytes.
    pub const fn skip(self, n: u16) -> Self {
        let n = if n > self.len { self.len } else { n };
        Self { start: self.start + n, len: self.len - n }
    }

    /// The first `n` bytes of this range.
    pub const fn truncate(self, n: u16) -> Self {
        Self { len: if n < self.len { n } else { self.len }, ..self }
    }
}

/// A received segment, checked. It owns no bytes: `payload` names a range of the frame it was parsed from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// The way back to the neighbour that sent the frame.
    pub link: Link,
    /// Local is the destination, remote the source.
    pub tuple: Tuple,
    /// Sequence number.
    pub seq: SeqNum,
    /// Acknowledgment number; significant only with [`Flags::ACK`].
    pub ack: SeqNum,
    /// Control bits.
    pub flags: Flags,
    /// Window field, unscaled.
    pub window: u16,
    /// What the IP header says of congestion.
    pub ecn: Codepoint,
    /// Options.
    pub options: Options,
    /// Payload within the frame.
    pub payload: Span,
    /// Whether the TCP checksum was the unfinished form that a virtual device leaves (the pseudo-header sum).
    pub unfinished_checksum: bool,
}

impl Segment {
    /// SEG.LEN: payload plus one each for SYN and FIN (RFC 9293, section 3.4).
    pub fn seq_len(&self) -> u32 {
        let control = self.flags.contains(Flags::SYN) as u32 + self.flags.contains(Flags::FIN) as u32;
        u32::from(self.payload.len) + control
    }
}

/// The header of a segment to send. `tuple` is ours: local is the source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// Local is the source, remote the destination.
    pub tuple: Tuple,
    /// Sequence number.
    pub seq: SeqNum,
    /// Acknowledgment number; written as zero without [`Flags::ACK`].
    pub ack: SeqNum,
    /// Control bits.
    pub flags: Flags,
    /// Window field, already scaled down.
    pub window: u16,
    /// Options, written in Linux's order and padding.
    pub options: Options,
    /// What stands in the IP header.
    pub marking: Marking,
}
