//! Frames on the wire: what a packet socket sees, and SYNs of our own.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use libtest_mimic::Failed;
use synward_lab::{Host, PacketSocket};

const ETHERNET: usize = 14;
const TCP_HEADER: usize = 20;
const IPPROTO_TCP: u8 = 6;

/// TCP flags.
pub const SYN: u8 = 0x02;
/// TCP flags.
pub const SYN_ACK: u8 = 0x12;

/// A packet socket on the interface of a host.
pub struct Wiretap {
    socket: PacketSocket,
}

impl Wiretap {
    /// Listens from now on.
    pub fn on(host: &Host) -> Result<Self, Failed> {
        Self::on_interface(host, host.interface())
    }

    /// Listens on one of several interfaces.
    pub fn on_interface(host: &Host, interface: &str) -> Result<Self, Failed> {
        Ok(Self { socket: host.enter(|| PacketSocket::open(interface))?? })
    }

    /// Sends one frame.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        self.socket.send(frame)
    }

    /// The next frame; the limit only ends a test that has failed.
    fn next(&self) -> io::Result<Vec<u8>> {
        self.socket.receive(Some(Duration::from_secs(10)))
    }

    /// The next frame but for those to groups: every kernel announces its memberships (MLD), whenever it likes.
    pub fn next_to_a_host(&self) -> io::Result<Vec<u8>> {
        loop {
            let frame = self.next()?;
            if frame.first().is_some_and(|byte| byte & 1 == 0) {
                return Ok(frame);
            }
        }
    }

    /// The next TCP segment with exactly these flags; everything else is passed over.
    pub fn next_tcp(&self, flags: u8) -> Result<Segment, Failed> {
        loop {
            match Segment::in_frame(self.next()?) {
                Some(segment) if segment.flags() == flags => return Ok(segment),
                _ => {}
            }
        }
    }
}

/// A TCP segment without IP options, in its frame.
pub struct Segment {
    frame: Vec<u8>,
    ip_header: usize,
}

impl Segment {
    fn in_frame(frame: Vec<u8>) -> Option<Self> {
        let (ip_header, next) = match frame.get(12..14)? {
            [0x08, 0x00] => (20, *frame.get(ETHERNET + 9)?),
            [0x86, 0xdd] => (40, *frame.get(ETHERNET + 6)?),
            _ => return None,
        };
        (next == IPPROTO_TCP && frame.len() >= ETHERNET + ip_header + TCP_HEADER).then_some(Self { frame, ip_header })
    }

    fn tcp(&self) -> &[u8] {
        &self.frame[ETHERNET + self.ip_header..]
    }

    /// The TCP flags.
    pub fn flags(&self) -> u8 {
        self.tcp()[13]
    }

    /// The checksum as it is in the segment.
    pub fn checksum(&self) -> u16 {
        u16::from_be_bytes([self.tcp()[16], self.tcp()[17]])
    }

    /// Whether the checksum is right: the sum over pseudo-header and segment, its own field included, is all ones.
    pub fn checksum_is_right(&self) -> bool {
        sum(self.pseudo_header_sum().into(), self.tcp()) == 0xffff
    }

    /// The sum over the pseudo-header alone: what a sender leaves in the field for the device to finish.
    pub fn pseudo_header_sum(&self) -> u16 {
        let ip = &self.frame[ETHERNET..ETHERNET + self.ip_header];
        let addresses = if self.ip_header == 20 { &ip[12..20] } else { &ip[8..40] };
        pseudo_header_sum(addresses, self.tcp().len())
    }
}

/// A SYN in an Ethernet frame, with right checksums. Source and destination are a hardware and a network address each.
pub fn syn(from: ([u8; 6], IpAddr, u16), to: ([u8; 6], IpAddr, u16)) -> Vec<u8> {
    let mut frame = [to.0, from.0].concat();
    let addresses = match (from.1, to.1) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut header = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, IPPROTO_TCP, 0, 0];
            header.extend([from.octets(), to.octets()].concat());
            let checksum = !sum(0, &header);
            header[10..12].copy_from_slice(&checksum.to_be_bytes());
            frame.extend([0x08, 0x00]);
            frame.extend(header);
            [from.octets(), to.octets()].concat()
        }
        (from, to) => {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, IPPROTO_TCP, 64]);
            let octets = |address| match address {
                IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                IpAddr::V6(address) => address.octets(),
            };
            frame.extend([octets(from), octets(to)].concat());
            [octets(from), octets(to)].concat()
        }
    };
    let mut tcp = [from.2.to_be_bytes(), to.2.to_be_bytes()].concat();
    tcp.extend([0, 0, 0, 1, 0, 0, 0, 0, 5 << 4, SYN, 0xff, 0xff, 0, 0, 0, 0]);
    let checksum = !sum(pseudo_header_sum(&addresses, tcp.len()).into(), &tcp);
    tcp[16..18].copy_from_slice(&checksum.to_be_bytes());
    frame.extend(tcp);
    frame
}

fn pseudo_header_sum(addresses: &[u8], tcp_length: usize) -> u16 {
    sum(u32::from(IPPROTO_TCP) + tcp_length as u32, addresses)
}

/// The Internet sum of RFC 1071, folded to 16 bits and not complemented.
fn sum(start: u32, bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word.get(1).copied().unwrap_or(0)));
    let mut total = start + words.sum::<u32>();
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}
