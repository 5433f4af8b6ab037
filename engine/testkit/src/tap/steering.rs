//! On which of its queues a device receives a frame.

use crate::hostile::Rng;

/// What a "NIC" goes by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Steering {
    /// A hash of addresses and ports: what belongs together arrives together. The engine cannot read it, as it can RSS.
    Hash,
    /// Everything arrives on this queue, whatever it is: what a peer achieves who chooses his ports by the hash.
    One(usize),
    /// Each frame arrives anywhere.
    Random,
}

impl Steering {
    /// The queue of a frame where there are so many, at least one.
    pub(super) fn queue(self, frame: &[u8], queues: usize, rng: &mut Rng) -> usize {
        match self {
            Self::Hash => hash(frame) as usize % queues,
            Self::One(queue) => queue.min(queues - 1),
            Self::Random => rng.below(queues as u64) as usize,
        }
    }
}

/// FNV-1a of addresses and ports, where IPv4 without options and IPv6 without extension headers have them; 0 for the rest.
fn hash(frame: &[u8]) -> u32 {
    let flow = match frame.get(12..14) {
        Some([0x08, 0x00]) => frame.get(26..38),
        Some([0x86, 0xdd]) => frame.get(22..58),
        _ => None,
    };
    flow.into_iter().flatten().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(port: u16) -> Vec<u8> {
        let mut frame = vec![0; 54];
        frame[12..14].copy_from_slice(&[0x08, 0x00]);
        frame[34..36].copy_from_slice(&port.to_be_bytes());
        frame
    }

    fn queues(steering: Steering, ports: impl Iterator<Item = u16>) -> Vec<usize> {
        let mut rng = Rng::new(1);
        ports.map(|port| steering.queue(&frame(port), 4, &mut rng)).collect()
    }

    #[test]
    fn a_flow_stays_on_its_queue_and_flows_use_all() {
        let seen = queues(Steering::Hash, 1000..1100);
        assert_eq!(seen, queues(Steering::Hash, 1000..1100));
        assert!((0..4).all(|queue| seen.contains(&queue)), "{seen:?}");
    }

    #[test]
    fn one_queue_is_one_queue_and_any_is_any() {
        assert_eq!(queues(Steering::One(2), 1000..1100), vec![2; 100]);
        assert_eq!(queues(Steering::One(7), 1000..1001), vec![3], "the last where there are not so many");
        let seen = queues(Steering::Random, std::iter::repeat_n(1000, 100));
        assert!((0..4).all(|queue| seen.contains(&queue)), "{seen:?}");
    }
}
