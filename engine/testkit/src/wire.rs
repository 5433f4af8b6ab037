//! Frames, written and read by hand.
//!
//! The judge does not borrow from the judged: nothing here uses `synward_proto::wire`. Every checksum and length of what
//! comes out is checked, and options keep the order in which they stood.

use std::fmt;
use std::net::IpAddr;
use synward_proto::{Endpoint, Flags};

const ETHERNET: usize = 14;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const TCP: u8 = 6;

/// A TCP segment with its addresses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WireSegment {
    /// The sender.
    pub source: Endpoint,
    /// The receiver.
    pub destination: Endpoint,
    /// Control bits.
    pub flags: Flags,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number, as it stands in the header even without ACK.
    pub ack: u32,
    /// Window field.
    pub window: u16,
    /// Urgent pointer.
    pub urgent: u16,
    /// Options in order, without NOP and end-of-options.
    pub options: Vec<WireOption>,
    /// Payload.
    pub payload: Vec<u8>,
}

/// A TCP option.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WireOption {
    /// Maximum segment size.
    Mss(u16),
    /// SACK permitted.
    SackPermitted,
    /// SACK blocks.
    SackBlocks(Vec<(u32, u32)>),
    /// Window scale.
    WindowScale(u8),
    /// Timestamps: value and echo.
    Timestamps(u32, u32),
    /// No operation: only written, to place what follows.
    Nop,
    /// Anything else, from kind to end.
    Raw(Vec<u8>),
}

/// Link addresses of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Macs {
    /// The receiver's.
    pub destination: [u8; 6],
    /// The sender's.
    pub source: [u8; 6],
}

impl Macs {
    /// The addresses of the answer.
    pub const fn reversed(self) -> Self {
        Self { destination: self.source, source: self.destination }
    }
}

/// What is wrong with a frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WireError {
    /// It is not TCP over IPv4 or IPv6: something else, such as neighbour discovery.
    NotTcp,
    /// It is meant to be TCP and is not well formed.
    Malformed(&'static str),
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTcp => f.write_str("not TCP"),
            Self::Malformed(what) => write!(f, "malformed: {what}"),
        }
    }
}

/// Writes `segment` as an Ethernet frame; with `bad_checksum` its TCP checksum is off by one bit.
pub fn encode(macs: Macs, segment: &WireSegment, bad_checksum: bool) -> Vec<u8> {
    let mut tcp = tcp_bytes(segment);
    let mut sum = pseudo_header_sum(segment.source.addr, segment.destination.addr, tcp.len());
    sum = add_bytes(sum, &tcp);
    let checksum = !fold(sum) ^ u16::from(bad_checksum);
    tcp[16..18].copy_from_slice(&checksum.to_be_bytes());
    let mut frame = Vec::with_capacity(ETHERNET + 40 + tcp.len());
    frame.extend_from_slice(&macs.destination);
    frame.extend_from_slice(&macs.source);
    match (segment.source.addr, segment.destination.addr) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            frame.extend_from_slice(&IPV4.to_be_bytes());
            let length = (20 + tcp.len()) as u16;
            let mut header = [0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, TCP, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            header[2..4].copy_from_slice(&length.to_be_bytes());
            header[12..16].copy_from_slice(&source.octets());
            header[16..20].copy_from_slice(&destination.octets());
            let checksum = !fold(add_bytes(0, &header));
            header[10..12].copy_from_slice(&checksum.to_be_bytes());
            frame.extend_from_slice(&header);
        }
        (source, destination) => {
            frame.extend_from_slice(&IPV6.to_be_bytes());
            frame.extend_from_slice(&[0x60, 0, 0, 0]);
            frame.extend_from_slice(&(tcp.len() as u16).to_be_bytes());
            frame.extend_from_slice(&[TCP, 64]);
            frame.extend_from_slice(&address_bytes(source));
            frame.extend_from_slice(&address_bytes(destination));
        }
    }
    frame.extend_from_slice(&tcp);
    frame
}

fn tcp_bytes(segment: &WireSegment) -> Vec<u8> {
    let mut options = Vec::new();
    for option in &segment.options {
        write_option(option, &mut options);
    }
    options.resize(options.len().next_multiple_of(4), 1);
    let words = 5 + options.len() / 4;
    let mut tcp = Vec::with_capacity(words * 4 + segment.payload.len());
    tcp.extend_from_slice(&segment.source.port.to_be_bytes());
    tcp.extend_from_slice(&segment.destination.port.to_be_bytes());
    tcp.extend_from_slice(&segment.seq.to_be_bytes());
    tcp.extend_from_slice(&segment.ack.to_be_bytes());
    tcp.extend_from_slice(&(((words as u16) << 12) | segment.flags.bits()).to_be_bytes());
    tcp.extend_from_slice(&segment.window.to_be_bytes());
    tcp.extend_from_slice(&[0, 0]);
    tcp.extend_from_slice(&segment.urgent.to_be_bytes());
    tcp.extend_from_slice(&options);
    tcp.extend_from_slice(&segment.payload);
    tcp
}

fn write_option(option: &WireOption, out: &mut Vec<u8>) {
    match option {
        WireOption::Mss(mss) => {
            out.extend_from_slice(&[2, 4]);
            out.extend_from_slice(&mss.to_be_bytes());
        }
        WireOption::SackPermitted => out.extend_from_slice(&[4, 2]),
        WireOption::SackBlocks(blocks) => {
            out.extend_from_slice(&[5, 2 + 8 * blocks.len() as u8]);
            for (start, end) in blocks {
                out.extend_from_slice(&start.to_be_bytes());
                out.extend_from_slice(&end.to_be_bytes());
            }
        }
        WireOption::WindowScale(shift) => out.extend_from_slice(&[3, 3, *shift]),
        WireOption::Timestamps(value, echo) => {
            out.extend_from_slice(&[8, 10]);
            out.extend_from_slice(&value.to_be_bytes());
            out.extend_from_slice(&echo.to_be_bytes());
        }
        WireOption::Nop => out.push(1),
        WireOption::Raw(bytes) => out.extend_from_slice(bytes),
    }
}

/// Reads an Ethernet frame.
///
/// # Errors
/// When it is not TCP, or any length or checksum in it is wrong.
pub fn decode(frame: &[u8]) -> Result<(Macs, WireSegment), WireError> {
    let (ethernet, packet) = frame.split_at_checked(ETHERNET).ok_or(WireError::Malformed("shorter than Ethernet"))?;
    let macs = Macs { destination: array(ethernet, 0), source: array(ethernet, 6) };
    let (source, destination, tcp) = match u16::from_be_bytes(array(ethernet, 12)) {
        IPV4 => ipv4(packet)?,
        IPV6 => ipv6(packet)?,
        _ => return Err(WireError::NotTcp),
    };
    if fold(add_bytes(pseudo_header_sum(source, destination, tcp.len()), tcp)) != 0xffff {
        return Err(WireError::Malformed("wrong TCP checksum"));
    }
    if tcp.len() < 20 {
        return Err(WireError::Malformed("shorter than a TCP header"));
    }
    let control = u16::from_be_bytes(array(tcp, 12));
    let header = usize::from(control >> 12) * 4;
    if header < 20 || header > tcp.len() {
        return Err(WireError::Malformed("TCP data offset"));
    }
    let flags = Flags::from_bits(control & 0x0fff).ok_or(WireError::Malformed("reserved control bits are set"))?;
    let segment = WireSegment {
        source: Endpoint::new(source, u16::from_be_bytes(array(tcp, 0))),
        destination: Endpoint::new(destination, u16::from_be_bytes(array(tcp, 2))),
        flags,
        seq: u32::from_be_bytes(array(tcp, 4)),
        ack: u32::from_be_bytes(array(tcp, 8)),
        window: u16::from_be_bytes(array(tcp, 14)),
        urgent: u16::from_be_bytes(array(tcp, 18)),
        options: read_options(&tcp[20..header])?,
        payload: tcp[header..].to_vec(),
    };
    Ok((macs, segment))
}

type Packet<'a> = (IpAddr, IpAddr, &'a [u8]);

fn ipv4(packet: &[u8]) -> Result<Packet<'_>, WireError> {
    if packet.len() < 20 || packet[0] >> 4 != 4 {
        return Err(WireError::Malformed("not an IPv4 header"));
    }
    let header = usize::from(packet[0] & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes(array(packet, 2)));
    if header < 20 || total < header || total > packet.len() {
        return Err(WireError::Malformed("IPv4 lengths"));
    }
    if packet[9] != TCP {
        return Err(WireError::NotTcp);
    }
    if fold(add_bytes(0, &packet[..header])) != 0xffff {
        return Err(WireError::Malformed("wrong IPv4 checksum"));
    }
    if u16::from_be_bytes(array(packet, 6)) & 0x3fff != 0 {
        return Err(WireError::Malformed("a fragment"));
    }
    let source: [u8; 4] = array(packet, 12);
    let destination: [u8; 4] = array(packet, 16);
    Ok((source.into(), destination.into(), &packet[header..total]))
}

fn ipv6(packet: &[u8]) -> Result<Packet<'_>, WireError> {
    if packet.len() < 40 || packet[0] >> 4 != 6 {
        return Err(WireError::Malformed("not an IPv6 header"));
    }
    if packet[6] != TCP {
        return Err(WireError::NotTcp);
    }
    let length = usize::from(u16::from_be_bytes(array(packet, 4)));
    let payload = packet[40..].get(..length).ok_or(WireError::Malformed("IPv6 payload length"))?;
    let source: [u8; 16] = array(packet, 8);
    let destination: [u8; 16] = array(packet, 24);
    Ok((source.into(), destination.into(), payload))
}

fn read_options(mut bytes: &[u8]) -> Result<Vec<WireOption>, WireError> {
    let mut options = Vec::new();
    while let Some(&kind) = bytes.first() {
        match kind {
            0 => break,
            1 => bytes = &bytes[1..],
            _ => {
                let length = bytes.get(1).copied().map_or(0, usize::from);
                if length < 2 || length > bytes.len() {
                    return Err(WireError::Malformed("length of a TCP option"));
                }
                let (option, rest) = bytes.split_at(length);
                options.push(read_option(option)?);
                bytes = rest;
            }
        }
    }
    Ok(options)
}

fn read_option(option: &[u8]) -> Result<WireOption, WireError> {
    Ok(match (option[0], option.len()) {
        (2, 4) => WireOption::Mss(u16::from_be_bytes(array(option, 2))),
        (3, 3) => WireOption::WindowScale(option[2]),
        (4, 2) => WireOption::SackPermitted,
        (5, length) if length > 2 && (length - 2) % 8 == 0 => WireOption::SackBlocks(
            option[2..]
                .chunks(8)
                .map(|block| (u32::from_be_bytes(array(block, 0)), u32::from_be_bytes(array(block, 4))))
                .collect(),
        ),
        (8, 10) => WireOption::Timestamps(u32::from_be_bytes(array(option, 2)), u32::from_be_bytes(array(option, 6))),
        (2..=5 | 8, _) => return Err(WireError::Malformed("length of a known TCP option")),
        _ => WireOption::Raw(option.to_vec()),
    })
}

/// `N` bytes from `at`, which the caller has checked to be there.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

fn address_bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// The checksum's sum over the pseudo-header (RFC 9293, section 3.1; RFC 8200, section 8.1).
fn pseudo_header_sum(source: IpAddr, destination: IpAddr, length: usize) -> u64 {
    let addresses = [source, destination].into_iter().fold(0, |sum, address| match address {
        IpAddr::V4(v4) => add_bytes(sum, &v4.octets()),
        IpAddr::V6(v6) => add_bytes(sum, &v6.octets()),
    });
    addresses + u64::from(TCP) + length as u64
}

fn add_bytes(sum: u64, bytes: &[u8]) -> u64 {
    bytes.chunks(2).fold(sum, |sum, pair| {
        let low = pair.get(1).copied().unwrap_or(0);
        sum + u64::from(u16::from_be_bytes([pair[0], low]))
    })
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// A segment in the words of a script, without its arrow.
impl fmt::Display for WireSegment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters: String = crate::script::FLAG_LETTERS
            .iter()
            .filter(|(_, flag)| self.flags.contains(*flag))
            .map(|(c, _)| *c)
            .collect();
        write!(f, "{} seq {}", if letters.is_empty() { "0" } else { &letters }, self.seq)?;
        if self.flags.contains(Flags::ACK) || self.ack != 0 {
            write!(f, " ack {}", self.ack)?;
        }
        write!(f, " win {}", self.window)?;
        if self.urgent != 0 {
            write!(f, " urg {}", self.urgent)?;
        }
        match std::str::from_utf8(&self.payload) {
            Ok("") => {}
            Ok(text) if text.len() <= 40 && text.chars().all(|c| !c.is_control()) => write!(f, " data {text:?}")?,
            _ => write!(f, " len {}", self.payload.len())?,
        }
        for (index, option) in self.options.iter().enumerate() {
            write!(f, "{}{option}", if index == 0 { " <" } else { ", " })?;
        }
        if self.options.is_empty() { Ok(()) } else { f.write_str(">") }
    }
}

impl fmt::Display for WireOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mss(mss) => write!(f, "mss {mss}"),
            Self::SackPermitted => f.write_str("sack"),
            Self::SackBlocks(blocks) => {
                f.write_str("sackblocks")?;
                blocks.iter().try_for_each(|(start, end)| write!(f, " {start}-{end}"))
            }
            Self::WindowScale(shift) => write!(f, "ws {shift}"),
            Self::Timestamps(value, echo) => write!(f, "ts {value}/{echo}"),
            Self::Nop => f.write_str("nop"),
            Self::Raw(bytes) => {
                f.write_str("raw ")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(v6: bool) -> WireSegment {
        let host = |n: u8| -> IpAddr {
            if v6 { [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, n].into() } else { [198, 18, 0, n].into() }
        };
        WireSegment {
            source: Endpoint::new(host(2), 40_000),
            destination: Endpoint::new(host(1), 80),
            flags: Flags::SYN | Flags::ACK | Flags::AE,
            seq: 0xffff_fffe,
            ack: 7,
            window: 64_240,
            urgent: 3,
            options: vec![
                WireOption::Mss(1460),
                WireOption::SackPermitted,
                WireOption::Timestamps(1, 2),
                WireOption::WindowScale(7),
            ],
            payload: b"hello".to_vec(),
        }
    }

    const MACS: Macs = Macs { destination: [2; 6], source: [4; 6] };

    #[test]
    fn what_is_written_is_read_back() {
        for v6 in [false, true] {
            let segment = segment(v6);
            assert_eq!(decode(&encode(MACS, &segment, false)), Ok((MACS, segment)));
        }
    }

    #[test]
    fn every_flipped_bit_of_a_segment_is_noticed() {
        for v6 in [false, true] {
            let frame = encode(MACS, &segment(v6), false);
            let start = if v6 { ETHERNET + 40 } else { ETHERNET + 20 };
            for bit in start * 8..frame.len() * 8 {
                let mut broken = frame.clone();
                broken[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(decode(&broken), Err(WireError::Malformed("wrong TCP checksum")), "bit {bit}");
            }
            assert!(decode(&encode(MACS, &segment(v6), true)).is_err());
        }
    }

    #[test]
    fn a_segment_reads_like_a_line() {
        assert_eq!(
            segment(false).to_string(),
            "SAN seq 4294967294 ack 7 win 64240 urg 3 data \"hello\" <mss 1460, sack, ts 1/2, ws 7>"
        );
    }
}
