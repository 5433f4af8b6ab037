//! Whether what an end sends is right, judged by what has reached it, and by nothing that it says of itself.

use crate::wire::{WireError, WireOption, WireSegment, decode};
use std::collections::HashMap;
use synward_proto::{Endpoint, Flags};

const ETHERNET: usize = 14;
/// Violations that are told in words; the rest is counted.
const TOLD: usize = 20;

/// One end of the wire under suspicion.
///
/// | of each frame that it sends | is held against |
/// | --- | --- |
/// | lengths, checksums, options, nothing behind the packet, within the MTU | itself |
/// | payload within the window | every window that has reached it; a probe of one byte may lie behind (RFC 9293, section 3.8.6.1) |
/// | what it acknowledges | the furthest that has reached it unspoiled |
/// | the timestamp that it echoes | the latest that has reached it |
/// | its own window: not taken back, but for what the scale rounds (SHLD-14) | what it has offered |
/// | before the handshake: no payload, and no frame larger than the largest that came | what has reached it of the same two ends |
#[derive(Debug)]
pub(super) struct Inspector {
    mtu: usize,
    flows: HashMap<Flow, Facts>,
    /// What was wrong, the first few in words.
    pub(super) violations: Vec<String>,
    /// How much was wrong.
    pub(super) wrong: u64,
    /// Frames that reached this end and that nobody may believe.
    pub(super) spoiled: u64,
}

/// The two ends of a connection, as seen from the one under suspicion.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Flow {
    own: Endpoint,
    peer: Endpoint,
}

/// What is known of a connection. Sequence numbers are the first ones behind what is meant.
#[derive(Clone, Copy, Debug, Default)]
struct Facts {
    /// The largest frame that came.
    largest_request: usize,
    /// Whether its first segment was a SYN of this end's.
    opened_here: bool,
    /// Where the peer's sequence space begins.
    peers_start: Option<u32>,
    /// The furthest that came.
    heard: Option<u32>,
    /// The furthest that the peer has offered room for.
    edge: Option<u32>,
    /// The furthest that this end has offered room for.
    own_edge: Option<u32>,
    /// Behind this end's SYN.
    own_start: Option<u32>,
    /// Whether the peer has acknowledged this end's SYN.
    established: bool,
    own_scale: Option<u8>,
    peers_scale: Option<u8>,
    /// The latest timestamp that came.
    timestamp: Option<u32>,
}

impl Facts {
    /// By how much windows are scaled that are this end's or the peer's; both must have asked for it (RFC 7323, section 2.2).
    fn scales(&self) -> (u8, u8) {
        self.own_scale.zip(self.peers_scale).unwrap_or_default()
    }
}

impl Inspector {
    pub(super) fn new(mtu: usize) -> Self {
        Self { mtu, flows: HashMap::new(), violations: Vec::new(), wrong: 0, spoiled: 0 }
    }

    /// A frame that was meant to be TCP has reached this end.
    pub(super) fn on_delivered(&mut self, frame: &[u8]) {
        match decode(frame) {
            Ok((_, segment)) => self.believe(frame.len(), &segment),
            Err(WireError::Malformed(_) | WireError::NotTcp) => self.spoiled += 1,
        }
    }

    fn believe(&mut self, length: usize, segment: &WireSegment) {
        let flow = Flow { own: segment.destination, peer: segment.source };
        let facts = self.flows.entry(flow).or_default();
        if segment.flags.contains(Flags::SYN) {
            if !facts.opened_here && facts.peers_start.is_some_and(|start| start != segment.seq) {
                *facts = Facts::default(); // another connection of the same ends
            }
            facts.peers_start = Some(segment.seq);
            facts.peers_scale = window_scale(segment);
        }
        facts.largest_request = facts.largest_request.max(length);
        facts.heard = Some(furthest(facts.heard, segment.seq.wrapping_add(sequence_length(segment))));
        if let Some((value, _)) = timestamps(segment) {
            facts.timestamp = Some(furthest(facts.timestamp, value));
        }
        if segment.flags.contains(Flags::ACK) {
            let edge = segment.ack.wrapping_add(window(segment, facts.scales().1));
            facts.edge = Some(furthest(facts.edge, edge));
            facts.established |= facts.own_start.is_some_and(|start| !is_after(start, segment.ack));
        }
    }

    /// This end has sent a frame. Whether it was meant to be TCP.
    pub(super) fn on_sent(&mut self, frame: &[u8]) -> bool {
        match decode(frame) {
            Err(WireError::NotTcp) => return false,
            Err(error) => self.accuse(format!("{error}: {frame:02x?}")),
            Ok((_, segment)) => {
                let flow = Flow { own: segment.source, peer: segment.destination };
                let mut facts = self.flows.get(&flow).copied().unwrap_or_default();
                note_own(&mut facts, &segment);
                let wrong = self.shape(frame).or_else(|| judge(&facts, frame.len(), &segment));
                if let Some(what) = wrong {
                    self.accuse(format!("{} > {}: {segment}: {what}; {facts:?}", segment.source, segment.destination));
                }
                note_offer(&mut facts, &segment);
                self.flows.insert(flow, facts);
            }
        }
        true
    }

    /// What is wrong with a frame by its length alone.
    fn shape(&self, frame: &[u8]) -> Option<&'static str> {
        let word = |at: usize| usize::from(frame[at]) << 8 | usize::from(frame[at + 1]);
        let packet = if frame[12..14] == [0x08, 0x00] { word(16) } else { word(18) + 40 };
        match frame.len() - ETHERNET {
            length if length > self.mtu => Some("larger than the MTU"),
            length if length != packet => Some("bytes behind the packet"),
            _ => None,
        }
    }

    fn accuse(&mut self, what: String) {
        self.wrong += 1;
        if self.violations.len() < TOLD {
            self.violations.push(what);
        }
    }
}

/// What this end says of itself that later frames are judged by.
fn note_own(facts: &mut Facts, segment: &WireSegment) {
    if segment.flags.contains(Flags::SYN) {
        let (start, opens) = (Some(segment.seq.wrapping_add(1)), !segment.flags.contains(Flags::ACK));
        if opens && facts.own_start != start {
            *facts = Facts { opened_here: true, ..Facts::default() }; // another connection of the same ends
        }
        (facts.own_start, facts.own_scale) = (start, window_scale(segment));
    }
}

/// The room that this end offers.
fn note_offer(facts: &mut Facts, segment: &WireSegment) {
    if segment.flags.contains(Flags::ACK) && !segment.flags.contains(Flags::RST) {
        let edge = segment.ack.wrapping_add(window(segment, facts.scales().0));
        facts.own_edge = Some(furthest(facts.own_edge, edge));
    }
}

/// What a connection may not send now.
fn judge(facts: &Facts, length: usize, segment: &WireSegment) -> Option<&'static str> {
    let has_handshake = facts.established || facts.opened_here;
    if !has_handshake && length > facts.largest_request {
        return Some("larger than anything that came, before the handshake");
    }
    if !facts.established && !segment.payload.is_empty() {
        return Some("payload before the handshake");
    }
    exceeds_window(facts, segment).or_else(|| misquotes(facts, segment)).or_else(|| takes_back(facts, segment))
}

fn exceeds_window(facts: &Facts, segment: &WireSegment) -> Option<&'static str> {
    let end = segment.seq.wrapping_add(segment.payload.len() as u32);
    let is_probe = segment.payload.len() == 1;
    let edge = facts.edge?.wrapping_add(u32::from(is_probe));
    (!segment.payload.is_empty() && is_after(end, edge)).then_some("payload beyond the window")
}

fn misquotes(facts: &Facts, segment: &WireSegment) -> Option<&'static str> {
    if !segment.flags.contains(Flags::ACK) {
        return None;
    }
    if facts.heard.is_none_or(|heard| is_after(segment.ack, heard)) {
        return Some("acknowledges what never came");
    }
    let (_, echo) = timestamps(segment)?;
    facts.timestamp.is_none_or(|latest| is_after(echo, latest)).then_some("echoes a timestamp that never came")
}

/// The unit of a window is what its scale rounds to, and up to one may be missing.
fn takes_back(facts: &Facts, segment: &WireSegment) -> Option<&'static str> {
    if !segment.flags.contains(Flags::ACK) || segment.flags.intersects(Flags::SYN | Flags::RST) {
        return None;
    }
    let scale = facts.scales().0;
    let edge = segment.ack.wrapping_add(window(segment, scale)).wrapping_add(1 << scale);
    is_after(facts.own_edge?, edge).then_some("takes back window that it has offered")
}

/// The window in bytes; that of a SYN is not scaled (RFC 7323, section 2.2).
fn window(segment: &WireSegment, scale: u8) -> u32 {
    let scale = if segment.flags.contains(Flags::SYN) { 0 } else { scale };
    u32::from(segment.window) << scale.min(14)
}

fn window_scale(segment: &WireSegment) -> Option<u8> {
    segment.options.iter().find_map(|option| match option {
        WireOption::WindowScale(scale) => Some(*scale),
        _ => None,
    })
}

fn timestamps(segment: &WireSegment) -> Option<(u32, u32)> {
    segment.options.iter().find_map(|option| match option {
        WireOption::Timestamps(value, echo) => Some((*value, *echo)),
        _ => None,
    })
}

fn sequence_length(segment: &WireSegment) -> u32 {
    let controls = [Flags::SYN, Flags::FIN].into_iter().filter(|flag| segment.flags.contains(*flag)).count();
    (segment.payload.len() + controls) as u32
}

/// Whether `a` is behind `b` in a space that has no end (RFC 9293, section 3.4).
const fn is_after(a: u32, b: u32) -> bool {
    a != b && a.wrapping_sub(b) < 1 << 31
}

fn furthest(known: Option<u32>, new: u32) -> u32 {
    known.filter(|known| is_after(*known, new)).unwrap_or(new)
}

#[cfg(test)]
mod tests;
