//! The covering bitmaps of bpf/lists.h: a bit for every source that a listed prefix may match.
//!
//! Words are worked out before they are stored, so that a bit which is needed is clear at no moment.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use aya::Ebpf;

use super::Prefix;
use crate::EbpfError;
use crate::mapped::Mapped;
use crate::shield::map_array;

/// `COVER_LINE_BITS`.
const LINE_BITS: u32 = 15;
/// `COVER_BIT_BITS`.
const BIT_BITS: u32 = 9;
/// `COVER_HALF_BITS`.
const HALF_BITS: u32 = BIT_BITS - 1;
const LINES: u32 = 1 << LINE_BITS;
const WORDS_IN_LINE: usize = (1 << BIT_BITS) / 64;
const WORDS: usize = LINES as usize * WORDS_IN_LINE;

/// `struct cover_line`.
type Line = [AtomicU64; WORDS_IN_LINE];
const _: () = assert!(size_of::<Line>() == 64);

/// Of IPv4: a bit for each block of 256 addresses.
pub(super) struct Cover4 {
    bitmap: Mapped<Line>,
}

/// How many bits the addresses of a block share: so many as number a bit.
const BLOCK_LENGTH: u8 = 24;
const _: () = assert!(BLOCK_LENGTH as u32 == LINE_BITS + BIT_BITS);

impl Cover4 {
    pub(super) fn take(object: &Ebpf) -> Result<Self, EbpfError> {
        Ok(Self { bitmap: map_array(object, "cover_ipv4", LINES)? })
    }

    /// Sets the bits of a prefix that has been listed.
    pub(super) fn add(&mut self, network: Ipv4Addr, length: u8) {
        for (index, bits) in words_of(blocks(network, length)) {
            let word = &self.bitmap.values().as_flattened()[index];
            word.store(word.load(Relaxed) | bits, Relaxed);
        }
    }

    /// Clears the bits of a prefix that is listed no more, but for those that others need, which are still `listed`.
    pub(super) fn remove<T>(&mut self, network: Ipv4Addr, length: u8, listed: &BTreeMap<Prefix, T>) {
        let region = Prefix::of(network.into(), length.min(BLOCK_LENGTH));
        if (0..=region.length()).any(|length| listed.contains_key(&Prefix::of(region.address(), length))) {
            return;
        }
        let blocks_of_region = blocks(network, region.length());
        let first = *blocks_of_region.start() as usize / 64;
        let mut needed = vec![0; *blocks_of_region.end() as usize / 64 + 1 - first];
        for (inside, _) in listed.range(region..=region.last()) {
            let IpAddr::V4(network) = inside.address() else { continue };
            for (index, bits) in words_of(blocks(network, inside.length())) {
                needed[index - first] |= bits;
            }
        }
        for ((index, bits), needed) in words_of(blocks_of_region).zip(needed) {
            let word = &self.bitmap.values().as_flattened()[index];
            word.store(word.load(Relaxed) & !bits | needed, Relaxed);
        }
    }
}

/// The blocks in which addresses of the prefix lie.
fn blocks(network: Ipv4Addr, length: u8) -> RangeInclusive<u32> {
    let beyond = u32::MAX.checked_shr(length.into()).unwrap_or(0);
    let block = |address: u32| address >> (Ipv4Addr::BITS - u32::from(BLOCK_LENGTH));
    block(network.to_bits())..=block(network.to_bits() | beyond)
}

/// The words in which the bits numbered so lie, and these bits of each.
fn words_of(bits: RangeInclusive<u32>) -> impl Iterator<Item = (usize, u64)> {
    let (first, last) = bits.into_inner();
    (first / 64..=last / 64).map(move |word| {
        let from = if word == first / 64 { first % 64 } else { 0 };
        let to = if word == last / 64 { last % 64 } else { 63 };
        (word as usize, u64::MAX >> (63 - to) & u64::MAX << from)
    })
}

/// Of IPv6: a line for each hash of an address's first 32 bits, in one half of it a bit for each further hash of these, in the
/// other a bit for each hash of the first 48.
pub(super) struct Cover6 {
    bitmap: Mapped<Line>,
    keys: CoverKeys,
    /// How many prefixes need a bit; none of them zero.
    bits: HashMap<u32, u32>,
    /// The bitmap of `bits`.
    needed: Vec<u64>,
    /// How many prefixes need every bit.
    everywhere: u32,
}

impl Cover6 {
    pub(super) fn take(object: &Ebpf, keys: CoverKeys) -> Result<Self, EbpfError> {
        Ok(Self::new(map_array(object, "cover_ipv6", LINES)?, keys))
    }

    /// Nothing is listed, and no bit is set.
    fn new(bitmap: Mapped<Line>, keys: CoverKeys) -> Self {
        Self { bitmap, keys, bits: HashMap::new(), needed: vec![0; WORDS], everywhere: 0 }
    }

    /// Sets the bits of a prefix that has been listed.
    pub(super) fn add(&mut self, network: Ipv6Addr, length: u8) {
        match need(network, length) {
            Need::Everything => {
                self.everywhere += 1;
                (0..WORDS).for_each(|word| self.publish(word));
            }
            Need::Of32(tops) => tops.for_each(|top32| self.add_bit(self.keys.bit_of32(top32))),
            Need::Of48(top48) => self.add_bit(self.keys.bit_of48(top48)),
        }
    }

    /// Clears the bits of a prefix that was added and is listed no more, but for those that others need.
    pub(super) fn remove(&mut self, network: Ipv6Addr, length: u8) {
        match need(network, length) {
            Need::Everything => {
                self.everywhere -= 1;
                (0..WORDS).for_each(|word| self.publish(word));
            }
            Need::Of32(tops) => tops.for_each(|top32| self.remove_bit(self.keys.bit_of32(top32))),
            Need::Of48(top48) => self.remove_bit(self.keys.bit_of48(top48)),
        }
    }

    fn add_bit(&mut self, bit: u32) {
        *self.bits.entry(bit).or_default() += 1;
        let word = bit as usize / 64;
        self.needed[word] |= 1 << (bit % 64);
        self.publish(word);
    }

    fn remove_bit(&mut self, bit: u32) {
        let Entry::Occupied(mut needed_by) = self.bits.entry(bit) else { return };
        *needed_by.get_mut() -= 1;
        if *needed_by.get() > 0 {
            return;
        }
        needed_by.remove();
        let word = bit as usize / 64;
        self.needed[word] &= !(1 << (bit % 64));
        self.publish(word);
    }

    fn publish(&self, word: usize) {
        let bits = if self.everywhere > 0 { u64::MAX } else { self.needed[word] };
        self.bitmap.values().as_flattened()[word].store(bits, Relaxed);
    }
}

/// What a prefix needs of the bitmap of IPv6.
#[derive(PartialEq, Eq, Debug)]
enum Need {
    /// All of it: the prefix is shorter than [`BIT_BY_BIT`].
    Everything,
    /// The bits of these /32, each named by its 32 bits as a number.
    Of32(RangeInclusive<u32>),
    /// The bit of this /48, named likewise.
    Of48(u64),
}

/// From this length on, a prefix has the bits of its /32 set: 65,536 at most, one in 128 of those there are.
const BIT_BY_BIT: u8 = 16;
const _: () = assert!(1 << (32 - BIT_BY_BIT) == 65_536 && 65_536 * 128 == LINES << HALF_BITS);

fn need(network: Ipv6Addr, length: u8) -> Need {
    let first = network.to_bits();
    match length {
        48.. => Need::Of48((first >> 80) as u64),
        BIT_BY_BIT.. => Need::Of32((first >> 96) as u32..=((first | u128::MAX >> length) >> 96) as u32),
        _ => Need::Everything,
    }
}

/// `cover_keys` of the program: odd factors of the hashes of a /32 and of a /48.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CoverKeys([u64; 2]);

impl CoverKeys {
    /// Keys made of random words, which should be secret.
    pub(crate) const fn new(words: [u64; 2]) -> Self {
        Self([words[0] | 1, words[1] | 1])
    }

    /// As the program has them.
    pub(crate) const fn words(&self) -> &[u64; 2] {
        &self.0
    }

    /// The number of a bit in the first half of its line.
    fn bit_of32(&self, top32: u32) -> u32 {
        let hash = self.hash_of32(top32);
        (hash >> HALF_BITS << BIT_BITS) + hash % (1 << HALF_BITS)
    }

    /// The number of a bit in the second half of its line.
    fn bit_of48(&self, top48: u64) -> u32 {
        let line = self.hash_of32((top48 >> 16) as u32) >> HALF_BITS;
        let hash = top48.wrapping_mul(self.0[1]) >> (64 - HALF_BITS);
        (line << BIT_BITS) + (1 << HALF_BITS) + hash as u32
    }

    fn hash_of32(&self, top32: u32) -> u32 {
        (u64::from(top32).wrapping_mul(self.0[0]) >> (64 - LINE_BITS - HALF_BITS)) as u32
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    use std::sync::atomic::Ordering::Relaxed;

    use super::{BIT_BITS, Cover4, Cover6, CoverKeys, HALF_BITS, LINES, Line, Need, WORDS, blocks, need, words_of};
    use crate::Prefix;
    use crate::mapped::Mapped;

    /// Adds and removes prefixes that overlap in every way; `change` is told each, and what is listed then.
    fn come_and_go(mut change: impl FnMut(Prefix, bool, &BTreeMap<Prefix, ()>), any: impl Fn(u64) -> Prefix) {
        let mut listed = BTreeMap::new();
        let mut state = 1_u64;
        for _ in 0..400 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let prefix = any(state >> 24);
            let is_new = listed.insert(prefix, ()).is_none();
            if !is_new {
                listed.remove(&prefix);
            }
            change(prefix, is_new, &listed);
        }
        while let Some((prefix, ())) = listed.pop_first() {
            change(prefix, false, &listed);
        }
    }

    fn bits_of(bitmap: &Mapped<Line>) -> Vec<u64> {
        bitmap.values().as_flattened().iter().map(|word| word.load(Relaxed)).collect()
    }

    #[test]
    fn bitmap_of_ipv4_has_the_bits_of_what_is_listed_and_no_others() {
        let mut cover = Cover4 { bitmap: Mapped::unshared(LINES as usize) };
        let change = |prefix: Prefix, is_new: bool, listed: &BTreeMap<Prefix, ()>| {
            let IpAddr::V4(network) = prefix.address() else { panic!("{prefix}") };
            match is_new {
                true => cover.add(network, prefix.length()),
                false => cover.remove(network, prefix.length(), listed),
            }
            let mut wanted = vec![0; WORDS];
            for prefix in listed.keys() {
                let IpAddr::V4(network) = prefix.address() else { panic!("{prefix}") };
                words_of(blocks(network, prefix.length())).for_each(|(word, bits)| wanted[word] |= bits);
            }
            assert!(bits_of(&cover.bitmap) == wanted, "{prefix}, {is_new}, with {listed:?}");
        };
        come_and_go(change, |random| {
            let length = [0, 3, 8, 12, 17, 18, 20, 23, 24, 25, 31, 32][random as usize % 12];
            Prefix::of(Ipv4Addr::from_bits(0x0a00_0000 ^ 1 << (random >> 8 & 31)).into(), length)
        });
    }

    #[test]
    fn bitmap_of_ipv6_has_the_bits_of_what_is_listed_and_no_others() {
        let keys = CoverKeys::new([0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210]);
        let mut cover = Cover6::new(Mapped::unshared(LINES as usize), keys);
        let change = |prefix: Prefix, is_new: bool, listed: &BTreeMap<Prefix, ()>| {
            let parts = |prefix: Prefix| match prefix.address() {
                IpAddr::V6(network) => (network, prefix.length()),
                IpAddr::V4(_) => panic!("{prefix}"),
            };
            let (network, length) = parts(prefix);
            match is_new {
                true => cover.add(network, length),
                false => cover.remove(network, length),
            }
            let mut wanted = vec![0; WORDS];
            for prefix in listed.keys() {
                let (network, length) = parts(*prefix);
                let mut set = |bit: u32| wanted[bit as usize / 64] |= 1 << (bit % 64);
                match need(network, length) {
                    Need::Everything => wanted.fill(u64::MAX),
                    Need::Of32(tops) => tops.for_each(|top32| set(keys.bit_of32(top32))),
                    Need::Of48(top48) => set(keys.bit_of48(top48)),
                }
            }
            assert!(bits_of(&cover.bitmap) == wanted, "{prefix}, {is_new}, with {listed:?}");
        };
        come_and_go(change, |random| {
            let length = [0, 15, 25, 31, 32, 33, 40, 47, 48, 49, 64, 128][random as usize % 12];
            let address = 0x2001_0db8 << 96 ^ 1 << (random >> 8 & 127);
            Prefix::of(Ipv6Addr::from_bits(address).into(), length)
        });
    }

    #[test]
    fn blocks_of_prefixes() {
        for (network, length, wanted) in [
            ("0.0.0.0", 0, 0..=0xff_ffff),
            ("10.0.0.0", 8, 0x0a_0000..=0x0a_ffff),
            ("10.1.2.0", 24, 0x0a_0102..=0x0a_0102),
            ("10.1.2.128", 25, 0x0a_0102..=0x0a_0102),
            ("10.1.2.0", 23, 0x0a_0102..=0x0a_0103),
            ("255.255.255.255", 32, 0xff_ffff..=0xff_ffff),
        ] {
            assert_eq!(blocks(network.parse().unwrap(), length), wanted, "{network}/{length}");
        }
    }

    #[test]
    fn words_have_just_the_bits_of_the_range() {
        for (first, last) in [(0, 0), (63, 63), (63, 64), (1, 62), (0, 63), (64, 127), (5, 200), (0, 0xff_ffff)] {
            let words: Vec<_> = words_of(first..=last).collect();
            let ones: u32 = words.iter().map(|(_, bits)| bits.count_ones()).sum();
            assert_eq!(ones, last - first + 1, "{first}..={last}");
            for bit in [first, last] {
                assert!(words.iter().any(|(word, bits)| *word as u32 == bit / 64 && bits >> (bit % 64) & 1 == 1));
            }
        }
    }

    #[test]
    fn prefixes_of_ipv6_need_the_bits_of_what_they_reach_into() {
        let need = |network: &str, length| need(network.parse().unwrap(), length);
        assert_eq!(need("::", 15), Need::Everything);
        assert_eq!(need("2001::", 16), Need::Of32(0x2001_0000..=0x2001_ffff));
        assert_eq!(need("2001:db8::", 31), Need::Of32(0x2001_0db8..=0x2001_0db9));
        assert_eq!(need("2001:db8::", 32), Need::Of32(0x2001_0db8..=0x2001_0db8));
        assert_eq!(need("2001:db8:fffe::", 47), Need::Of32(0x2001_0db8..=0x2001_0db8));
        assert_eq!(need("2001:db8:ffff::", 48), Need::Of48(0x2001_0db8_ffff));
        assert_eq!(need("2001:db8:ffff:ffff::1", 128), Need::Of48(0x2001_0db8_ffff));
    }

    #[test]
    fn bits_of_a_prefix_lie_in_the_halves_of_one_line() {
        let keys = CoverKeys::new([0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210]);
        for top32 in [0, 1, 0x2001_0db8, u32::MAX] {
            let (of32, of48) = (keys.bit_of32(top32), keys.bit_of48(u64::from(top32) << 16 | 0xffff));
            assert_eq!(of32 >> BIT_BITS, of48 >> BIT_BITS);
            assert_eq!((of32 >> HALF_BITS & 1, of48 >> HALF_BITS & 1), (0, 1));
        }
    }
}
