//! Sequence space (RFC 9293, section 3.4): 32-bit numbers on a circle.

use core::fmt;
use core::ops::{Add, AddAssign, Sub};

/// A point in sequence space.
///
/// There is no `Ord`: three points on a circle have no order. Comparisons are between two points less than 2³¹ apart
/// and say so by name ([`before`](Self::before), [`after`](Self::after), [`in_window`](Self::in_window)). No operation
/// can panic, whatever a peer sends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SeqNum(pub u32);

impl SeqNum {
    /// Whether `self` comes strictly before `other`, for points less than 2³¹ apart.
    pub const fn before(self, other: Self) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// Whether `self` comes strictly after `other`, for points less than 2³¹ apart.
    pub const fn after(self, other: Self) -> bool {
        other.before(self)
    }

    /// Whether `self` lies in `[start, start + len)`. An empty window holds nothing.
    pub const fn in_window(self, start: Self, len: u32) -> bool {
        self.0.wrapping_sub(start.0) < len
    }

    /// The later of two points.
    pub const fn latest(self, other: Self) -> Self {
        if self.before(other) { other } else { self }
    }

    /// The earlier of two points.
    pub const fn earliest(self, other: Self) -> Self {
        if self.before(other) { self } else { other }
    }

    /// How far `self` is ahead of `start`, walking forward around the circle.
    pub const fn distance_from(self, start: Self) -> u32 {
        self.0.wrapping_sub(start.0)
    }
}

impl Add<u32> for SeqNum {
    type Output = Self;
    fn add(self, bytes: u32) -> Self {
        Self(self.0.wrapping_add(bytes))
    }
}

impl AddAssign<u32> for SeqNum {
    fn add_assign(&mut self, bytes: u32) {
        *self = *self + bytes;
    }
}

impl Sub<u32> for SeqNum {
    type Output = Self;
    fn sub(self, bytes: u32) -> Self {
        Self(self.0.wrapping_sub(bytes))
    }
}

impl fmt::Debug for SeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::SeqNum;
    use proptest::prelude::*;

    /// The circle cut into sixteen, and what lies within two of each cut: the wrap and the far side of every point among them.
    fn edges() -> impl Iterator<Item = u32> + Clone {
        (0..16_u32).flat_map(|cut| (0..5).map(move |near| (cut << 28).wrapping_add(near).wrapping_sub(2)))
    }

    /// All pairs of edges, and all windows between them, against arithmetic that does not wrap.
    #[test]
    fn all_pairs_of_edges() {
        const CIRCLE: u64 = 1 << 32;
        for (a, b) in edges().flat_map(|a| edges().map(move |b| (a, b))) {
            let ahead = (CIRCLE + u64::from(a) - u64::from(b)) % CIRCLE;
            let (at, start) = (SeqNum(a), SeqNum(b));
            assert_eq!(u64::from(at.distance_from(start)), ahead);
            assert_eq!(at.before(start), ahead >= CIRCLE / 2, "{a} {b}");
            assert_eq!(at.after(start), ahead > 0 && ahead <= CIRCLE / 2, "{a} {b}");
            assert_eq!(at.latest(start), if ahead < CIRCLE / 2 { at } else { start });
            assert_eq!(at.earliest(start), if ahead < CIRCLE / 2 { start } else { at });
            assert_eq!((start + at.distance_from(start), at - at.distance_from(start)), (at, start));
            for len in edges() {
                assert_eq!(at.in_window(start, len), ahead < u64::from(len), "{a} in {len} from {b}");
            }
        }
    }

    proptest! {
        #[test]
        fn order_holds_across_the_wrap(start: u32, step in 1..i32::MAX as u32) {
            let (a, b) = (SeqNum(start), SeqNum(start) + step);
            prop_assert!(a.before(b) && b.after(a) && !b.before(a) && !a.before(a));
            prop_assert_eq!(a.latest(b), b);
            prop_assert_eq!(a.earliest(b), a);
            prop_assert_eq!(b.distance_from(a), step);
            prop_assert_eq!(b - step, a);
        }

        #[test]
        fn a_window_holds_exactly_its_length(start: u32, len: u32, offset: u32) {
            prop_assert_eq!((SeqNum(start) + offset).in_window(SeqNum(start), len), offset < len);
        }
    }
}
