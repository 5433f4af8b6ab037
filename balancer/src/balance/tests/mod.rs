//! The laws of Maglev's table, and the life of a pool.

mod maglev;
mod pool;

use super::BackendIndex;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use synward_proto::{Endpoint, Tuple};

fn index(index: usize) -> BackendIndex {
    BackendIndex::new(index).unwrap()
}

/// The `n`th of a site's backends, IPv4 and IPv6 by turns.
fn backend(n: u16) -> Endpoint {
    let [high, low] = n.to_be_bytes();
    let address: IpAddr = match n % 2 {
        0 => Ipv4Addr::new(10, 0, high, low).into(),
        _ => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n).into(),
    };
    Endpoint::new(address, 8080)
}

/// The `n`th client's connection, IPv4 and IPv6 by turns.
fn connection(n: u32) -> Tuple {
    let [a, b, c, d] = (n / 7).to_be_bytes();
    let port = 1024 + u16::try_from(n % 7).unwrap();
    let (local, remote): (IpAddr, IpAddr) = match n % 2 {
        0 => (Ipv4Addr::new(198, 51, 100, 1).into(), Ipv4Addr::new(a | 11, b, c, d).into()),
        _ => (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(), Ipv4Addr::new(a, b, c, d).to_ipv6_mapped().into()),
    };
    Tuple { local: Endpoint::new(local, 80), remote: Endpoint::new(remote, port) }
}
