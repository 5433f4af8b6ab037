//! Zero-window probes (RFC 9293, section 3.8.6.1), and the timer that overrides sender SWS avoidance (3.8.6.2.1).

/// Probes of a connection that the application has closed (Linux: `tcp_orphan_retries`, whose default 0 means 8).
pub(super) const ORPHAN_RETRIES: u8 = 8;

/// What the persist timer wants sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Due {
    /// Nothing.
    Nothing,
    /// A probe: the window is closed.
    Probe,
    /// Whatever fits the window, though it is less than SWS avoidance likes.
    Override,
}

/// The state of probing.
#[derive(Clone, Debug)]
pub(super) struct Persist {
    /// What is to be sent now.
    pub due: Due,
    /// How often the interval was doubled.
    backoff: u8,
    /// Probes since the peer last answered.
    unanswered: u8,
}

impl Persist {
    /// Not probing.
    pub const IDLE: Self = Self { due: Due::Nothing, backoff: 0, unanswered: 0 };

    /// How often to double the interval before the next probe.
    pub fn backoff(&self) -> u8 {
        self.backoff
    }

    /// The peer is alive: probing goes on for as long as it answers (MUST-37).
    pub fn on_answer(&mut self) {
        self.unanswered = 0;
    }

    /// What is queued goes at once, if the window takes it.
    pub fn push(&mut self) {
        self.due = Due::Override;
    }

    /// The timer fired. False when it is time to give up: `retries` probes went unanswered, or the application has
    /// `closed` and nobody waits for this window to open.
    pub fn on_timer(&mut self, window: u32, retries: u8, closed: bool) -> bool {
        if self.unanswered >= retries || closed && self.backoff >= ORPHAN_RETRIES {
            return false;
        }
        self.unanswered += 1;
        self.backoff = self.backoff.saturating_add(1);
        self.due = if window == 0 { Due::Probe } else { Due::Override };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probing_goes_on_while_answered_and_ends_when_not() {
        let mut persist = Persist::IDLE;
        for _ in 0..100 {
            assert!(persist.on_timer(0, 3, false));
            assert_eq!(persist.due, Due::Probe);
            persist.on_answer();
        }
        for _ in 0..3 {
            assert!(persist.on_timer(5, 3, false));
            assert_eq!(persist.due, Due::Override);
        }
        assert!(!persist.on_timer(0, 3, false));
    }

    #[test]
    fn a_closed_connection_is_not_held_open_by_answers() {
        let mut persist = Persist::IDLE;
        let probes = (0..100).take_while(|_| {
            persist.on_answer();
            persist.on_timer(0, 15, true)
        });
        assert_eq!(probes.count(), usize::from(ORPHAN_RETRIES));
    }
}
