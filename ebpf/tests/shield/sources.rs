//! Clients of guarded listeners: what they send, and moments to forget them at.

use std::net::IpAddr;

use rustix::time::{ClockId, clock_gettime};
use synward_ebpf::{CookieOffer, ListenerId};

use crate::bench::{Bench, ETHERNET, OTHER4, OTHER6, PORT, eth, owned};
use crate::frame::{Frame, TCP};

/// A bench with guarded listeners at `OTHER4` and `OTHER6`, too; their shields are down.
pub fn guarded() -> (Bench, [ListenerId; 2]) {
    let mut bench = Bench::new();
    let listeners = [OTHER4, OTHER6]
        .map(|address| bench.shield.own_listener(owned(address, PORT), &CookieOffer::default()).unwrap());
    (bench, listeners)
}

/// A SYN for a guarded listener from `source`.
pub fn syn_from(source: IpAddr) -> Frame {
    let (frame, at, bytes) = match source {
        IpAddr::V4(source) => (eth().ipv4(OTHER4, TCP), ETHERNET + 12, source.octets().to_vec()),
        IpAddr::V6(source) => (eth().ipv6(OTHER6, TCP), ETHERNET + 8, source.octets().to_vec()),
    };
    (at..).zip(bytes).fold(frame.tcp(PORT), |frame, (at, byte)| frame.patch(at, byte))
}

/// Whether such a source is refused before anybody asks what it sends.
pub fn is_martian(source: IpAddr) -> bool {
    match source {
        IpAddr::V4(source) => matches!(source.octets()[0], 0 | 127 | 224..),
        IpAddr::V6(source) => source.is_multicast() || source.to_bits() < 1 << 48,
    }
}

/// CLOCK_MONOTONIC in nanoseconds, as the program reads it: it stands still between ticks, and after a long one it jumps.
pub fn now() -> u64 {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}
