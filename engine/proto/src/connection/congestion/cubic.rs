//! CUBIC's congestion avoidance (RFC 9438), in integers: windows in bytes, time in 1/1024 s.

use super::new_reno::Credit;
use super::{Acked, MAX_WINDOW};
use crate::Instant;
use core::time::Duration;

/// β of RFC 9438, section 4.6.
const BETA: (u32, u32) = (7, 10);
/// α of the Reno-friendly region, 3 · (1 - β) / (1 + β) (RFC 9438, section 4.3): one segment for each 17/9 windows.
const ALPHA: (u32, u32) = (9, 17);
/// The longest time from K that is told apart; the cube fits 64 bits. The largest window is reached long before.
const FARTHEST: u64 = (1 << 21) - 1;

const _: () = assert!(ALPHA.0 * (BETA.1 + BETA.0) == 3 * (BETA.1 - BETA.0) * ALPHA.1);

/// The window times β (RFC 9438, section 4.6, without its floor).
pub(super) const fn reduced(flight: u32) -> u32 {
    (flight as u64 * BETA.0 as u64 / BETA.1 as u64) as u32
}

/// W_max for a reduction from `window`: a flow that did not get as far as last time makes room for others (RFC 9438, section
/// 4.7).
pub(super) const fn fast_convergence(window: u32, last_max: u32) -> u32 {
    if window < last_max { (window as u64 * (BETA.1 + BETA.0) as u64 / (2 * BETA.1) as u64) as u32 } else { window }
}

/// Where the window stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Position {
    /// cwnd.
    pub window: u32,
    /// W_max; zero when there is none.
    pub last_max: u32,
    /// SMSS.
    pub mss: u32,
}

/// Congestion avoidance since the last reduction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Cubic {
    /// The window before the last reduction (cwnd_prior).
    prior: u32,
    epoch: Option<Epoch>,
}

/// A stage of congestion avoidance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Epoch {
    /// When it began (t_epoch), later by all the time that the window was not used.
    start: Instant,
    /// The last acknowledgment.
    heard: Instant,
    /// When the curve is back at `origin` (K), 1/1024 s after the start.
    k: u32,
    /// Where the curve is flat: W_max, or the window when it was larger.
    origin: u32,
    /// What Reno would have reached (W_est).
    friendly: u32,
    friendly_credit: Credit,
}

impl Cubic {
    /// The window was reduced from `prior`. The next acknowledgment in congestion avoidance begins an epoch.
    pub const fn reduced_from(prior: u32) -> Self {
        Self { prior, epoch: None }
    }

    /// An acknowledgment found the window unused: this time does not count (RFC 9438, section 5.8).
    pub fn pause(&mut self, now: Instant) {
        if let Some(epoch) = &mut self.epoch {
            epoch.start += now - epoch.heard;
            epoch.heard = now;
        }
    }

    /// The window after an acknowledgment in congestion avoidance (RFC 9438, sections 4.2 to 4.5).
    pub fn grow(&mut self, credit: &mut Credit, acked: &Acked, position: &Position) -> u32 {
        let epoch = self.epoch.get_or_insert_with(|| Epoch::begin(acked.now, position));
        epoch.heard = acked.now;
        let friendly = epoch.reno_would_have(acked.bytes, self.prior, position);
        let target = epoch.target(acked, position);
        let grown = match price(position, target) {
            Some(price) => position.window.saturating_add(credit.earn(acked.bytes, price, position.mss)),
            None => position.window,
        };
        grown.max(friendly)
    }
}

impl Epoch {
    fn begin(now: Instant, position: &Position) -> Self {
        let origin = position.last_max.max(position.window);
        let k = time_to_climb(origin - position.window, position.mss);
        Self { start: now, heard: now, k, origin, friendly: position.window, friendly_credit: Credit::default() }
    }

    /// W_est (RFC 9438, figure 4): α segments for each window acknowledged, and one once the window of the last reduction is
    /// reached.
    fn reno_would_have(&mut self, bytes: u32, prior: u32, position: &Position) -> u32 {
        let (numerator, denominator) = if self.friendly < prior { ALPHA } else { (1, 1) };
        let price = u64::from(position.window) * u64::from(denominator) / u64::from(numerator);
        let price = u32::try_from(price).unwrap_or(u32::MAX);
        let earned = self.friendly_credit.earn(bytes, price, position.mss);
        self.friendly = self.friendly.saturating_add(earned).min(MAX_WINDOW);
        self.friendly
    }

    /// Where the window should be one round trip from now: between what it is and one and a half of that (RFC 9438, section
    /// 4.2).
    fn target(&self, acked: &Acked, position: &Position) -> u32 {
        let elapsed = (acked.now - self.start).saturating_add(acked.srtt.unwrap_or(Duration::ZERO));
        let most = position.window.saturating_add(position.window / 2);
        self.curve(ticks(elapsed), position.mss).clamp(position.window, most)
    }

    /// W_cubic(t) = C · (t - K)³ + W_max (RFC 9438, figure 1).
    fn curve(&self, at: u64, mss: u32) -> u32 {
        let k = u64::from(self.k);
        let distance = climb(at.abs_diff(k), mss);
        if at < k { self.origin.saturating_sub(distance) } else { self.origin.saturating_add(distance) }
    }
}

/// Bytes to be acknowledged for one segment, so that the window reaches `target` within a window of them; `None` when it is
/// there.
fn price(position: &Position, target: u32) -> Option<u32> {
    let way = target.checked_sub(position.window).filter(|&way| way > 0)?;
    let price = u64::from(position.window) * u64::from(position.mss) / u64::from(way);
    Some(u32::try_from(price).unwrap_or(u32::MAX))
}

fn ticks(span: Duration) -> u64 {
    span.as_secs().saturating_mul(1024).saturating_add(u64::from(span.subsec_nanos()) * 1024 / 1_000_000_000)
}

/// C · t³ segments in bytes, t in 1/1024 s and C = 0.4.
fn climb(time: u64, mss: u32) -> u32 {
    let time = time.min(FARTHEST);
    let scaled = u128::from(time * time * time) * u128::from(mss) * 4 / 10;
    u32::try_from(scaled >> 30).unwrap_or(u32::MAX)
}

/// K = ∛(bytes / C) in 1/1024 s (RFC 9438, figure 2).
fn time_to_climb(bytes: u32, mss: u32) -> u32 {
    // (2^10)³ · 10/4 = 5 · 2^29.
    cube_root(u64::from(bytes) * (5 << 29) / u64::from(mss.max(1)))
}

/// ⌊∛value⌋, a bit at a time.
const fn cube_root(value: u64) -> u32 {
    let mut root: u64 = 0;
    let mut bit = 21;
    while bit >= 0 {
        let next = root | 1 << bit;
        // 2^22 - 1 cubed does not fit; no root of 64 bits is above 2,642,245.
        if next <= 2_642_245 && next * next * next <= value {
            root = next;
        }
        bit -= 1;
    }
    root as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SeqNum;
    use core::time::Duration;
    use proptest::prelude::*;

    const MSS: u32 = 1460;

    fn acked(millis: u64, bytes: u32) -> Acked {
        let rtt = Some(Duration::from_millis(100));
        Acked {
            now: Instant::from_millis(millis),
            bytes,
            is_window_limited: true,
            is_paced: true,
            rtt,
            srtt: rtt,
            una: SeqNum(0),
            nxt: SeqNum(0),
        }
    }

    fn reduced_position(last_max: u32) -> Position {
        Position { window: reduced(last_max), last_max, mss: MSS }
    }

    #[test]
    fn the_cube_root_is_exact() {
        for root in [0u64, 1, 2, 3, 9, 10, 1000, 65_535, 1 << 20, 2_642_244, 2_642_245] {
            let cube = root * root * root;
            assert_eq!(u64::from(cube_root(cube)), root);
            if cube > 0 {
                assert_eq!(u64::from(cube_root(cube - 1)), root - 1);
            }
        }
        assert_eq!(cube_root(u64::MAX), 2_642_245);
    }

    /// W_cubic(t) in bytes, t = 0 to 8 s, computed by RFC 9438, figures 1 and 2, for reductions from 100 and from 1000
    /// segments; K is 4.2172 s and 9.0856 s.
    #[test]
    fn the_curve_is_the_rfcs() {
        let tables = [
            (100, 4318, [102_200, 126_554, 139_635, 144_947, 145_994, 146_280, 149_309, 158_586, 177_613]),
            (
                1000,
                9303,
                [1_022_000, 1_151_290, 1_252_249, 1_328_379, 1_383_186, 1_420_173, 1_442_843, 1_454_702, 1_459_253],
            ),
        ];
        for (segments, k, curve) in tables {
            let position = reduced_position(segments * MSS);
            let epoch = Epoch::begin(Instant::from_millis(0), &position);
            assert_eq!(epoch.k, k, "K in 1/1024 s");
            for (second, wanted) in (0..).zip(curve) {
                let seen = epoch.curve(second * 1024, MSS);
                assert!(
                    seen.abs_diff(wanted) <= wanted / 1000,
                    "{segments} segments, {second} s: {seen}, not {wanted}"
                );
            }
        }
    }

    /// A flow of full windows a round trip apart: where it stands after each second.
    fn windows_after(seconds: u64, position: Position) -> alloc::vec::Vec<u32> {
        let (mut cubic, mut credit, mut position) =
            (Cubic::reduced_from(position.last_max), Credit::default(), position);
        let mut seen = alloc::vec::Vec::new();
        for round in 0..=10 * seconds {
            if round % 10 == 0 {
                seen.push(position.window / MSS);
            }
            for _ in 0..position.window / MSS {
                position.window = cubic.grow(&mut credit, &acked(round * 100, MSS), &position);
            }
        }
        seen
    }

    /// The window lags behind the curve by less than half a round trip: at most five of the twelve segments that it climbs in
    /// the first.
    #[test]
    fn the_window_follows_the_curve() {
        let curve = [700, 788, 857, 909, 947, 972, 988, 996, 999];
        for (seen, wanted) in windows_after(8, reduced_position(1000 * MSS)).into_iter().zip(curve) {
            assert!((wanted - 5..=wanted + 1).contains(&seen), "{seen}, not {wanted}");
        }
        let beyond = windows_after(16, reduced_position(1000 * MSS));
        assert!(
            (1125..=1135).contains(&beyond[16]),
            "0.4 · (16 - 9.09)³ above 1000 in the convex region: {}",
            beyond[16]
        );
    }

    #[test]
    fn the_target_is_at_most_half_a_window_away() {
        let position = Position { window: 10 * MSS, last_max: 0, mss: MSS };
        let epoch = Epoch::begin(Instant::ZERO, &position);
        assert_eq!((epoch.k, epoch.origin), (0, 10 * MSS), "without W_max the curve begins flat (section 4.8)");
        assert_eq!(epoch.target(&acked(100_000, MSS), &position), 15 * MSS);
        assert_eq!(epoch.target(&acked(0, MSS), &position), 10 * MSS);
        let above = Position { window: 12 * MSS, ..position };
        assert_eq!(epoch.target(&acked(0, MSS), &above), 12 * MSS, "nor below the window");
    }

    /// RFC 9438, section 4.3: 9/17 of a segment a round trip up to cwnd_prior, then one.
    #[test]
    fn the_friendly_window_grows_as_renos_would() {
        let position = Position { window: 90 * MSS, last_max: 0, mss: MSS };
        let mut epoch = Epoch::begin(Instant::ZERO, &position);
        let mut at = 0;
        for _ in 0..17 {
            at = epoch.reno_would_have(90 * MSS, 1000 * MSS, &position);
        }
        assert_eq!(at, (90 + 9) * MSS);
        for _ in 0..17 {
            at = epoch.reno_would_have(90 * MSS, 99 * MSS, &position);
        }
        assert_eq!(at, (99 + 17) * MSS);
    }

    /// RFC 9438, section 4.7.
    #[test]
    fn a_flow_that_got_less_far_makes_room() {
        assert_eq!(fast_convergence(100, 0), 100);
        assert_eq!(fast_convergence(100, 100), 100);
        assert_eq!(fast_convergence(100, 101), 85);
        assert_eq!(reduced(100), 70);
    }

    #[test]
    fn time_without_use_of_the_window_does_not_count() {
        let position = reduced_position(1000 * MSS);
        let begin = || {
            let (mut cubic, mut credit) = (Cubic::reduced_from(1000 * MSS), Credit::default());
            let _ = cubic.grow(&mut credit, &acked(0, MSS), &position);
            let _ = cubic.grow(&mut credit, &acked(100, MSS), &position);
            cubic
        };
        let (steady, mut paused) = (begin(), begin());
        for late in 2..=51 {
            paused.pause(Instant::from_millis(late * 100));
        }
        let in_time = steady.epoch.expect("begun").target(&acked(200, MSS), &position);
        let later = paused.epoch.expect("begun").target(&acked(5200, MSS), &position);
        assert_eq!(in_time, later);
    }

    proptest! {
        #[test]
        fn the_cube_root_is_the_floor(value: u64) {
            let root = u128::from(cube_root(value));
            prop_assert!(root.pow(3) <= value.into() && (root + 1).pow(3) > value.into());
        }

        /// Whatever the curve says, one acknowledgment opens the window by half of what it acknowledges and a segment, or to
        /// where Reno would be.
        #[test]
        fn growth_is_bounded(
            mss in 1u32..=65_535, window in 1u32..1 << 30, last_max in 0u32..1 << 30,
            gaps in proptest::collection::vec((any::<u64>(), 0u32..1 << 20), 1..20),
        ) {
            let mut position = Position { window: window.max(mss), last_max, mss };
            let (mut cubic, mut credit, mut now) = (Cubic::reduced_from(last_max), Credit::default(), Instant::ZERO);
            for (gap, bytes) in gaps {
                now += Duration::from_nanos(gap);
                let acked = Acked { now, bytes, srtt: Some(Duration::MAX), ..acked(0, 0) };
                let grown = cubic.grow(&mut credit, &acked, &position);
                let friendly = cubic.epoch.expect("begun").friendly;
                let most = position.window.saturating_add(bytes / 2 + 2 * mss).max(friendly);
                prop_assert!(grown >= position.window && grown <= most, "{position:?} to {grown}");
                position.window = grown.min(MAX_WINDOW);
            }
        }
    }
}
