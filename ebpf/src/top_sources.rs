//! The sources that send most of what is refused: a count of samples in bounded memory, however many sources there are.

use std::collections::{BTreeSet, HashMap};

use crate::{Prefix, Sample, SampleKind};

/// Which sources have sent most that proves nothing, as running averages: each [turn](Self::turn) halves them, so that just
/// after it, a count is what comes between two turns, and what came earlier counts for less and less.
///
/// The counts are those of Space-Saving (Metwally, Agrawal and El Abbadi, 2005): each source whose true count is more than all
/// counts together by the capacity is among those that are kept, and
/// no count is too low but for rounding.
#[derive(Debug)]
pub struct TopSources {
    capacity: usize,
    kept: HashMap<Prefix, Kept>,
    /// The same by count, the least first.
    by_count: BTreeSet<(u64, Prefix)>,
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    unproven: u64,
    excess: u64,
    proven: u64,
    turns: u32,
    turns_since_proof: Option<u32>,
}

/// A source that sends much.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TopSource {
    /// An address of IPv4, or a /64 of IPv6, whose addresses are all one host's to take.
    pub source: Prefix,
    /// Segments that were answered with a cookie or refused, per turn.
    pub unproven: u64,
    /// By how much `unproven` may be too high: what sources had that made room for this one.
    pub excess: u64,
    /// Cookies that came home from there, per turn, since it is kept.
    pub proven: u64,
    /// For how many turns it has been kept.
    pub turns: u32,
    /// How many turns ago the last cookie came home since it is kept; `None`: none has.
    pub turns_since_proof: Option<u32>,
}

impl TopSources {
    /// Keeps `capacity` sources, at least one.
    pub fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), kept: HashMap::new(), by_count: BTreeSet::new() }
    }

    /// The source that an address belongs to.
    pub fn source_of(address: std::net::IpAddr) -> Prefix {
        Prefix::of(address, if address.is_ipv4() { 32 } else { 64 })
    }

    /// Counts a sample.
    pub fn add(&mut self, sample: &Sample) {
        let source = Self::source_of(sample.source);
        match sample.kind {
            SampleKind::Answered | SampleKind::Refused => self.add_unproven(source, sample.weight),
            SampleKind::Proven => self.add_proven(source, sample.weight),
        }
    }

    fn add_unproven(&mut self, source: Prefix, weight: u64) {
        let kept = match self.kept.get(&source).copied() {
            Some(kept) => {
                self.by_count.remove(&(kept.unproven, source));
                kept
            }
            None => self.room(),
        };
        let kept = Kept { unproven: kept.unproven.saturating_add(weight), ..kept };
        self.by_count.insert((kept.unproven, source));
        self.kept.insert(source, kept);
    }

    /// Room for one source more, with what it must take over from the one that had it.
    fn room(&mut self) -> Kept {
        let mut excess = 0;
        if self.kept.len() >= self.capacity
            && let Some((least, source)) = self.by_count.pop_first()
        {
            self.kept.remove(&source);
            excess = least;
        }
        Kept { unproven: excess, excess, proven: 0, turns: 0, turns_since_proof: None }
    }

    /// Who sends little that proves nothing is not kept for what it proves.
    fn add_proven(&mut self, source: Prefix, weight: u64) {
        if let Some(kept) = self.kept.get_mut(&source) {
            kept.proven = kept.proven.saturating_add(weight);
            kept.turns_since_proof = Some(0);
        }
    }

    /// Halves all counts, and forgets whom nothing is left of. To be called at even distances.
    pub fn turn(&mut self) {
        self.kept.retain(|_, kept| {
            kept.unproven /= 2;
            kept.excess /= 2;
            kept.proven /= 2;
            kept.turns = kept.turns.saturating_add(1);
            kept.turns_since_proof = kept.turns_since_proof.map(|turns| turns.saturating_add(1));
            kept.unproven > 0
        });
        self.by_count = self.kept.iter().map(|(source, kept)| (kept.unproven, *source)).collect();
    }

    /// Those that are kept, the largest count first.
    pub fn iter(&self) -> impl Iterator<Item = TopSource> {
        self.by_count.iter().rev().filter_map(|(_, source)| {
            let Kept { unproven, excess, proven, turns, turns_since_proof } = *self.kept.get(source)?;
            Some(TopSource { source: *source, unproven, excess, proven, turns, turns_since_proof })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::net::{IpAddr, Ipv4Addr};

    use super::{TopSource, TopSources};
    use crate::{Prefix, Sample, SampleKind};

    fn sample(source: &str, kind: SampleKind, weight: u64) -> Sample {
        Sample { source: source.parse().unwrap(), kind, weight }
    }

    fn top(sources: &TopSources) -> TopSource {
        sources.iter().next().unwrap()
    }

    #[test]
    fn the_largest_come_first_and_count_what_they_sent() {
        let mut sources = TopSources::new(8);
        for (source, kind, weight) in [
            ("192.0.2.1", SampleKind::Refused, 32),
            ("192.0.2.2", SampleKind::Answered, 64),
            ("192.0.2.1", SampleKind::Answered, 64),
            ("2001:db8::1", SampleKind::Refused, 100),
            ("2001:db8::ffff:1", SampleKind::Refused, 100),
            ("192.0.2.2", SampleKind::Proven, 5),
            ("192.0.2.3", SampleKind::Proven, 500),
        ] {
            sources.add(&sample(source, kind, weight));
        }
        let seen: Vec<_> = sources.iter().map(|top| (top.source.to_string(), top.unproven, top.proven)).collect();
        let wanted = [("2001:db8::/64", 200, 0), ("192.0.2.1/32", 96, 0), ("192.0.2.2/32", 64, 5)];
        assert_eq!(seen, wanted.map(|(source, unproven, proven)| (source.to_string(), unproven, proven)));
        assert!(sources.iter().all(|top| top.excess == 0));
    }

    #[test]
    fn a_turn_halves_and_ages() {
        let mut sources = TopSources::new(8);
        for turn in 0..20 {
            sources.add(&sample("192.0.2.1", SampleKind::Refused, 1000));
            assert_eq!((top(&sources).turns, top(&sources).turns_since_proof), (turn, None));
            sources.turn();
        }
        assert!((998..=1000).contains(&top(&sources).unproven), "a running average: {:?}", top(&sources));
        sources.add(&sample("192.0.2.1", SampleKind::Proven, 9));
        assert_eq!((top(&sources).proven, top(&sources).turns_since_proof), (9, Some(0)));
        sources.turn();
        sources.turn();
        assert_eq!((top(&sources).proven, top(&sources).turns_since_proof), (2, Some(2)));
        (0..20).for_each(|_| sources.turn());
        assert_eq!(sources.iter().count(), 0, "silence is forgotten");
    }

    /// Among many times more sources than are kept, those that send much are found, and no count is too low or wrong by more
    /// than it says.
    #[test]
    fn heavy_sources_are_found_among_many() {
        let mut sources = TopSources::new(64);
        let mut truth: HashMap<Prefix, u64> = HashMap::new();
        let mut state = 1_u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as u32
        };
        for _ in 0..50_000 {
            let address: IpAddr = match random() % 10 {
                0 => Ipv4Addr::new(203, 0, 113, (random() % 3) as u8).into(),
                _ => Ipv4Addr::from_bits(random()).into(),
            };
            sources.add(&Sample { source: address, kind: SampleKind::Answered, weight: 32 });
            *truth.entry(address.into()).or_default() += 32;
        }
        let kept: Vec<_> = sources.iter().collect();
        assert_eq!(kept.len(), 64);
        assert!(kept.is_sorted_by(|a, b| a.unproven >= b.unproven));
        for top in &kept {
            let sent = truth[&top.source];
            assert!((top.unproven - top.excess..=top.unproven).contains(&sent), "{top:?} sent {sent}");
        }
        let all: u64 = truth.values().sum();
        for (source, _) in truth.iter().filter(|(_, sent)| **sent > all / 64) {
            assert!(kept[..3].iter().any(|top| top.source == *source), "{source}");
        }
        assert_eq!(truth.values().filter(|sent| **sent > all / 64).count(), 3);
    }

    #[test]
    fn there_is_room_for_one() {
        let mut sources = TopSources::new(0);
        sources.add(&sample("192.0.2.1", SampleKind::Refused, 32));
        sources.add(&sample("192.0.2.2", SampleKind::Refused, 32));
        let TopSource { source, unproven, excess, .. } = top(&sources);
        assert_eq!((source.to_string().as_str(), unproven, excess), ("192.0.2.2/32", 64, 32));
        assert_eq!(sources.iter().count(), 1);
    }
}
