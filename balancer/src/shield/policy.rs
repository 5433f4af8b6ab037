//! When the shield of one listener goes up and down.
//!
//! A state machine without a clock: it is told what was seen of the listener and in what time, and says what changes.
//!
//! *Up* is quick: once the engine has to answer by cookies, or SYNs come faster than a bound. *Down* is slow: after a window of time
//! in which SYNs stayed below half of the bound and nearly every cookie came back. A crowd of real clients therefore brings it down,
//! however large, and a flood keeps it up, however slow. A flood that pauses finds the window doubled each time.

use std::time::Duration;

/// Half the SYN rate that raises is the rate that lowers.
const HYSTERESIS: u64 = 2;
/// The window is doubled up to so many times [`Thresholds::calm`]; and a shield that goes up again sooner after it came down came
/// down too soon.
const MOST_PATIENCE: u32 = 16;
/// A share of the SYN queue that so few unproven cookies a second would take, half-open for about a second each, cannot fill.
const SHARE_OF_SYN_QUEUE: u32 = 64;

/// What decides for one listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Thresholds {
    /// SYNs a second from which on the shield goes up.
    pub raise_at: u32,
    /// The first window.
    pub calm: Duration,
    /// Cookies a second that nobody brings back, from which on a window is not calm; at least one.
    pub unproven: u32,
    /// Whether a cookie from the engine is a sign of an overflow. It is none where every SYN gets one.
    pub cookies_tell: bool,
}

impl Thresholds {
    /// The number of unproven cookies a second that a SYN queue with room for so many can bear by far.
    pub fn unproven_for(syn_queue_limit: u32) -> u32 {
        (syn_queue_limit / SHARE_OF_SYN_QUEUE).max(1)
    }
}

/// What was seen of a listener in some time, on all interfaces together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Seen {
    /// In which time; more than zero.
    pub time: Duration,
    /// SYNs, whatever became of them.
    pub syns: u64,
    /// SYNs that the program has answered by a cookie.
    pub cookies: u64,
    /// Cookies that came back. Those of an earlier time may be among them.
    pub proven: u64,
    /// Whether the engine has answered a SYN by a cookie.
    pub engine_cookie: bool,
}

impl Seen {
    /// Whether so many in this time are as many as `rate` a second, or more.
    fn reaches(&self, count: u64, rate: u64) -> bool {
        u128::from(count) * 1_000_000_000 >= u128::from(rate) * self.time.as_nanos()
    }

    fn plus(self, more: &Self) -> Self {
        Self {
            time: self.time + more.time,
            syns: self.syns + more.syns,
            cookies: self.cookies + more.cookies,
            proven: self.proven + more.proven,
            engine_cookie: self.engine_cookie | more.engine_cookie,
        }
    }
}

/// What becomes of a shield.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// It goes up.
    Raise(Cause),
    /// It comes down, after so long a calm.
    Lower(Duration),
}

/// Why a shield goes up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// The engine has answered a SYN by a cookie: its SYN queue overflows.
    SynQueueFull,
    /// SYNs come faster than [`Thresholds::raise_at`].
    SynRate,
}

impl Cause {
    /// In words, for the log.
    pub const fn words(self) -> &'static str {
        match self {
            Self::SynQueueFull => "its SYN queue overflows",
            Self::SynRate => "SYNs come faster than raise_at",
        }
    }
}

/// The state of one listener's shield.
#[derive(Clone, Debug)]
pub struct Policy {
    thresholds: Thresholds,
    state: State,
    /// How long a window is.
    patience: Duration,
}

#[derive(Clone, Debug)]
enum State {
    /// Down since so long, at most `Duration::MAX`.
    Down(Duration),
    /// Up, with what was seen in the present window.
    Up(Seen),
}

impl Policy {
    /// A shield that is down and was never up.
    pub fn new(thresholds: Thresholds) -> Self {
        Self { thresholds, state: State::Down(Duration::MAX), patience: thresholds.calm }
    }

    /// Whether it is up.
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    /// What becomes of it, after this was seen since the last time.
    pub fn observe(&mut self, seen: &Seen) -> Option<Change> {
        match &mut self.state {
            State::Down(since) => {
                *since = since.saturating_add(seen.time);
                let since = *since;
                let cause = self.thresholds.cause(seen)?;
                self.patience = self.thresholds.patience_after(since, self.patience);
                self.state = State::Up(Seen::default());
                Some(Change::Raise(cause))
            }
            State::Up(window) => {
                *window = window.plus(seen);
                if window.time < self.patience {
                    return None;
                }
                let window = std::mem::take(window);
                if !self.thresholds.is_calm(&window) {
                    return None;
                }
                self.state = State::Down(Duration::ZERO);
                Some(Change::Lower(window.time))
            }
        }
    }
}

impl Thresholds {
    /// What raises the shield, if anything does.
    fn cause(&self, seen: &Seen) -> Option<Cause> {
        if seen.engine_cookie && self.cookies_tell {
            return Some(Cause::SynQueueFull);
        }
        seen.reaches(seen.syns, self.raise_at.into()).then_some(Cause::SynRate)
    }

    /// The window of a shield that goes up so long after it came down, where it was `patience` before.
    fn patience_after(&self, down: Duration, patience: Duration) -> Duration {
        let most = self.calm.saturating_mul(MOST_PATIENCE);
        if down < most { (2 * patience).min(most) } else { self.calm }
    }

    /// Whether the shield may come down after such a window.
    fn is_calm(&self, window: &Seen) -> bool {
        // Rounded up, so that a rate of one can be below half of the least bound.
        let lower_at = u64::from(self.raise_at).div_ceil(HYSTERESIS);
        let unproven = window.cookies.saturating_sub(window.proven);
        !window.reaches(window.syns, lower_at) && !window.reaches(unproven, self.unproven.into())
    }
}

#[cfg(test)]
mod tests;
