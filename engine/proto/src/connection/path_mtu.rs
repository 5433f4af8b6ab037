//! What a connection knows of its path's MTU: RFC 1191, RFC 8201; RFC 5927, section 7; Linux: `tcp_v4_mtu_reduced`,
//! `tcp_v6_mtu_reduced`.
//!
//! An ICMP error is believed at once while nothing speaks against it, so that the first large segments find the way. Once
//! segments of the full size have arrived, a smaller MTU is either a change of the path or a lie: it is believed when the
//! retransmission timer fires, and forgotten when an acknowledgment comes first.
//!
//! Where routers say nothing, a path that swallows large packets shows as timeouts of full-sized segments: at the second in a
//! row the size falls back, without waiting for an error that never comes (RFC 4821, section 7.7; Linux with `tcp_mtu_probing`
//! 1). Larger segments are tried again when the limit has lasted its time; there are no probes before.

use crate::segment::Mss;
use crate::{Counter, Instant, Tuple};
use bitflags::bitflags;

/// The least MTU that an ICMP error over IPv4 can make us believe (Linux: `min_pmtu`).
pub(super) const LEAST_V4: u16 = 552;
/// The same over IPv6: what every link carries (RFC 8200, section 5).
pub(super) const LEAST_V6: u16 = 1280;
/// Minutes after which a smaller MTU is forgotten: the path may have become wider (RFC 1191, section 6.3; Linux:
/// `mtu_expires`).
pub(super) const LIFE: u8 = 10;

/// Segments, options included, of a path that swallows larger ones without a word (Linux: `tcp_base_mss`).
const BASE: u16 = 1024;

/// More than any IP packet.
const UNKNOWN: u16 = u16::MAX;
/// No doubted claim.
const NONE: u16 = 0;
/// The most that TCP options take.
const OPTIONS: u32 = 40;

/// The path of one connection, as far as it limits segments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct PathMtu {
    /// What the peer takes: its MSS option.
    peer: Mss,
    /// The path's MTU, while it is known to be smaller than the interface's.
    limit: u16,
    /// A smaller MTU that an error claims, though segments of the full size have arrived.
    doubted: u16,
    /// When the limit was last lowered: minutes, modulo 256. A connection that was idle for four hours may take an old limit
    /// for a new one, and keeps it for ten minutes more.
    lowered: u8,
    facts: Facts,
}

bitflags! {
    /// What segments have shown.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    struct Facts: u8 {
        /// One of full size has arrived since the size last changed.
        const PROVEN = 0x01;
        /// The limit follows from timeouts, not from what a router said.
        const GUESSED = 0x02;
        /// The limit that timeouts had set was forgotten, and nothing larger has arrived or been lost since.
        const TRIED = 0x04;
    }
}

const _: () = assert!(size_of::<PathMtu>() <= 8);

/// What to make of an ICMP error that says that a packet is too big.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Claim {
    /// It cannot be true, or changes nothing.
    Void,
    /// It speaks against what is known: remembered until the timer or an acknowledgment decides.
    Doubted,
    /// The path's MTU is smaller from now on.
    Believed,
}

/// What a timeout says about the path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TimedOut {
    /// Nothing, or nothing yet.
    Unchanged,
    /// An error that was doubted was right.
    Believed,
    /// Segments of this size seem not to arrive.
    Guessed,
}

/// What is on its way when a claim is judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct OnTheWay {
    /// Bytes sent and not acknowledged.
    pub bytes: u32,
    /// Timeouts in a row without progress.
    pub timeouts: u8,
}

/// Bytes of the headers of IP and TCP, without options.
const fn headers(tuple: &Tuple) -> u16 {
    if tuple.is_ipv6() { 60 } else { 40 }
}

const fn minutes(now: Instant) -> u8 {
    (now.as_millis() / 60_000) as u8
}

impl PathMtu {
    /// A path to a peer that takes segments of `peer`, of which nothing is known but, perhaps, a `limit`.
    pub fn new(now: Instant, peer: Mss, limit: Option<u16>) -> Self {
        Self { peer, limit: limit.unwrap_or(UNKNOWN), doubted: NONE, lowered: minutes(now), facts: Facts::empty() }
    }

    /// The path's MTU, where it is known to be smaller than the interface's.
    pub fn limit(&self) -> Option<u16> {
        (self.limit != UNKNOWN).then_some(self.limit)
    }

    /// The largest segment, options included: what the peer takes, the interface carries and the path lets through
    /// (MUST-16).
    pub fn mss(&self, tuple: &Tuple, interface: Mss) -> u16 {
        let path = self.limit.saturating_sub(headers(tuple)).max(Mss::MIN.get());
        self.peer.min(interface).get().min(path)
    }

    /// Judges an error about a packet of this connection that is on its way.
    pub fn judge(&mut self, now: Instant, tuple: &Tuple, mss: u16, claimed: u32, sent: &OnTheWay) -> Claim {
        let Some(claimed) = plausible(tuple, claimed) else { return Claim::Void };
        let headers = headers(tuple);
        let largest = sent.bytes.saturating_add(OPTIONS).min(mss.into()) + u32::from(headers);
        // No packet of ours was larger, so that none was too big.
        if u32::from(claimed) >= largest {
            return Claim::Void;
        }
        if self.facts.contains(Facts::PROVEN) && sent.timeouts == 0 {
            self.doubted = claimed;
            return Claim::Doubted;
        }
        self.lower(now, claimed);
        Claim::Believed
    }

    /// Something was acknowledged for the first time, in full-sized segments only or not: whatever was doubted is wrong. The
    /// counter to raise, if any.
    pub fn on_progress(&mut self, full_sized: bool) -> Option<Counter> {
        self.doubted = NONE;
        if !full_sized {
            return None;
        }
        self.facts.insert(Facts::PROVEN);
        let has_grown = self.facts.contains(Facts::TRIED);
        self.facts.remove(Facts::TRIED);
        has_grown.then_some(Counter::TCPMTUPSuccess)
    }

    /// The retransmission timer fired. A doubted claim counts from now on (RFC 5927, section 7.2); where nobody claims anything,
    /// the second timeout of full-sized segments in a row lowers the size (RFC 4821, section 7.7).
    pub fn on_timeout(&mut self, now: Instant, tuple: &Tuple, mss: u16, sent: &OnTheWay) -> TimedOut {
        if self.doubted != NONE {
            self.lower(now, self.doubted);
            return TimedOut::Believed;
        }
        let smaller = self.fall_back(tuple, mss);
        if sent.timeouts == 0 || sent.bytes.saturating_add(OPTIONS) < mss.into() || smaller >= mss {
            return TimedOut::Unchanged;
        }
        self.lower(now, smaller + headers(tuple));
        self.facts.insert(Facts::GUESSED);
        TimedOut::Guessed
    }

    /// The limit is from now on this, or one that is lower already.
    pub fn lower(&mut self, now: Instant, limit: u16) {
        self.limit = self.limit.min(limit);
        self.lowered = minutes(now);
        self.resized();
    }

    /// Forgets a limit that has lasted its time; true if there was one.
    pub fn expire(&mut self, now: Instant) -> bool {
        // The minute in which it was lowered has partly passed by then.
        let over = self.limit != UNKNOWN && minutes(now).wrapping_sub(self.lowered) > LIFE;
        if over {
            self.limit = UNKNOWN;
            let was_guessed = self.facts.contains(Facts::GUESSED);
            self.resized();
            self.facts.set(Facts::TRIED, was_guessed);
        }
        over
    }

    /// Full-sized segments have another size now, of which nothing is known.
    pub fn resized(&mut self) {
        self.facts = Facts::empty();
        self.doubted = NONE;
    }

    /// The segments, options included, that come after those of `mss` bytes when these do not arrive. Every IPv6 link carries
    /// its least packet. Over IPv4 nearly every path carries the base size; only when that was a mistake comes what an error
    /// could make us believe at most.
    fn fall_back(&self, tuple: &Tuple, mss: u16) -> u16 {
        if tuple.is_ipv6() {
            LEAST_V6 - headers(tuple)
        } else if mss > BASE {
            BASE
        } else if self.facts.contains(Facts::GUESSED) {
            LEAST_V4 - headers(tuple)
        } else {
            mss
        }
    }
}

/// The MTU that a claim comes to; `None` when no router can mean it. Over IPv4 anything below the least counts as the least,
/// zero among it, which routers older than RFC 1191 send (Linux: `__ip_rt_update_pmtu`); over IPv6 it is no reason to go
/// below what every link carries (RFC 8201, section 4; Linux: `tcp_v6_err`).
fn plausible(tuple: &Tuple, claimed: u32) -> Option<u16> {
    let claimed = u16::try_from(claimed).unwrap_or(UNKNOWN);
    if tuple.is_ipv6() { (claimed >= LEAST_V6).then_some(claimed) } else { Some(claimed.max(LEAST_V4)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::tests::bench::{TUPLE, TUPLE_V6, mss};
    use core::time::Duration;
    use proptest::prelude::*;

    const NOW: Instant = Instant::from_millis(1_000_000);
    const FULL: OnTheWay = OnTheWay { bytes: 100_000, timeouts: 0 };

    fn path(tuple: &Tuple, claims: &[u32]) -> (PathMtu, u16) {
        let mut path = PathMtu::new(NOW, mss(1460), None);
        for &claimed in claims {
            let size = path.mss(tuple, mss(1460));
            let _ = path.judge(NOW, tuple, size, claimed, &FULL);
        }
        let size = path.mss(tuple, mss(1460));
        (path, size)
    }

    /// The payload, with options, of the largest segment after claims of any size.
    #[test]
    fn no_claim_goes_below_the_floor_or_above_what_is_used() {
        for (claims, v4, v6) in [
            (&[1400][..], 1360, 1340),
            (&[1400, 1450], 1360, 1340),
            (&[1450, 1400], 1360, 1340),
            (&[552], 512, 1440),
            (&[68], 512, 1440),
            (&[0], 512, 1440),
            (&[1279], 1239, 1440),
            (&[1280], 1240, 1220),
            (&[1500], 1460, 1440),
            (&[65_535], 1460, 1440),
            (&[u32::MAX], 1460, 1440),
        ] {
            assert_eq!(path(&TUPLE, claims).1, v4, "IPv4: {claims:?}");
            let mut over_v6 = PathMtu::new(NOW, mss(1440), None);
            for &claimed in claims {
                let size = over_v6.mss(&TUPLE_V6, mss(1440));
                let _ = over_v6.judge(NOW, &TUPLE_V6, size, claimed, &FULL);
            }
            assert_eq!(over_v6.mss(&TUPLE_V6, mss(1440)), v6, "IPv6: {claims:?}");
        }
    }

    /// RFC 5927, section 7.2.
    #[test]
    fn what_has_arrived_is_believed_more_than_an_error() {
        let (mut path, size) = path(&TUPLE, &[]);
        let _ = path.on_progress(true);
        assert_eq!(path.judge(NOW, &TUPLE, size, 576, &FULL), Claim::Doubted);
        let _ = path.on_progress(false);
        assert_eq!(path.on_timeout(NOW, &TUPLE, size, &FULL), TimedOut::Unchanged, "an acknowledgment came first");
        assert_eq!(path.judge(NOW, &TUPLE, size, 576, &FULL), Claim::Doubted);
        assert_eq!(path.on_timeout(NOW, &TUPLE, size, &FULL), TimedOut::Believed);
        assert_eq!(path.limit(), Some(576));
        assert_eq!(path.on_timeout(NOW, &TUPLE, 536, &FULL), TimedOut::Unchanged, "once");
        assert_eq!(path.judge(NOW, &TUPLE, 536, 552, &FULL), Claim::Believed, "nothing of this size has arrived yet");
    }

    #[test]
    fn after_a_timeout_there_is_no_doubt() {
        let (mut path, size) = path(&TUPLE, &[]);
        let _ = path.on_progress(true);
        assert_eq!(path.judge(NOW, &TUPLE, size, 576, &OnTheWay { timeouts: 1, ..FULL }), Claim::Believed);
    }

    /// With 400 bytes on their way, no packet was larger than 400 bytes and its headers.
    #[test]
    fn a_claim_about_packets_that_were_never_sent_is_void() {
        let (mut path, size) = path(&TUPLE, &[]);
        for (bytes, claimed, claim) in [(472, 552, Claim::Void), (473, 552, Claim::Believed), (1, 1499, Claim::Void)] {
            assert_eq!(path.judge(NOW, &TUPLE, size, claimed, &OnTheWay { bytes, timeouts: 0 }), claim, "{bytes}");
        }
    }

    #[test]
    fn a_limit_lasts_ten_minutes() {
        for offset in [0, 1, 59_999, 255 * 60_000, u64::from(u32::MAX)] {
            let start = Instant::from_millis(offset);
            let mut path = PathMtu::new(start, mss(1460), Some(1400));
            assert!(!path.expire(start + Duration::from_secs(600)), "{offset}");
            assert!(path.expire(start + Duration::from_secs(660)), "{offset}");
            assert_eq!((path.limit(), path.mss(&TUPLE, mss(1460))), (None, 1460));
            assert!(!path.expire(start + Duration::from_secs(1_320)), "there is none any more");
        }
    }

    /// RFC 4821, section 7.7: the sizes that timeouts lead to, from the second in a row on, while what is on its way is full-sized.
    #[test]
    fn a_black_hole_shrinks_segments_step_by_step() {
        for (tuple, start, sizes) in [
            (TUPLE, 1460, &[1460, 1024, 512, 512][..]),
            (TUPLE, 1000, &[1000, 1000, 1000]),
            (TUPLE, 48, &[48, 48]),
            (TUPLE_V6, 1440, &[1440, 1220, 1220]),
            (TUPLE_V6, 1220, &[1220, 1220]),
        ] {
            let mut path = PathMtu::new(NOW, mss(start), None);
            for (timeouts, &size) in (0..).zip(sizes) {
                let before = path.mss(&tuple, mss(start));
                let said = path.on_timeout(NOW, &tuple, before, &OnTheWay { timeouts, ..FULL });
                assert_eq!(path.mss(&tuple, mss(start)), size, "{start}, after {timeouts} timeouts");
                assert_eq!(said == TimedOut::Guessed, size < before);
            }
            let mut small = PathMtu::new(NOW, mss(start), None);
            let sent = OnTheWay { bytes: u32::from(start) - 41, timeouts: 9 };
            assert_eq!(small.on_timeout(NOW, &tuple, start, &sent), TimedOut::Unchanged, "short segments say nothing");
        }
    }

    /// The size comes back after ten minutes, and it is counted whether that was right.
    #[test]
    fn larger_segments_are_tried_again() {
        let twice = OnTheWay { timeouts: 1, ..FULL };
        let later = NOW + Duration::from_secs(660);
        let mut path = PathMtu::new(NOW, mss(1460), None);
        assert_eq!(path.on_timeout(NOW, &TUPLE, 1460, &twice), TimedOut::Guessed);
        assert_eq!(path.on_progress(true), None, "of the smaller size");
        assert!(path.expire(later));
        assert_eq!(path.on_progress(false), None);
        assert_eq!((path.on_progress(true), path.on_progress(true)), (Some(Counter::TCPMTUPSuccess), None));
        let mut told = PathMtu::new(NOW, mss(1460), Some(1400));
        assert!(told.expire(later));
        assert_eq!(told.on_progress(true), None, "a router had said it");
    }

    proptest! {
        /// RFC 5927, section 7: whatever errors say, a segment has at least 512 bytes and never more than before.
        #[test]
        fn any_errors(claims in proptest::collection::vec((any::<u32>(), any::<u32>(), any::<bool>(), 0u8..3), 0..50)) {
            for (tuple, least) in [(TUPLE, 512), (TUPLE_V6, 1220)] {
                let mut path = PathMtu::new(NOW, mss(1440), None);
                let mut before = path.mss(&tuple, mss(1440));
                for &(claimed, bytes, full_sized, timeouts) in &claims {
                    let claim = path.judge(NOW, &tuple, before, claimed % 3_000, &OnTheWay { bytes, timeouts });
                    let _ = path.on_progress(full_sized);
                    let size = path.mss(&tuple, mss(1440));
                    prop_assert!(size >= least && size <= before);
                    prop_assert_eq!(size < before, claim == Claim::Believed);
                    before = size;
                }
            }
        }
    }
}
