//! Samples of who sends what is refused, and of who proves to be real: taken out of the program's rings (bpf/samples.h).
//!
//! Invariant defended (by the `Shared` implementation): see there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use aya::Ebpf;
use aya::util::nr_cpus;

use crate::EbpfError;
use crate::mapped::{Mapped, Shared};
use crate::shield::map_array;

/// What a sampled segment was.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SampleKind {
    /// A SYN that the program answered with a cookie.
    Answered,
    /// A segment for a guarded listener that the program dropped, for whatever reason.
    Refused,
    /// A segment that brought a cookie home.
    Proven,
}

/// A segment, and how many it stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sample {
    /// Where it came from, or said so: only who has proved something is surely there.
    pub source: IpAddr,
    /// What it was.
    pub kind: SampleKind,
    /// How many it stands for, itself included: of those who have proved nothing, one in 32 is written; and those that were
    /// written over before they were read are shared out among the others of their ring.
    pub weight: u64,
}

/// `struct sample`: tag, address, check.
type RawSample = [AtomicU64; 4];

/// `RING_SAMPLES`.
const RING_SAMPLES: usize = 1024;

/// `struct sample_ring`.
#[derive(Debug)]
#[repr(C)]
struct Ring {
    written: AtomicU64,
    unused: [AtomicU64; 7],
    samples: [RawSample; RING_SAMPLES],
}

const _: () = assert!(size_of::<Ring>() == 64 + 32 * RING_SAMPLES);
// SAFETY: `repr(C)`, atomic integers of one size and so without padding, a multiple of eight bytes.
unsafe impl Shared for Ring {}

/// How many events a sample stands for, in each of the rings of a processor: `RING_UNPROVEN`, `RING_PROVEN`.
const STRIDES: [u64; 2] = [32, 1];

/// All rings, and how far they have been read.
pub(crate) struct Samples {
    rings: Mapped<Ring>,
    read: Vec<u64>,
}

impl Samples {
    /// How many rings a program on this machine needs.
    ///
    /// # Errors
    /// [`EbpfError::Processors`].
    pub(crate) fn rings() -> Result<u32, EbpfError> {
        let processors = nr_cpus().map_err(|(path, source)| EbpfError::Processors { path, source })?;
        Ok(u32::try_from(processors * STRIDES.len()).unwrap_or(u32::MAX))
    }

    /// The `rings` of the program in `object`.
    pub(crate) fn take(object: &Ebpf, rings: u32) -> Result<Self, EbpfError> {
        Ok(Self { rings: map_array(object, "samples", rings)?, read: vec![0; rings as usize] })
    }

    /// See [`Shield::take_samples`](crate::Shield::take_samples).
    pub(crate) fn take_new(&mut self) -> Vec<Sample> {
        let mut samples = Vec::new();
        for ((ring, read), stride) in self.rings.values().iter().zip(&mut self.read).zip(STRIDES.iter().cycle()) {
            let first = samples.len();
            let written = ring.written.load(Acquire);
            let oldest = written.saturating_sub(RING_SAMPLES as u64);
            samples.extend((oldest.max(*read)..written).filter_map(|number| ring.sample(number)));
            let new = written - *read;
            weigh(&mut samples[first..], stride * new);
            *read = written;
        }
        samples
    }
}

/// Shares `events` out among samples.
fn weigh(samples: &mut [Sample], events: u64) {
    let mut left = events;
    for (index, sample) in samples.iter_mut().enumerate().rev() {
        sample.weight = left / (index as u64 + 1);
        left -= sample.weight;
    }
}

impl Ring {
    /// The sample of that number, unless it has been written over, or is being so.
    fn sample(&self, number: u64) -> Option<Sample> {
        let words = self.samples[number as usize % RING_SAMPLES].each_ref().map(|word| word.load(Relaxed));
        decode(words, number)
    }
}

fn decode([tag, first, second, check]: [u64; 4], number: u64) -> Option<Sample> {
    if check != tag.wrapping_add(first).wrapping_add(second) || tag >> 16 != number & (u64::MAX >> 16) {
        return None;
    }
    let kind = match tag & 0xff {
        1 => SampleKind::Answered,
        2 => SampleKind::Refused,
        3 => SampleKind::Proven,
        _ => return None,
    };
    let address = u128::from_be_bytes([first.to_ne_bytes(), second.to_ne_bytes()].concat().try_into().ok()?);
    let source = match tag >> 8 & 0xff {
        4 => Ipv4Addr::from_bits((address >> 96) as u32).into(),
        6 => Ipv6Addr::from_bits(address).into(),
        _ => return None,
    };
    Some(Sample { source, kind, weight: 0 })
}

#[cfg(test)]
mod tests {
    use super::{Sample, SampleKind, decode, weigh};

    fn encode(number: u64, address: &str, family: u64, kind: u64) -> [u64; 4] {
        let mut bytes = [0; 16];
        match address.parse().unwrap() {
            std::net::IpAddr::V4(address) => bytes[..4].copy_from_slice(&address.octets()),
            std::net::IpAddr::V6(address) => bytes = address.octets(),
        }
        let word = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
        let tag = number << 16 | family << 8 | kind;
        [tag, word(0), word(8), tag.wrapping_add(word(0)).wrapping_add(word(8))]
    }

    #[test]
    fn samples_are_read_as_they_were_written() {
        for (number, address, family, kind, wanted) in [
            (0, "192.0.2.1", 4, 1, SampleKind::Answered),
            (7, "2001:db8::1", 6, 2, SampleKind::Refused),
            (1 << 48 | 5, "ffff::", 6, 3, SampleKind::Proven),
        ] {
            let words = encode(number, address, family, kind);
            let sample = Sample { source: address.parse().unwrap(), kind: wanted, weight: 0 };
            assert_eq!(decode(words, number), Some(sample));
            assert_eq!(decode(words, number + 1024), None, "an older one in its place");
        }
        assert_eq!(decode([0; 4], 0), None, "a place that was never written");
        for (family, kind) in [(4, 0), (4, 4), (5, 1)] {
            assert_eq!(decode(encode(3, "192.0.2.1", family, kind), 3), None);
        }
    }

    /// Words of the old and of the new sample in every mixture.
    #[test]
    fn a_sample_that_is_being_written_is_none() {
        let (old, new) = (encode(9, "192.0.2.1", 4, 1), encode(1033, "2001:db8::1", 6, 2));
        for mixture in 0..15 {
            let words = [0, 1, 2, 3].map(|word| if mixture >> word & 1 == 1 { new[word] } else { old[word] });
            assert_eq!(decode(words, 1033), None, "{mixture:04b}");
        }
        assert!(decode(new, 1033).is_some());
    }

    #[test]
    fn weights_add_up_to_the_events() {
        for (samples, events) in [(1, 1), (3, 3), (3, 100), (1024, 100_003), (7, 224)] {
            let one = Sample { source: [192, 0, 2, 1].into(), kind: SampleKind::Refused, weight: 0 };
            let mut weighed = vec![one; samples];
            weigh(&mut weighed, events);
            assert_eq!(weighed.iter().map(|sample| sample.weight).sum::<u64>(), events);
            let (least, most) = (events / samples as u64, events.div_ceil(samples as u64));
            assert!(weighed.iter().all(|sample| (least..=most).contains(&sample.weight)));
        }
        weigh(&mut [], 5);
    }
}
