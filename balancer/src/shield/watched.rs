//! One address of a listener under the guard's eyes.

use super::meter::Meter;
use super::policy::{Change, Policy, Seen, Thresholds};
use crate::config::ShieldMode;
use crate::control::report::ShieldedListener;
use synward_ebpf::ListenerCounts;
use synward_proto::{Endpoint, Instant};

/// What the guard is to know of an address of a listener.
#[derive(Clone, Debug)]
pub struct ListenerPlan {
    /// The listener's name.
    pub name: String,
    /// Where it listens.
    pub local: Endpoint,
    /// When it has a shield.
    pub mode: ShieldMode,
    /// What raises and lowers it under [`ShieldMode::Auto`].
    pub thresholds: Thresholds,
}

/// An address of a listener, and what became of its shield.
#[derive(Debug)]
pub(super) struct Watched {
    plan: ListenerPlan,
    policy: Policy,
    /// Since when the shield is up or down.
    since: Instant,
    raised: u64,
    /// When it was looked at last, and what had been counted by then.
    last: (Instant, ListenerCounts),
    meter: Meter,
}

impl Watched {
    /// A listener as it starts.
    pub(super) fn new(plan: ListenerPlan, now: Instant) -> Self {
        let policy = Policy::new(plan.thresholds);
        Self { plan, policy, since: now, raised: 0, last: (now, ListenerCounts::default()), meter: Meter::default() }
    }

    /// Where it listens.
    pub(super) const fn local(&self) -> Endpoint {
        self.plan.local
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.plan.name
    }

    /// Whether the program guards it.
    pub(super) fn is_guarded(&self) -> bool {
        self.plan.mode != ShieldMode::Off
    }

    /// Takes what was counted until `now`, and says what becomes of the shield.
    pub(super) fn observe(&mut self, now: Instant, counts: ListenerCounts, engine_cookie: bool) -> Option<Change> {
        self.meter.read(now, listed(counts).to_vec());
        let (before, last) = std::mem::replace(&mut self.last, (now, counts));
        let time = now.since(before);
        if time.is_zero() || self.plan.mode != ShieldMode::Auto {
            return None;
        }
        let seen = Seen {
            time,
            syns: counts.syns.saturating_sub(last.syns),
            cookies: counts.cookies_sent.saturating_sub(last.cookies_sent),
            proven: counts.cookies_valid.saturating_sub(last.cookies_valid),
            engine_cookie,
        };
        let change = self.policy.observe(&seen)?;
        self.since = now;
        self.raised += u64::from(matches!(change, Change::Raise(_)));
        Some(change)
    }

    /// SYNs a second, now.
    pub(super) fn syn_rate(&self) -> u64 {
        self.meter.per_second().first().copied().unwrap_or_default()
    }

    /// What there is to see of it, with what is counted now.
    pub(super) fn report(&self, now: Instant, counts: ListenerCounts) -> ShieldedListener {
        let rates = self.meter.rates(&listed(counts));
        let [syns, cookies_sent, cookies_valid, refused, passed] =
            std::array::from_fn(|index| rates.get(index).copied().unwrap_or_default());
        ShieldedListener {
            listener: self.plan.name.clone(),
            local: self.plan.local.to_string(),
            mode: self.plan.mode.word().to_owned(),
            up: self.is_up(),
            seconds: now.since(self.since).as_secs(),
            raised: self.raised,
            syns,
            cookies_sent,
            cookies_valid,
            refused,
            passed,
        }
    }

    fn is_up(&self) -> bool {
        match self.plan.mode {
            ShieldMode::Off => false,
            ShieldMode::Auto => self.policy.is_up(),
            ShieldMode::Always => true,
        }
    }
}

/// In the order of the report.
const fn listed(counts: ListenerCounts) -> [u64; 5] {
    let ListenerCounts { syns, cookies_sent, cookies_valid, refused, passed } = counts;
    [syns, cookies_sent, cookies_valid, refused, passed]
}

#[cfg(test)]
mod tests {
    use super::{Change, ListenerPlan, Watched};
    use crate::config::ShieldMode;
    use crate::shield::policy::Thresholds;
    use std::time::Duration;
    use synward_ebpf::ListenerCounts;
    use synward_proto::{Endpoint, Instant};

    fn watched(mode: ShieldMode) -> Watched {
        let thresholds = Thresholds { raise_at: 1000, calm: Duration::from_secs(1), unproven: 10, cookies_tell: true };
        let local = Endpoint::new([10, 0, 0, 1].into(), 80);
        Watched::new(ListenerPlan { name: "web".to_owned(), local, mode, thresholds }, Instant::from_millis(0))
    }

    /// Counts after so many SYNs, each answered, none proven.
    fn after(syns: u64) -> ListenerCounts {
        ListenerCounts { syns, cookies_sent: syns, ..ListenerCounts::default() }
    }

    #[test]
    fn counts_become_rates_and_rates_raise_it() {
        let mut watched = watched(ShieldMode::Auto);
        assert_eq!(watched.observe(Instant::from_millis(100), after(99), false), None);
        // As many again and one more, in the same time: a thousand a second.
        assert!(matches!(watched.observe(Instant::from_millis(200), after(199), false), Some(Change::Raise(_))));
        let report = watched.report(Instant::from_millis(3200), after(200));
        assert!(report.up && report.raised == 1 && report.seconds == 3);
        assert_eq!((report.syns.total, report.syns.per_second), (200, 1000));
        assert!(matches!(watched.observe(Instant::from_millis(1200), after(199), false), Some(Change::Lower(_))));
        assert!(!watched.report(Instant::from_millis(1200), after(199)).up);
    }

    #[test]
    fn only_auto_is_moved() {
        for (mode, up) in [(ShieldMode::Off, false), (ShieldMode::Always, true)] {
            let mut watched = watched(mode);
            assert_eq!(watched.observe(Instant::from_millis(100), after(1_000_000), true), None);
            assert_eq!(watched.report(Instant::from_millis(100), after(0)).up, up, "{mode:?}");
        }
    }

    #[test]
    fn a_clock_that_stands_still_is_no_rate() {
        let mut watched = watched(ShieldMode::Auto);
        assert_eq!(watched.observe(Instant::from_millis(0), after(1_000_000), true), None);
    }
}
