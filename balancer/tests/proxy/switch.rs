//! The wire between all hosts: it knows hardware addresses, loses nothing unless told to, and puts each frame on a queue of its
//! own choice.

use std::collections::VecDeque;
use synward_nic::MemoryWire;
use synward_proto::{Instant, MacAddr};
use synward_testkit::hostile::{HostileLink, Rng, Weather};

/// Whatever frames are sent to.
struct Node {
    mac: MacAddr,
    /// One for each queue.
    wires: Vec<MemoryWire>,
    /// Frames for which there was no room yet.
    inbox: VecDeque<Vec<u8>>,
    /// What happens to frames on their way here.
    link: Option<HostileLink>,
    /// Nothing arrives.
    lost: bool,
}

pub struct Switch {
    nodes: Vec<Node>,
    random: Rng,
}

impl Switch {
    pub fn new(seed: u64) -> Self {
        Self { nodes: Vec::new(), random: Rng::new(seed) }
    }

    pub fn join(&mut self, mac: MacAddr, wires: Vec<MemoryWire>) {
        self.nodes.push(Node { mac, wires, inbox: VecDeque::new(), link: None, lost: false });
    }

    /// From now on frames to any host have this weather.
    pub fn set_weather(&mut self, weather: &Weather) {
        for node in &mut self.nodes {
            node.link = Some(HostileLink::new(weather.clone(), self.random.fork()));
        }
    }

    /// From now on the weather is fine; what is in the air is lost.
    pub fn clear_weather(&mut self) {
        self.nodes.iter_mut().for_each(|node| node.link = None);
    }

    /// Whether frames to this address are lost.
    pub fn lose(&mut self, mac: MacAddr, lost: bool) {
        for node in self.nodes.iter_mut().filter(|node| node.mac == mac) {
            node.lost = lost;
        }
    }

    /// Carries frames; true when there were any.
    pub fn turn(&mut self, now: Instant) -> bool {
        let sent = self.collect(now);
        let arrived = self.deliver(now);
        sent || arrived
    }

    /// When a frame arrives that is on its way.
    pub fn next_arrival(&self) -> Option<Instant> {
        let links = self.nodes.iter().filter_map(|node| node.link.as_ref());
        links.filter_map(HostileLink::next_arrival).min().map(|at| Instant::ZERO + at)
    }

    fn collect(&mut self, now: Instant) -> bool {
        let mut sent = Vec::new();
        for wire in self.nodes.iter_mut().flat_map(|node| &mut node.wires) {
            sent.extend(std::iter::from_fn(|| wire.take()));
        }
        let any = !sent.is_empty();
        for frame in sent {
            // Where nobody has the address, the frame is lost.
            let Some(node) = self.nodes.iter_mut().find(|node| node.mac.0 == frame[..6]) else { continue };
            match &mut node.link {
                _ if node.lost => {}
                Some(link) => link.send(now.since(Instant::ZERO), frame),
                None => node.inbox.push_back(frame),
            }
        }
        any
    }

    fn deliver(&mut self, now: Instant) -> bool {
        let mut any = false;
        for node in &mut self.nodes {
            let arrived =
                node.link.iter_mut().flat_map(|link| std::iter::from_fn(|| link.receive(now.since(Instant::ZERO))));
            node.inbox.extend(arrived);
            while let Some(frame) = node.inbox.front() {
                let queue = self.random.below(node.wires.len() as u64) as usize;
                if !node.wires[queue].push(frame) {
                    break;
                }
                node.inbox.pop_front();
                any = true;
            }
        }
        any
    }
}
