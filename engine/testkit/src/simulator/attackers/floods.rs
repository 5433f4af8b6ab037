//! Frames in number, out of nothing or out of those of others.

use super::{View, bare, frame, offer};
use crate::hostile::Rng;
use crate::simulator::faults::Side;
use crate::simulator::options::Options;
use crate::wire::{WireOption, WireSegment, decode};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use synward_proto::{Endpoint, Flags};

/// Where nobody lives.
fn nowhere(rng: &mut Rng, ipv6: bool) -> Endpoint {
    let addr: IpAddr = if ipv6 {
        Ipv6Addr::new(0x2001, 0xdb8, 0xffff, rng.next() as u16, rng.next() as u16, 0, 0, 1).into()
    } else {
        Ipv4Addr::new(100, 64 + rng.below(64) as u8, rng.next() as u8, rng.next() as u8).into()
    };
    Endpoint::new(addr, 1 + rng.below(65_535) as u16)
}

/// A SYN to the listener. Some have the client's address, whose host resets what it never asked for.
pub(super) fn syn(rng: &mut Rng, options: &Options) -> (Side, Vec<u8>) {
    let mut source = nowhere(rng, options.ipv6);
    if rng.chance(100) {
        source = Endpoint::new(options.client_address(), 1024 + rng.below(20_000) as u16);
    }
    let mut segment = bare(source, options.server_end(), Flags::SYN, (rng.next() as u32, 0));
    segment.options = offer(rng);
    if rng.chance(100) {
        segment.payload = vec![0x55; rng.below(500) as usize];
    }
    frame(Side::Server, &segment)
}

/// An ACK to the listener that belongs to nothing.
pub(super) fn ack(rng: &mut Rng, options: &Options) -> (Side, Vec<u8>) {
    let source = nowhere(rng, options.ipv6);
    let flags = [Flags::ACK, Flags::ACK | Flags::PSH, Flags::ACK | Flags::FIN][rng.below(3) as usize];
    let mut segment = bare(source, options.server_end(), flags, (rng.next() as u32, rng.next() as u32));
    if rng.chance(500) {
        segment.options.push(WireOption::Timestamps(rng.next() as u32, rng.next() as u32));
    }
    if rng.chance(300) {
        segment.payload = vec![0x55; rng.below(1000) as usize];
    }
    frame(Side::Server, &segment)
}

/// The ACK of somebody else's handshake with one thing changed: its cookie is good for nobody but them.
pub(super) fn forged_cookie(rng: &mut Rng, view: &View<'_>) -> Option<(Side, Vec<u8>)> {
    let completes = |segment: &WireSegment| segment.flags == Flags::ACK && segment.payload.is_empty();
    let seen = view.seen.iter().filter(|(to, _)| *to == Side::Server);
    let (_, mut segment) = seen.filter_map(|(_, frame)| decode(frame).ok()).find(|(_, segment)| completes(segment))?;
    if !view.plain.contains(&Side::Server) {
        // By the time that it is read there, a number that was wrong may be right.
        return None;
    }
    match rng.below(4) {
        // A source port of nobody, or an address.
        0 => segment.source.port = 1024 + rng.below(20_000) as u16,
        1 => segment.source.addr = nowhere(rng, view.options.ipv6).addr,
        // From the same end, if it is free again, with other numbers.
        2 => segment.seq = segment.seq.wrapping_add(1 + rng.below(1 << 31) as u32),
        _ => segment.ack ^= 1 << rng.below(32),
    }
    Some(frame(Side::Server, &segment))
}

/// A frame of somebody else once more.
pub(super) fn replay(rng: &mut Rng, view: &View<'_>) -> Option<(Side, Vec<u8>)> {
    view.seen.get(rng.below(view.seen.len() as u64) as usize).cloned()
}

/// A frame that is none.
pub(super) fn garbage(rng: &mut Rng, view: &View<'_>) -> Option<(Side, Vec<u8>)> {
    let (to, mut frame) = replay(rng, view)?;
    match rng.below(3) {
        0 => frame.truncate(rng.below(frame.len() as u64) as usize),
        1 => {
            let bit = rng.below(frame.len() as u64 * 8) as usize;
            frame[bit / 8] ^= 1 << (bit % 8);
        }
        _ => frame.iter_mut().skip(14).for_each(|byte| *byte = rng.next() as u8),
    }
    Some((to, frame))
}
