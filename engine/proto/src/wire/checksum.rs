//! The Internet checksum (RFC 1071; TCP's pseudo-header is RFC 9293, section 3.1, and RFC 8200, section 8.1).

use core::net::{Ipv4Addr, Ipv6Addr};

/// The protocol numbers of TCP and ICMPv6, as the pseudo-header holds them.
const TCP: u16 = 6;
const ICMPV6: u16 = 58;

/// A one's complement sum in progress, kept in the machine's byte order.
///
/// The sum does not depend on byte order (RFC 1071, section 2 B): words are added as they lie in memory, and the result
/// is stored as it lies in memory. It is exact for up to 2³¹ bytes.
#[derive(Clone, Copy, Default, Debug)]
pub struct Sum(u64);

impl Sum {
    /// The sum of nothing.
    pub const ZERO: Self = Self(0);

    /// The sum of `bytes`, an odd last byte padded with zero.
    #[inline]
    pub fn of(bytes: &[u8]) -> Self {
        let (words, tail) = bytes.as_chunks::<8>();
        let mut lanes = Lanes::default();
        for word in words {
            lanes.add(*word);
        }
        lanes.finish(tail)
    }

    /// Copies `from` to the start of `to` and returns its sum, touching each byte once. What does not fit in `to` is
    /// neither copied nor summed.
    #[inline]
    pub fn copy(from: &[u8], to: &mut [u8]) -> Self {
        let len = from.len().min(to.len());
        let (from, to) = (&from[..len], &mut to[..len]);
        let (words, tail) = from.as_chunks::<8>();
        let (slots, tail_slot) = to.as_chunks_mut::<8>();
        let mut lanes = Lanes::default();
        for (word, slot) in words.iter().zip(slots) {
            *slot = *word;
            lanes.add(*word);
        }
        tail_slot.copy_from_slice(tail);
        lanes.finish(tail)
    }

    /// The sum of TCP's pseudo-header over IPv4, for a segment of `len` bytes, header included.
    pub fn pseudo_header_v4(source: Ipv4Addr, destination: Ipv4Addr, len: u16) -> Self {
        let word = |addr: Ipv4Addr| u64::from(u32::from_ne_bytes(addr.octets()));
        Self(word(source) + word(destination)).plus(Self::of_length(len, TCP))
    }

    /// The sum of TCP's pseudo-header over IPv6, for a segment of `len` bytes, header included.
    pub fn pseudo_header_v6(source: Ipv6Addr, destination: Ipv6Addr, len: u16) -> Self {
        Self::of(&source.octets()).plus(Self::of(&destination.octets())).plus(Self::of_length(len, TCP))
    }

    /// The sum of ICMPv6's pseudo-header, for a message of `len` bytes, header included (RFC 4443, section 2.3).
    pub fn pseudo_header_icmpv6(source: Ipv6Addr, destination: Ipv6Addr, len: u16) -> Self {
        Self::of(&source.octets()).plus(Self::of(&destination.octets())).plus(Self::of_length(len, ICMPV6))
    }

    fn of_length(len: u16, protocol: u16) -> Self {
        Self(u64::from(len.to_be()) + u64::from(protocol.to_be()))
    }

    /// The sum of both.
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// The sum of the same bytes one byte further on: after an odd number of bytes, those that follow change places
    /// within their words (RFC 1071, section 2 B).
    pub const fn shifted(self) -> Self {
        Self(self.folded().swap_bytes() as u64)
    }

    /// The sum in 16 bits. Zero only for a sum of nothing but zero bytes.
    const fn folded(self) -> u16 {
        let mut sum = self.0;
        while sum >> 16 != 0 {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    /// The sum itself as a header field: what a kernel leaves for hardware to complete.
    pub const fn unfinished(self) -> [u8; 2] {
        self.folded().to_ne_bytes()
    }

    /// The checksum as a header field: the complement of the sum.
    pub const fn finished(self) -> [u8; 2] {
        (!self.folded()).to_ne_bytes()
    }

    /// Whether bytes that include their checksum are intact.
    pub const fn is_intact(self) -> bool {
        self.folded() == u16::MAX
    }
}

/// Two running sums instead of one with carries, so that the loop has no dependency between words and vectorises: the
/// words themselves modulo 2⁶⁴, and their upper halves. The lower halves are what is left.
#[derive(Clone, Copy, Default)]
struct Lanes {
    words: u64,
    upper: u64,
}

impl Lanes {
    #[inline(always)]
    const fn add(&mut self, word: [u8; 8]) {
        let word = u64::from_ne_bytes(word);
        self.words = self.words.wrapping_add(word);
        self.upper = self.upper.wrapping_add(word >> 32);
    }

    /// Adds the last bytes, fewer than eight.
    #[inline(always)]
    const fn finish(self, tail: &[u8]) -> Sum {
        let lower = self.words.wrapping_sub(self.upper << 32);
        let mut sum = lower + self.upper;
        let mut tail = tail;
        if let Some((four, rest)) = tail.split_first_chunk() {
            sum += u32::from_ne_bytes(*four) as u64;
            tail = rest;
        }
        if let Some((two, rest)) = tail.split_first_chunk() {
            sum += u16::from_ne_bytes(*two) as u64;
            tail = rest;
        }
        if let [last, ..] = *tail {
            sum += u16::from_ne_bytes([last, 0]) as u64;
        }
        Sum(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::Sum;
    use core::net::{Ipv4Addr, Ipv6Addr};
    use proptest::prelude::*;

    /// RFC 1071, section 4.1, word by word in network order.
    fn reference(bytes: &[u8]) -> [u8; 2] {
        let mut sum = 0u64;
        for pair in bytes.chunks(2) {
            sum += u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0));
        }
        while sum >> 16 != 0 {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        (sum as u16).to_be_bytes()
    }

    #[test]
    fn the_example_of_rfc_1071() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::of(&bytes).unfinished(), [0xdd, 0xf2]);
        assert_eq!(Sum::of(&bytes).finished(), [0x22, 0x0d]);
    }

    #[test]
    fn all_ones_do_not_overflow() {
        let bytes = [0xff; 65535];
        assert_eq!(Sum::of(&bytes).unfinished(), reference(&bytes));
    }

    #[test]
    fn an_empty_or_zero_sum_is_not_intact() {
        assert!(!Sum::ZERO.is_intact() && !Sum::of(&[0; 40]).is_intact());
        assert_eq!(Sum::ZERO.finished(), [0xff, 0xff]);
    }

    /// Every string of up to six bytes that carry or do not, at every place within the words that are added at once: summed
    /// whole, split anywhere, and with its own checksum.
    #[test]
    fn all_small_cases() {
        const BYTES: [u8; 5] = [0, 1, 0x7f, 0x80, 0xff];
        for (len, strings) in (0..=6).zip([1_u32, 5, 25, 125, 625, 3125, 15625]) {
            for string in 0..strings {
                let mut padded = [0; 16];
                let start = string as usize % 8;
                for (place, slot) in padded[start..start + len].iter_mut().enumerate() {
                    *slot = BYTES[(string / 5_u32.pow(place as u32) % 5) as usize];
                }
                let bytes = &padded[..start + len];
                let sum = Sum::of(bytes);
                assert_eq!(sum.unfinished(), reference(bytes), "{bytes:?}");
                assert!(sum.plus(Sum::of(&sum.finished())).is_intact(), "{bytes:?}");
                for at in start..=start + len {
                    let (head, tail) = bytes.split_at(at);
                    let tail = Sum::of(tail);
                    let parts = Sum::of(head).plus(if at % 2 == 1 { tail.shifted() } else { tail });
                    assert_eq!(parts.unfinished(), sum.unfinished(), "{bytes:?} at {at}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn equals_the_reference(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(Sum::of(&bytes).unfinished(), reference(&bytes));
        }

        #[test]
        fn copying_sums_what_it_copies(
            from in proptest::collection::vec(any::<u8>(), 0..200), room in 0usize..200,
        ) {
            let mut to = [0xaa; 200];
            let len = from.len().min(room);
            let sum = Sum::copy(&from, &mut to[..room]);
            prop_assert_eq!(sum.unfinished(), Sum::of(&from[..len]).unfinished());
            prop_assert_eq!(&to[..len], &from[..len]);
            prop_assert!(to[len..].iter().all(|byte| *byte == 0xaa));
        }

        #[test]
        fn split_anywhere_equals_whole(
            bytes in proptest::collection::vec(any::<u8>(), 0..200), at: prop::sample::Index,
        ) {
            let (head, tail) = bytes.split_at(at.index(bytes.len() + 1));
            let tail_sum = Sum::of(tail);
            let tail_sum = if head.len() % 2 == 1 { tail_sum.shifted() } else { tail_sum };
            prop_assert_eq!(Sum::of(head).plus(tail_sum).unfinished(), Sum::of(&bytes).unfinished());
        }

        #[test]
        fn a_finished_checksum_makes_the_whole_intact(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let sum = Sum::of(&bytes);
            prop_assert!(sum.plus(Sum::of(&sum.finished())).is_intact());
        }

        #[test]
        fn pseudo_headers_are_their_bytes(a: [u8; 4], b: [u8; 4], c: [u8; 16], d: [u8; 16], len: u16) {
            let [high, low] = len.to_be_bytes();
            let v4 = [&a[..], &b, &[0, 6, high, low]].concat();
            let v6 = |protocol| [&c[..], &d, &[0, 0, high, low, 0, 0, 0, protocol]].concat();
            prop_assert_eq!(
                Sum::pseudo_header_v4(Ipv4Addr::from(a), Ipv4Addr::from(b), len).unfinished(), reference(&v4));
            prop_assert_eq!(
                Sum::pseudo_header_v6(Ipv6Addr::from(c), Ipv6Addr::from(d), len).unfinished(), reference(&v6(6)));
            prop_assert_eq!(
                Sum::pseudo_header_icmpv6(Ipv6Addr::from(c), Ipv6Addr::from(d), len).unfinished(), reference(&v6(58)));
        }
    }
}
