//! Frames that nobody's TCP has sent.

use std::net::{IpAddr, Ipv4Addr};
use synward_lab::Host;
use synward_proto::{Endpoint, Flags};
use synward_testkit::wire::{IpFields, Macs, WireOption, WireSegment, encode};

/// A SYN as a kernel sends it, from the `n`-th of as many addresses and ports, all in 198.18.0.0/15.
pub fn syn(from: &Host, to: &Host, port: u16, n: u32) -> Vec<u8> {
    let source = Ipv4Addr::from_bits(0xc612_0000 | (n & 0x1_ffff));
    let segment = WireSegment {
        source: Endpoint::new(source.into(), 1024 + (n % 60_000) as u16),
        destination: Endpoint::new(IpAddr::from(to.ipv4()), port),
        flags: Flags::SYN,
        seq: n.wrapping_mul(0x9e37_79b9),
        ack: 0,
        window: 64_240,
        urgent: 0,
        options: vec![
            WireOption::Mss(1460),
            WireOption::SackPermitted,
            WireOption::Timestamps(n, 0),
            WireOption::Nop,
            WireOption::WindowScale(7),
        ],
        payload: Vec::new(),
        ip: IpFields::default(),
        vlans: Vec::new(),
    };
    encode(Macs { destination: to.mac(), source: from.mac() }, &segment, false)
}

/// The same with the checksum that a kernel leaves for hardware to finish: the sum of the pseudo-header alone.
pub fn unfinished(mut frame: Vec<u8>) -> Vec<u8> {
    const ADDRESSES: std::ops::Range<usize> = 26..34;
    const TCP: usize = 34;
    const CHECKSUM: usize = TCP + 16;
    let length = frame.len() - TCP;
    let addresses = frame[ADDRESSES].chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let mut sum = addresses.sum::<u32>() + 6 + length as u32;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    frame[CHECKSUM..CHECKSUM + 2].copy_from_slice(&(sum as u16).to_be_bytes());
    frame
}
