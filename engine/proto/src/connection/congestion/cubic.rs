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
pub(super) struct Path {
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
    pub fn grow(&mut self, credit: &mut Credit, acked: &Acked, path: &Path) -> u32 {
        let epoch = self.epoch.get_or_insert_with(|| Epoch::begin(acked.now, path));
        epoch.heard = acked.now;
        let friendly = epoch.reno_would_have(acked.bytes, self.prior, path);
        let target = epoch.target(acked, path);
        let grown = match price(path, target) {
            Some(price) => path.window.saturating_add(credit.earn(acked.bytes, price, path.mss)),
            None => path.window,
        };
        grown.max(friendly)
    }
}

impl Epoch {
    fn begin(now: Instant, path: &Path) -> Self {
        let origin = path.last_max.max(path.window);
        let k = time_to_climb(origin - path.window, path.mss);
        Self { start: now, heard: now, k, origin, friendly: path.window, friendly_credit: Credit::default() }
    }

    /// W_est (RFC 9438, figure 4): α segments for each window acknowledged, and one once the window of the last reduction is
    /// reached.
    fn reno_would_have(&mut self, bytes: u32, prior: u32, path: &Path) -> u32 {
        let (numerator, denominator) = if self.friendly < prior { ALPHA } else { (1, 1) };
        let price = u64::from(path.window) * u64::from(denominator) / u64::from(numerator);
        let price = u32::try_from(price).unwrap_or(u32::MAX);
        let earned = self.friendly_credit.earn(bytes, price, path.mss);
        self.friendly = self.friendly.saturating_add(earned).min(MAX_WINDOW);
        self.friendly
    }

    /// Where the window should be one round trip from now: between what it is and one and a half of that (RFC 9438, section
    /// 4.2).
    fn target(&self, acked: &Acked, path: &Path) -> u32 {
        let elapsed = acked.now - self.start + acked.srtt.unwrap_or(Duration::ZERO);
        let most = path.window.saturating_add(path.window / 2);
        self.curve(ticks(elapsed), path.mss).clamp(path.window, most)
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
fn price(path: &Path, target: u32) -> Option<u32> {
    let way = target.checked_sub(path.window).filter(|&way| way > 0)?;
    let price = u64::from(path.window) * u64::from(path.mss) / u64::from(way);
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
