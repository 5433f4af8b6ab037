//! Somebody who reads every frame and knows what may be in it.
//!
//! For each end of each honest connection: what it has sent, what has arrived there from the peer itself, and what the peer allows it.
//! Nothing here uses the engine's own parser or arithmetic.

use super::faults::Side;
use super::options::Options;
use super::stretches::Stretches;
use super::talker::Flow;
use crate::hostile::Rng;
use crate::wire::{WireError, WireOption, WireSegment, decode};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;
use synward_proto::{Endpoint, Flags};

/// Offsets in a stream are less than this; what is more is a number of another connection.
const REACH: u32 = 1 << 30;

/// No connection's numbers reach further from where they began.
const LONGEST: u32 = 1 << 20;
const _: () = assert!(Flow::LONGEST < LONGEST as u64);

/// An end of a live connection, as far as an attacker can know its numbers.
#[derive(Clone, Debug)]
pub(super) struct Victim {
    /// Whose end it is.
    pub side: Side,
    pub end: Endpoint,
    pub peer: Endpoint,
    /// What it last said that it expects.
    pub expected: u32,
    /// How many bytes before that it has received.
    pub received: u32,
    /// The right edge of its window, the largest that it can mean: it says it in units of its scale.
    pub edge: u32,
    /// Behind all that the peer has sent.
    pub peers_next: u32,
    /// What the peer has acknowledged.
    pub una: u32,
    /// Behind all that it has sent.
    pub next: u32,
    /// The peer's last timestamp, where they have them and time has not jumped so far that it says nothing.
    pub stamp: Option<u32>,
}

/// One end. Offsets count from its own initial sequence number, or from the peer's where they are about what it receives.
#[derive(Clone, Debug, Default)]
struct End {
    isn: Option<u32>,
    /// Behind all that it has sent.
    next: u32,
    /// What it has acknowledged.
    acked: u32,
    /// The right edge that it has offered.
    edge: u32,
    /// What has arrived.
    got: Stretches,
    /// The right edge that it may send up to.
    allowed: u32,
    /// The shift that its SYN offers.
    scale: Option<u8>,
    /// Whether its SYN has timestamps.
    stamps: bool,
    last_stamp: Option<u32>,
    /// Its clock has jumped so far that timestamps say nothing of age, and its own may seem to run back.
    is_out_of_time: bool,
}

/// A connection of a client, the newest from its port.
#[derive(Clone, Debug, Default)]
struct Conversation {
    client: End,
    server: End,
    /// Sequence numbers of SYNs that the server got from there, whoever sent them.
    asked: BTreeSet<u32>,
    /// The client has crashed since it began.
    is_lost: bool,
    /// The numbers of the server and of the client in those before it that were lost: the server may hold one of them still.
    former: Vec<[Sent; 2]>,
}

/// Where an end began to count, and behind what it has sent since, or may still send.
#[derive(Clone, Copy, Debug)]
struct Sent {
    isn: u32,
    next: u32,
}

impl Sent {
    /// Whether a number is one of these.
    const fn contains(self, number: u32) -> bool {
        number.wrapping_sub(self.isn) <= self.next
    }
}

/// The reader of all frames.
#[derive(Debug)]
pub(super) struct Watcher {
    client: IpAddr,
    server: Endpoint,
    /// The server may forget a connection and be asked, by a cookie that comes twice, for the same once more.
    forgetful: bool,
    conversations: BTreeMap<u16, Conversation>,
    /// Every SYN gets a cookie, and a cookie is good for one first sequence number.
    exact: bool,
    /// The numbers of the server's SYN-ACKs, by peer: its own, and the one that the peer goes on with.
    promised: BTreeMap<Endpoint, BTreeSet<(u32, u32)>>,
    /// Segments that could complete a handshake and have not been used up by an accept.
    completions: BTreeMap<Endpoint, u32>,
    /// SYNs that the server got from the client's address, each number once.
    pub new_syns: u64,
}

impl Watcher {
    pub fn new(options: &Options) -> Self {
        Self {
            client: options.client_address(),
            server: options.server_end(),
            forgetful: options.server.config.syncookies > 0,
            exact: options.server.config.syncookies == 2,
            conversations: BTreeMap::new(),
            promised: BTreeMap::new(),
            completions: BTreeMap::new(),
            new_syns: 0,
        }
    }

    /// Uses up a segment by which this peer completed a handshake; false when none came.
    pub fn take_completion(&mut self, peer: &Endpoint) -> bool {
        let Some(left) = self.completions.get_mut(peer).filter(|left| **left > 0) else { return false };
        *left -= 1;
        true
    }

    /// A host's clock jumps. Timestamps that are half of their range apart, or more, may seem to be the other way round (RFC 7323,
    /// section 5.2; they are milliseconds): also those of frames that were made before and leave later, and also after a whole
    /// range and a step back on top of it.
    pub fn on_clock_jump(&mut self, side: Side, by: Duration) {
        if by.as_millis() >= 1 << 31 {
            self.conversations.values_mut().for_each(|conversation| conversation.ends(side).0.is_out_of_time = true);
        }
    }

    /// A host has crashed, and knows nothing of what was.
    pub fn on_crash(&mut self, side: Side) {
        match side {
            Side::Client => self.conversations.values_mut().for_each(|conversation| conversation.is_lost = true),
            // Its successor has other secrets: a cookie of before is worth nothing.
            Side::Server => (self.promised, self.completions) = Default::default(),
        }
    }

    /// A host sends a frame. An error is a rule that it breaks.
    pub fn on_sent(&mut self, from: Side, frame: &[u8]) -> Result<(), String> {
        let segment = match decode(frame) {
            Ok((_, segment)) => segment,
            Err(WireError::Malformed(what)) => return Err(format!("{from:?} sends what is {what}")),
            Err(WireError::NotTcp) => return Err(format!("{from:?} sends what is not TCP")),
        };
        if from == Side::Server && segment.flags.contains(Flags::ACK) && segment.payload.is_empty() {
            // An acknowledgment for a half-open connection says the number, too, also when the SYN-ACK was lost.
            let after = u32::from(!segment.flags.contains(Flags::SYN));
            let numbers = (segment.seq.wrapping_sub(after), segment.ack);
            self.promised.entry(segment.destination).or_default().insert(numbers);
        }
        let Some((port, _)) = self.port_of(&segment) else { return Ok(()) };
        let conversation = self.conversations.entry(port).or_default();
        let checked = conversation.on_sent(from, &segment, self.forgetful);
        checked.map_err(|problem| format!("{from:?}, port {port}: {problem} in {segment:?} of {conversation:?}"))
    }

    /// A frame reaches a host; it is `genuine` unless somebody else than its peer made it.
    pub fn on_arrival(&mut self, to: Side, frame: &[u8], genuine: bool) {
        let Ok((_, segment)) = decode(frame) else { return };
        if to == Side::Server && segment.flags.contains(Flags::ACK) {
            // Also of who is not the peer, but has read the number: nobody guesses it.
            let fits = |(own, theirs): &(u32, u32)| {
                segment.ack == own.wrapping_add(1) && (segment.seq == *theirs || !self.exact)
            };
            if self.promised.get(&segment.source).is_some_and(|promised| promised.iter().any(fits)) {
                *self.completions.entry(segment.source).or_default() += 1;
            }
        }
        let Some((port, from)) = self.port_of(&segment) else { return };
        if from == to.other()
            && let Some(conversation) = self.conversations.get_mut(&port)
        {
            if to == Side::Server && segment.flags.contains(Flags::SYN) {
                self.new_syns += u64::from(conversation.asked.insert(segment.seq));
            }
            conversation.on_arrival(to, &segment, genuine);
        }
    }

    /// The client's port of a segment between the two, and who sends it.
    fn port_of(&self, segment: &WireSegment) -> Option<(u16, Side)> {
        let (source, destination) = (segment.source, segment.destination);
        if source == self.server && destination.addr == self.client {
            Some((destination.port, Side::Server))
        } else if destination == self.server && source.addr == self.client {
            Some((source.port, Side::Client))
        } else {
            None
        }
    }

    /// One end of a connection that both take for established.
    pub fn victim(&self, rng: &mut Rng, side: Side) -> Option<Victim> {
        let established = |(_, conversation): &(&u16, &Conversation)| conversation.is_established();
        let live: Vec<_> = self.conversations.iter().filter(established).collect();
        let (port, conversation) = live.get(rng.below(live.len() as u64) as usize)?;
        conversation.victim(side, self.server, Endpoint::new(self.client, **port))
    }
}

impl Conversation {
    fn ends(&mut self, side: Side) -> (&mut End, &mut End) {
        match side {
            Side::Client => (&mut self.client, &mut self.server),
            Side::Server => (&mut self.server, &mut self.client),
        }
    }

    /// The server has sent, or acknowledged, more than its SYN-ACK does.
    fn is_established(&self) -> bool {
        self.server.isn.is_some() && (self.server.acked > 1 || self.server.next > 1)
    }

    fn victim(&self, side: Side, server: Endpoint, client: Endpoint) -> Option<Victim> {
        let (end, peer, addresses) = match side {
            Side::Client => (&self.client, &self.server, (client, server)),
            Side::Server => (&self.server, &self.client, (server, client)),
        };
        let (own, theirs) = (end.isn?, peer.isn?);
        Some(Victim {
            side,
            end: addresses.0,
            peer: addresses.1,
            expected: theirs.wrapping_add(end.acked),
            received: end.acked.saturating_sub(1),
            edge: theirs.wrapping_add(end.edge + end.rounding(peer)),
            peers_next: theirs.wrapping_add(peer.next),
            una: own.wrapping_add(peer.acked),
            next: own.wrapping_add(end.next),
            stamp: peer.last_stamp.filter(|_| [end, peer].iter().all(|end| end.stamps && !end.is_out_of_time)),
        })
    }

    /// What the server and the client have sent, once both numbers are known.
    fn sent(&self) -> Option<[Sent; 2]> {
        let of = |end: &End| end.isn.map(|isn| Sent { isn, next: end.next });
        Some([of(&self.server)?, of(&self.client)?])
    }

    fn on_sent(&mut self, from: Side, segment: &WireSegment, forgetful: bool) -> Result<(), String> {
        let flags = segment.flags;
        if from == Side::Client && flags.contains(Flags::SYN) && self.client.isn != Some(segment.seq) {
            let client = End { isn: Some(segment.seq), next: 1, ..End::default() };
            let mut before = std::mem::take(self);
            if before.is_lost {
                // A server that has not heard of the crash goes on.
                before.former.extend(before.sent().map(|ends| ends.map(|end| Sent { next: LONGEST, ..end })));
            } else {
                before.asked.clear();
            }
            *self = Self { client, asked: before.asked, former: before.former, ..Self::default() };
        }
        // What is said of a SYN is not about a connection: none need be there.
        let ours = self.client.isn == Some(segment.ack.wrapping_sub(1)) && self.server.acked <= 1;
        // Unless it goes on where the connection is: a SYN of somebody else may name any number.
        let goes_on = |[server, client]: &[Sent; 2]| {
            !flags.contains(Flags::SYN) && server.contains(segment.seq) && client.contains(segment.ack)
        };
        let ours = ours || self.sent().as_ref().is_some_and(goes_on);
        let of_another = self.asked.contains(&segment.ack.wrapping_sub(1)) || self.former.iter().any(goes_on);
        if from == Side::Server && !ours && of_another {
            return Ok(());
        }
        if flags.contains(Flags::SYN) {
            let (end, _) = self.ends(from);
            end.read_offer(&segment.options);
            return Ok(());
        }
        if flags.contains(Flags::RST) {
            return Ok(());
        }
        if from == Side::Client && self.server.isn.is_none() {
            let edge = self.server.edge;
            self.server =
                End { isn: Some(segment.ack.wrapping_sub(1)), next: 1, acked: 1, edge, ..self.server.clone() };
            (self.server.got, self.client.got) = (Stretches::from_start(1), Stretches::from_start(1));
        }
        let (end, peer) = self.ends(from);
        let (Some(own), Some(theirs)) = (end.isn, peer.isn) else { return Ok(()) };
        let (at, ack) = (segment.seq.wrapping_sub(own), segment.ack.wrapping_sub(theirs));
        if at >= REACH || ack >= REACH {
            return Ok(());
        }
        if from == Side::Server && forgetful {
            (end.acked, end.last_stamp) = (0, None);
        }
        end.check_stamps(peer, segment)?;
        end.check_acknowledgment(peer, segment, ack, theirs)?;
        end.check_data(segment, at)
    }

    fn on_arrival(&mut self, to: Side, segment: &WireSegment, genuine: bool) {
        let (end, peer) = self.ends(to);
        let scale = peer.shift(end);
        let is_syn = segment.flags.contains(Flags::SYN);
        let (Some(own), Some(theirs)) = (end.isn, peer.isn) else {
            // The SYN of either side, before the numbers of both are known: its window is the first allowance.
            end.allowed = end.allowed.max(1 + u32::from(segment.window));
            return;
        };
        let (at, ack) = (segment.seq.wrapping_sub(theirs), segment.ack.wrapping_sub(own));
        if at >= REACH {
            return;
        }
        if ack <= end.next && segment.flags.contains(Flags::ACK) {
            let window = u32::from(segment.window) << if is_syn { 0 } else { scale };
            end.allowed = end.allowed.max(ack + window);
        }
        if genuine {
            let length =
                segment.payload.len() as u32 + u32::from(segment.flags.contains(Flags::FIN)) + u32::from(is_syn);
            end.got.add(at, at + length);
        }
    }
}

impl End {
    /// The shift of the windows that it offers (RFC 7323, section 2.3).
    fn shift(&self, peer: &Self) -> u8 {
        if peer.scale.is_some() { self.scale.unwrap_or(0).min(14) } else { 0 }
    }

    /// What a window may be larger than it can be said.
    fn rounding(&self, peer: &Self) -> u32 {
        (1 << self.shift(peer)) - 1
    }

    fn read_offer(&mut self, options: &[WireOption]) {
        for option in options {
            match option {
                WireOption::WindowScale(shift) => self.scale = Some(*shift),
                WireOption::Timestamps(..) => self.stamps = true,
                _ => {}
            }
        }
    }

    /// Once agreed on, timestamps are in every segment (RFC 7323, section 3.2), and never run back.
    fn check_stamps(&mut self, peer: &Self, segment: &WireSegment) -> Result<(), String> {
        let stamp = segment.options.iter().find_map(|option| match option {
            WireOption::Timestamps(value, _) => Some(*value),
            _ => None,
        });
        let agreed = self.stamps && peer.stamps;
        if stamp.is_some() != agreed {
            return Err(format!("timestamps {stamp:?}"));
        }
        if let (Some(stamp), Some(last)) = (stamp, self.last_stamp)
            && stamp.wrapping_sub(last) > i32::MAX as u32
            && !self.is_out_of_time
        {
            return Err(format!("timestamp {stamp} after {last}"));
        }
        self.last_stamp = stamp;
        Ok(())
    }

    /// Acknowledged is what arrived, and no acknowledgment is taken back.
    fn check_acknowledgment(
        &mut self,
        peer: &Self,
        segment: &WireSegment,
        ack: u32,
        theirs: u32,
    ) -> Result<(), String> {
        if ack > self.got.first_gap() {
            return Err(format!("acknowledges {ack} of which {} arrived", self.got.first_gap()));
        }
        if ack < self.acked {
            return Err(format!("acknowledges {ack} after {}", self.acked));
        }
        for option in &segment.options {
            let WireOption::SackBlocks(blocks) = option else { continue };
            for (start, end) in blocks {
                let (start, end) = (start.wrapping_sub(theirs), end.wrapping_sub(theirs));
                // A D-SACK may be about a segment of the connection before.
                if start < REACH && !self.got.contains(start, end) {
                    return Err(format!("reports {start}..{end}, which did not arrive"));
                }
            }
        }
        let scale = self.shift(peer);
        self.acked = ack;
        self.edge = self.edge.max(ack + (u32::from(segment.window) << scale));
        Ok(())
    }

    /// Sent is what the peer has room for, but for the byte of a probe (RFC 9293, section 3.8.6.1).
    fn check_data(&mut self, segment: &WireSegment, at: u32) -> Result<(), String> {
        let end = at + segment.payload.len() as u32;
        if end > self.allowed && segment.payload.len() > 1 {
            return Err(format!("sends up to {end} where {} is allowed", self.allowed));
        }
        self.next = self.next.max(end + u32::from(segment.flags.contains(Flags::FIN)));
        Ok(())
    }
}
