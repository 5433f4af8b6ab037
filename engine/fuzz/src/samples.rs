//! What inputs begin with where they do not say otherwise.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use synward_proto::segment::{DataOptions, SackBlocks};
use synward_proto::{Endpoint, Flags, Head, Link, MacAddr, Marking, Options, SeqNum, Tuple};

/// The way back to our neighbour.
pub const LINK: Link =
    Link { local: MacAddr([2, 0, 0, 0, 0, 1]), remote: MacAddr([2, 0, 0, 0, 0, 2]), outer: None, inner: None };

/// An acknowledgment of the peer's, as the peer writes it.
pub const HEAD: Head = Head {
    tuple: peer(0, false).reversed(),
    seq: SeqNum(1000),
    ack: SeqNum(2000),
    flags: Flags::ACK,
    window: 64_000,
    options: Options::Data(DataOptions { timestamps: None, sack: SackBlocks::NONE }),
    marking: Marking::DEFAULT,
};

/// The `n`th peer of our port 80.
pub const fn peer(n: u16, is_v6: bool) -> Tuple {
    let (local, remote) = if is_v6 {
        (v6(1), v6(2))
    } else {
        (IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V4(Ipv4Addr::new(198, 51, 100, 2)))
    };
    Tuple { local: Endpoint::new(local, 80), remote: Endpoint::new(remote, 40_000 + n) }
}

const fn v6(host: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, host, 0, 0, 0, 1))
}
