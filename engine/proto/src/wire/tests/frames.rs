//! Frames for the tests of this folder.

use crate::segment::{DataOptions, Mss, SackBlock, SackBlocks, SynOptions, Timestamps, VlanTag, WindowScale};
use crate::wire::{HEADROOM, SegmentWriter};
use crate::{Endpoint, Flags, Head, Link, MacAddr, Options, SeqNum, Tuple};
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub const V4: Tuple = Tuple {
    local: Endpoint::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 40000),
    remote: Endpoint::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 2)), 80),
};

pub const V6: Tuple = Tuple {
    local: Endpoint::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 1)), 40000),
    remote: Endpoint::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 2, 0, 0, 0, 2)), 80),
};

pub const LINK: Link =
    Link { local: MacAddr([2, 0, 0, 0, 0, 1]), remote: MacAddr([2, 0, 0, 0, 0, 2]), outer: None, inner: None };

pub const OUTER: VlanTag = VlanTag { protocol: 0x88a8, control: 0x2064 };
pub const INNER: VlanTag = VlanTag { protocol: 0x8100, control: 0x0007 };

/// A Linux client's SYN.
pub fn syn(tuple: Tuple) -> Head {
    Head {
        tuple,
        seq: SeqNum(1000),
        ack: SeqNum(0),
        flags: Flags::SYN,
        window: 64240,
        options: Options::Syn(SynOptions {
            mss: Mss::announced(1460),
            window_scale: Some(WindowScale::clamped(7)),
            sack_permitted: true,
            timestamps: Some(Timestamps { value: 0x1122_3344, echo: 0 }),
        }),
    }
}

/// A data segment's head.
pub fn data(tuple: Tuple) -> Head {
    let mut sack = SackBlocks::NONE;
    sack.push(SackBlock { start: SeqNum(u32::MAX - 9), end: SeqNum(10) });
    let timestamps = Some(Timestamps { value: 7, echo: 9 });
    Head {
        tuple,
        seq: SeqNum(u32::MAX),
        ack: SeqNum(77),
        flags: Flags::ACK | Flags::PSH,
        window: 0xffff,
        options: Options::Data(DataOptions { timestamps, sack }),
    }
}

/// The frame of a segment.
pub fn frame(link: &Link, head: &Head, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xee; HEADROOM + payload.len()];
    let mut writer = SegmentWriter::new(&mut frame, link, head);
    assert_eq!(writer.append(payload), payload.len());
    let len = writer.finish();
    frame.truncate(len);
    frame
}
