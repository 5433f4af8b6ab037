//! One direction of the way between two hosts.

use super::options::PathOptions;
use crate::hostile::{HostileLink, Rng, Weather};
use crate::path::Bottleneck;
use crate::play::MACS;
use crate::wire::{IcmpError, decode, encode_icmp};
use std::net::IpAddr;
use std::time::Duration;

const ETHERNET: usize = 14;
/// The weather once everything is calm.
const FINE: Weather = Weather { delay: Duration::from_millis(5), ..Weather::STILL };

/// A link that does what [`HostileLink`] does, behind a narrow place and a router with an MTU of its own.
#[derive(Debug)]
pub(super) struct Path {
    link: HostileLink,
    narrows: Option<Bottleneck>,
    /// Nothing gets through.
    pub black_out: bool,
    /// The largest packet, and whether the router says nothing of larger ones.
    pub narrow_mtu: Option<(u16, bool)>,
    /// Who speaks for the router.
    router: IpAddr,
}

impl Path {
    pub fn new(options: &PathOptions, router: IpAddr, rng: Rng) -> Self {
        let narrows = options.narrows.map(|(rate, queue)| Bottleneck::new(rate, queue));
        let link = HostileLink::new(options.weather.clone(), rng);
        Self { link, narrows, black_out: false, narrow_mtu: None, router }
    }

    /// From now on nothing is lost, and nothing waits.
    pub fn calm_down(&mut self) {
        self.link.set_weather(FINE);
        (self.narrows, self.narrow_mtu, self.black_out) = (None, None, false);
    }

    /// A frame begins its journey; what comes back for it is an ICMP error.
    pub fn send(&mut self, now: Duration, frame: Vec<u8>) -> Option<Vec<u8>> {
        if self.black_out {
            return None;
        }
        if let Some((mtu, silent)) = self.narrow_mtu
            && frame.len() > ETHERNET + usize::from(mtu)
        {
            return if silent { None } else { self.too_big(mtu, &frame) };
        }
        let leaves = match &mut self.narrows {
            Some(bottleneck) => bottleneck.pass(now, frame.len())?,
            None => now,
        };
        self.link.send(leaves, frame);
        None
    }

    /// What the router says of a frame that is too large (RFC 1191, RFC 8201).
    fn too_big(&self, mtu: u16, frame: &[u8]) -> Option<Vec<u8>> {
        let (_, about) = decode(frame).ok()?;
        let (kind, code) = if self.router.is_ipv4() { (3, 4) } else { (2, 0) };
        let error = IcmpError { source: self.router, kind, code, parameter: mtu.into(), about, short: true };
        Some(encode_icmp(MACS, &error, false))
    }

    /// When the next frame arrives.
    pub fn next_arrival(&self) -> Option<Duration> {
        self.link.next_arrival()
    }

    /// The next frame that has arrived by `now`.
    pub fn receive(&mut self, now: Duration) -> Option<Vec<u8>> {
        self.link.receive(now)
    }
}
