//! Frames, built from the outside in: `Frame::ethernet().vlan(7).ipv4("192.0.2.1", 6).tcp(80)`.

use std::net::{Ipv4Addr, Ipv6Addr};

/// IANA numbers of what an IP header can carry.
pub const HOP_BY_HOP: u8 = 0;
pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMPV6: u8 = 58;
pub const ROUTING: u8 = 43;
pub const FRAGMENT: u8 = 44;
pub const ESP: u8 = 50;
pub const DESTINATION_OPTIONS: u8 = 60;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const CLIENT4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const CLIENT6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 7);

/// A frame under construction. Lengths and checksums are not filled in: the program reads neither.
#[derive(Clone, Debug)]
pub struct Frame {
    bytes: Vec<u8>,
    /// Where the EtherType of what comes next goes.
    ethertype_at: usize,
}

impl Frame {
    pub fn ethernet() -> Self {
        let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        bytes.extend([0, 0]);
        Self { bytes, ethertype_at: 12 }
    }

    /// A tag with the EtherType 0x8100 (802.1Q) or 0x88a8 (802.1ad).
    pub fn vlan(self, ethertype: u16, identifier: u16) -> Self {
        let mut frame = self.of_type(ethertype);
        frame.bytes.extend(identifier.to_be_bytes());
        frame.ethertype_at = frame.bytes.len();
        frame.bytes.extend([0, 0]);
        frame
    }

    pub fn of_type(mut self, ethertype: u16) -> Self {
        self.bytes[self.ethertype_at..self.ethertype_at + 2].copy_from_slice(&ethertype.to_be_bytes());
        self
    }

    pub fn ipv4(self, to: &str, protocol: u8) -> Self {
        self.ipv4_with(to, protocol, 0, &[])
    }

    /// `fragment` is the field of flags and offset; `options` a multiple of four bytes.
    pub fn ipv4_with(self, to: &str, protocol: u8, fragment: u16, options: &[u8]) -> Self {
        self.of_type(ETHERTYPE_IPV4).ipv4_header([CLIENT4, to.parse().unwrap()], protocol, fragment, options)
    }

    pub fn ipv6(self, to: &str, next: u8) -> Self {
        self.of_type(ETHERTYPE_IPV6).ipv6_header([CLIENT6, to.parse().unwrap()], next)
    }

    fn ipv4_header(mut self, ends: [Ipv4Addr; 2], protocol: u8, fragment: u16, options: &[u8]) -> Self {
        self.bytes.extend([0x45 + u8::try_from(options.len() / 4).unwrap(), 0, 0, 40, 0, 0]);
        self.bytes.extend(fragment.to_be_bytes());
        self.bytes.extend([64, protocol, 0, 0]);
        self.bytes.extend(ends.map(|end| end.octets()).concat());
        self.bytes.extend(options);
        self
    }

    fn ipv6_header(mut self, ends: [Ipv6Addr; 2], next: u8) -> Self {
        self.bytes.extend([0x60, 0, 0, 0, 0, 20, next, 64]);
        self.bytes.extend(ends.map(|end| end.octets()).concat());
        self
    }

    /// An extension header of `8 + 8 * units` bytes whose first bytes of data are `data`.
    pub fn extension(mut self, next: u8, units: u8, data: [u8; 6]) -> Self {
        self.bytes.extend([next, units]);
        self.bytes.extend(data);
        self.bytes.extend(std::iter::repeat_n(0xa5, usize::from(units) * 8));
        self
    }

    /// A Fragment header; `field` holds offset and more-fragments flag.
    pub fn fragment(mut self, next: u8, field: u16) -> Self {
        self.bytes.extend([next, 0]);
        self.bytes.extend(field.to_be_bytes());
        self.bytes.extend([0, 0, 0, 9]);
        self
    }

    /// A SYN from port 40000.
    pub fn tcp(mut self, port: u16) -> Self {
        self.bytes.extend(40_000_u16.to_be_bytes());
        self.bytes.extend(port.to_be_bytes());
        self.bytes.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]);
        self
    }

    /// The header of an ICMP or ICMPv6 message.
    pub fn icmp(mut self, icmp_type: u8, code: u8) -> Self {
        self.bytes.extend([icmp_type, code, 0, 0, 0, 0, 5, 20]);
        self
    }

    /// In an ICMP error: the header of a packet from `from` to the client.
    pub fn quoted_ipv4(self, from: &str, protocol: u8) -> Self {
        self.quoted_ipv4_with(from, protocol, 0x4000, &[])
    }

    pub fn quoted_ipv4_with(self, from: &str, protocol: u8, fragment: u16, options: &[u8]) -> Self {
        self.ipv4_header([from.parse().unwrap(), CLIENT4], protocol, fragment, options)
    }

    pub fn quoted_ipv6(self, from: &str, next: u8) -> Self {
        self.ipv6_header([from.parse().unwrap(), CLIENT6], next)
    }

    /// The first eight bytes of a segment from `port` to port 40000.
    pub fn quoted_tcp(mut self, port: u16) -> Self {
        self.bytes.extend(port.to_be_bytes());
        self.bytes.extend(40_000_u16.to_be_bytes());
        self.bytes.extend([0, 0, 0, 1]);
        self
    }

    pub fn payload(mut self, length: usize) -> Self {
        self.bytes.extend(std::iter::repeat_n(0x5a, length));
        self
    }

    /// Changes one byte, counted from the start of the frame.
    pub fn patch(mut self, at: usize, byte: u8) -> Self {
        self.bytes[at] = byte;
        self
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
