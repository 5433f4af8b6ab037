//! Hosts that take part in connections, each in a bad way.

use super::{bare, frame, offer};
use crate::hostile::Rng;
use crate::simulator::faults::Side;
use crate::simulator::options::{Options, address};
use crate::wire::{WireOption, WireSegment, decode};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;
use synward_proto::{Endpoint, Flags};

/// The first of their addresses.
pub(super) const FIRST_HOST: u16 = 256;
/// How many hosts they are.
pub(super) const HOSTS: u16 = 16;
/// From hearing something to answering it.
const THINKING: Duration = Duration::from_millis(10);
/// Segments in answer to all that one connection hears: a zombie is no endless echo.
const PATIENCE: u32 = 40;

/// What a host does to its connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Vice {
    /// It never completes a handshake.
    Drops,
    /// It completes the handshake, and its window stays closed.
    Holds,
    /// It sends single bytes with holes between them, and SACKs of what it did not get.
    Crumbles,
    /// It acknowledges what it did not get, and what was not sent.
    Anticipates,
}

const VICES: [Vice; 4] = [Vice::Drops, Vice::Holds, Vice::Crumbles, Vice::Anticipates];

/// All of them.
#[derive(Debug)]
pub struct Zombies {
    ipv6: bool,
    server: Endpoint,
    rng: Rng,
    /// Answers left, by end.
    alive: BTreeMap<Endpoint, u32>,
    /// What they are about to send.
    thinking: BinaryHeap<Reverse<(Duration, Vec<u8>)>>,
}

impl Zombies {
    pub fn new(options: &Options, rng: Rng) -> Self {
        let (ipv6, server) = (options.ipv6, options.server_end());
        Self { ipv6, server, rng, alive: BTreeMap::new(), thinking: BinaryHeap::new() }
    }

    /// They fall silent.
    pub fn stop(&mut self) {
        self.alive.clear();
        self.thinking.clear();
    }

    /// One of them begins a connection.
    pub fn knock(&mut self, now: Duration) {
        let host = FIRST_HOST + self.rng.below(HOSTS.into()) as u16;
        let end = Endpoint::new(address(self.ipv6, host), 1024 + self.rng.below(60_000) as u16);
        self.alive.insert(end, PATIENCE);
        let mut syn = bare(end, self.server, Flags::SYN, (self.rng.next() as u32, 0));
        syn.options = offer(&mut self.rng);
        self.say(now, &syn);
    }

    fn say(&mut self, at: Duration, segment: &WireSegment) {
        self.thinking.push(Reverse((at, frame(Side::Server, segment).1)));
    }

    /// When somebody says something.
    pub fn next_shot(&self) -> Option<Duration> {
        self.thinking.peek().map(|Reverse((at, _))| *at)
    }

    /// What is said by `now`.
    pub fn shoot(&mut self, now: Duration) -> Vec<(Side, Vec<u8>)> {
        let mut shots = Vec::new();
        while self.next_shot().is_some_and(|at| at <= now) {
            shots.extend(self.thinking.pop().map(|Reverse((_, frame))| (Side::Server, frame)));
        }
        shots
    }

    /// A frame of the server's for one of them.
    pub fn hear(&mut self, now: Duration, frame: &[u8]) {
        let Ok((_, heard)) = decode(frame) else { return };
        let Some(left) = self.alive.get_mut(&heard.destination).filter(|left| **left > 0) else { return };
        *left -= 1;
        if heard.flags.contains(Flags::RST) {
            self.alive.remove(&heard.destination);
            return;
        }
        let vice = VICES[usize::from(heard.destination.port) % VICES.len()];
        for answer in self.answers(vice, &heard) {
            self.say(now + THINKING, &answer);
        }
    }

    fn answers(&mut self, vice: Vice, heard: &WireSegment) -> Vec<WireSegment> {
        let length = heard.payload.len() as u32 + u32::from(heard.flags.contains(Flags::SYN));
        let mut answer = bare(heard.destination, self.server, Flags::ACK, (heard.ack, heard.seq.wrapping_add(length)));
        let stamp = heard.options.iter().find_map(|option| match option {
            WireOption::Timestamps(value, echo) => Some(WireOption::Timestamps(echo.wrapping_add(10), *value)),
            _ => None,
        });
        answer.options.extend(stamp);
        match vice {
            Vice::Drops => return Vec::new(),
            Vice::Holds => answer.window = 0,
            Vice::Crumbles => return self.crumbs(&answer),
            Vice::Anticipates => answer.ack = answer.ack.wrapping_add(self.rng.below(20_000) as u32),
        }
        vec![answer]
    }

    /// The answer, and bytes with holes between them.
    fn crumbs(&mut self, answer: &WireSegment) -> Vec<WireSegment> {
        let mut crumbs = vec![answer.clone()];
        for _ in 0..self.rng.below(4) {
            let at = 2 * self.rng.below(500) as u32;
            let mut crumb = answer.clone();
            crumb.seq = crumb.seq.wrapping_add(at);
            crumb.payload = vec![at as u8];
            let end = crumb.ack.wrapping_add(1 + self.rng.below(3_000) as u32);
            crumb.options.push(WireOption::SackBlocks(vec![(end, end.wrapping_add(1)), (end.wrapping_add(5), end)]));
            crumbs.push(crumb);
        }
        crumbs
    }
}
