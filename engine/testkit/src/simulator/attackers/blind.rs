//! Segments and errors at live connections, by somebody who knows some of their numbers.

use super::{View, bare, frame};
use crate::hostile::Rng;
use crate::play::MACS;
use crate::simulator::faults::Side;
use crate::simulator::options::address;
use crate::simulator::watcher::Victim;
use crate::wire::{IcmpError, WireOption, WireSegment, encode, encode_icmp};
use synward_proto::Flags;

/// What forged segments carry.
pub(in crate::simulator) const FORGED: u8 = 0xee;

/// A number that is off by a little or by much.
fn far(rng: &mut Rng) -> u32 {
    let bound = 1 << [3, 12, 30][rng.below(3) as usize];
    rng.below(bound) as u32
}

/// An end of a connection. Of others it is not known what a frame will meet there.
fn victim(rng: &mut Rng, view: &View<'_>) -> Option<Victim> {
    let side = if rng.chance(600) { Side::Server } else { Side::Client };
    if view.plain.contains(&side) { view.watcher.victim(rng, side) } else { None }
}

/// A segment from the peer of `victim`, all of whose numbers are right.
fn as_peer(victim: &Victim, flags: Flags) -> WireSegment {
    let mut segment = bare(victim.peer, victim.end, flags, (victim.expected, victim.una));
    if let Some(stamp) = victim.stamp {
        segment.options.push(WireOption::Timestamps(stamp, 0));
    }
    segment
}

/// A RST before the window, behind it, or within it but not at its edge (RFC 5961, section 3).
pub(super) fn wrong_reset(rng: &mut Rng, view: &View<'_>) -> Option<(Side, Vec<u8>)> {
    let victim = victim(rng, view)?;
    let mut segment = as_peer(&victim, Flags::RST);
    let inner = victim.edge.wrapping_sub(victim.peers_next);
    segment.seq = match rng.below(3) {
        0 => victim.expected.wrapping_sub(1 + far(rng)),
        1 if inner < 1 << 30 && inner > 1 => victim.peers_next.wrapping_add(1 + rng.below(inner.into()) as u32),
        _ => victim.edge.wrapping_add(1 + far(rng)),
    };
    Some(frame(victim.side, &segment))
}

/// A RST that is as good as the peer's own.
pub(super) fn right_reset(rng: &mut Rng, view: &View<'_>) -> Option<(Side, Vec<u8>)> {
    let victim = victim(rng, view)?;
    Some(frame(victim.side, &as_peer(&victim, Flags::RST)))
}

/// A SYN or SYN-ACK, anywhere (RFC 5961, section 4).
pub(super) fn syn(rng: &mut Rng, view: &View<'_>) -> Option<(Side, Vec<u8>)> {
    let victim = victim(rng, view)?;
    let flags = if rng.chance(500) { Flags::SYN } else { Flags::SYN | Flags::ACK };
    let mut segment = as_peer(&victim, flags);
    segment.seq = segment.seq.wrapping_add(far(rng)).wrapping_sub(far(rng));
    Some(frame(victim.side, &segment))
}

/// Bytes that nobody sent, in a segment with one thing wrong.
pub(super) fn data(rng: &mut Rng, view: &View<'_>) -> Option<(Side, Vec<u8>)> {
    let victim = victim(rng, view)?;
    let mut segment = as_peer(&victim, Flags::ACK | Flags::PSH);
    segment.payload = vec![FORGED; 1 + rng.below(1000) as usize];
    if rng.chance(200) {
        segment.flags |= Flags::FIN;
    }
    match rng.below(6) {
        // Behind the window (RFC 9293, section 3.10.7.4).
        0 => segment.seq = victim.edge.wrapping_add(far(rng)),
        // What was received already.
        1 => {
            segment.flags -= Flags::FIN;
            segment.payload.truncate(victim.received as usize);
            segment.seq = victim.expected.wrapping_sub(segment.payload.len() as u32);
        }
        // Acknowledges what was not sent, or what nobody could acknowledge any more (RFC 5961, section 5).
        2 => segment.ack = victim.next.wrapping_add(1 + far(rng)),
        3 => segment.ack = victim.una.wrapping_sub((1 << 30) + far(rng)),
        // Older than what came before (RFC 7323, section 5), even where clocks have jumped meanwhile.
        4 if let Some(stamp) = victim.stamp => {
            segment.options = vec![WireOption::Timestamps(stamp.wrapping_sub((1 << 25) + far(rng)), 0)];
        }
        _ => segment.flags = if rng.chance(500) { Flags::PSH } else { Flags::empty() },
    }
    if rng.chance(100) {
        let right = as_peer(&victim, Flags::ACK | Flags::PSH);
        return Some((
            victim.side,
            encode(macs(victim.side), &WireSegment { payload: segment.payload, ..right }, true),
        ));
    }
    Some(frame(victim.side, &segment))
}

/// An ICMP error. If the number in its quote is on the way, it may be believed, as far as that goes: no connection ends.
pub(super) fn icmp(rng: &mut Rng, view: &View<'_>) -> Option<(Side, Vec<u8>)> {
    let victim = victim(rng, view)?;
    let seq = if rng.chance(300) { victim.una } else { victim.next.wrapping_add(1 + far(rng)) };
    let about = bare(victim.end, victim.peer, Flags::ACK, (seq, victim.expected));
    let (kind, code) = if view.options.ipv6 {
        [(2, 0), (1, 0), (1, 1), (1, 4), (4, 1)][rng.below(5) as usize]
    } else {
        [(3, 4), (3, 0), (3, 1), (3, 2), (3, 3)][rng.below(5) as usize]
    };
    let parameter = [0, 68, 296, 576, 1280, 65_535][rng.below(6) as usize];
    let source = address(view.options.ipv6, 9);
    let error = IcmpError { source, kind, code, parameter, about, short: rng.chance(500) };
    Some((victim.side, encode_icmp(macs(victim.side), &error, false)))
}

/// An acknowledgment whose SACK blocks lie outside of what was sent, overlap, or are turned round.
pub(super) fn sack(rng: &mut Rng, view: &View<'_>) -> Option<(Side, Vec<u8>)> {
    let victim = victim(rng, view)?;
    let mut segment = as_peer(&victim, Flags::ACK);
    let block = |rng: &mut Rng| {
        let start = match rng.below(3) {
            0 => victim.next.wrapping_add(1 + far(rng)),
            1 => victim.una.wrapping_sub(1 + far(rng)),
            _ => rng.next() as u32,
        };
        let end = if start.wrapping_sub(victim.next) < 1 << 31 { start.wrapping_add(far(rng)) } else { victim.next };
        if rng.chance(500) { (start, end.wrapping_add(1)) } else { (end.wrapping_add(1), start) }
    };
    let blocks = (0..1 + rng.below(3)).map(|_| block(rng)).collect();
    segment.options.push(WireOption::SackBlocks(blocks));
    Some(frame(victim.side, &segment))
}

const fn macs(to: Side) -> crate::wire::Macs {
    match to {
        Side::Server => MACS,
        Side::Client => MACS.reversed(),
    }
}
