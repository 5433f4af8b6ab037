//! ICMP errors about a segment.

use super::encode::{ip_header, tcp_bytes};
use super::{IPV4, IPV6, IpFields, Macs, WireSegment, add_bytes, fold, pseudo_header_sum};
use std::net::IpAddr;

const ICMP: u8 = 1;
const ICMP_V6: u8 = 58;
/// What an ICMP error of old quotes of a datagram's payload (RFC 792).
const SHORT_QUOTE: usize = 8;

/// An ICMP error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IcmpError {
    /// Whose word it is.
    pub source: IpAddr,
    /// Type, in the numbers of the family.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// The word after the checksum: the MTU of the next hop (in IPv4 its lower half), or nothing.
    pub parameter: u32,
    /// The segment that it is about, and that it quotes.
    pub about: WireSegment,
    /// Quotes eight bytes of the segment and no more (RFC 792).
    pub short: bool,
}

/// Writes `error` as an Ethernet frame; with `bad_checksum` its ICMP checksum is off by one bit.
pub fn encode_icmp(macs: Macs, error: &IcmpError, bad_checksum: bool) -> Vec<u8> {
    let (from, to) = (error.source, error.about.source.addr);
    let protocol = if from.is_ipv4() { ICMP } else { ICMP_V6 };
    let mut message = vec![error.kind, error.code, 0, 0];
    message.extend_from_slice(&error.parameter.to_be_bytes());
    message.extend(quote(error));
    let pseudo = if from.is_ipv4() { 0 } else { pseudo_header_sum(from, to, protocol, message.len()) };
    let checksum = !fold(add_bytes(pseudo, &message)) ^ u16::from(bad_checksum);
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    let mut frame = [macs.destination.as_slice(), &macs.source].concat();
    frame.extend_from_slice(&(if from.is_ipv4() { IPV4 } else { IPV6 }).to_be_bytes());
    frame.extend(ip_header(from, to, protocol, &IpFields::default(), message.len()));
    frame.extend(message);
    frame
}

/// The datagram as it was sent, cut.
fn quote(error: &IcmpError) -> Vec<u8> {
    let about = &error.about;
    let tcp = tcp_bytes(about);
    let mut quote = ip_header(about.source.addr, about.destination.addr, super::TCP, &about.ip, tcp.len());
    let length = if error.short { SHORT_QUOTE } else { tcp.len() };
    quote.extend_from_slice(&tcp[..length.min(tcp.len())]);
    quote
}
