//! When something is due for a session.

use std::collections::BTreeSet;
use synward_proto::Instant;

/// At most one deadline for each session, which keeps its own beside itself. Activity costs nothing here: an idle timer is
/// left to fire and then set anew.
#[derive(Debug, Default)]
pub(super) struct Deadlines(BTreeSet<(Instant, usize)>);

impl Deadlines {
    /// Sets the deadline of the session `key`, in place of the one that it `has`.
    pub(super) fn set(&mut self, key: usize, has: &mut Option<Instant>, at: Instant) {
        self.clear(key, has);
        self.0.insert((at, key));
        *has = Some(at);
    }

    /// Takes away the deadline of the session `key`, if it `has` one.
    pub(super) fn clear(&mut self, key: usize, has: &mut Option<Instant>) {
        if let Some(at) = has.take() {
            self.0.remove(&(at, key));
        }
    }

    /// The next session whose deadline has come; it has none any more.
    pub(super) fn pop(&mut self, now: Instant) -> Option<usize> {
        self.next().filter(|&at| at <= now)?;
        self.0.pop_first().map(|(_, key)| key)
    }

    /// The next deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|&(at, _)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::Deadlines;
    use synward_proto::Instant;

    #[test]
    fn each_session_has_one_deadline_and_they_come_in_order() {
        let at = Instant::from_millis;
        let (mut deadlines, mut first, mut second) = (Deadlines::default(), None, None);
        deadlines.set(1, &mut first, at(30));
        deadlines.set(2, &mut second, at(20));
        deadlines.set(1, &mut first, at(10));
        assert_eq!((deadlines.next(), first), (Some(at(10)), Some(at(10))));
        assert_eq!(deadlines.pop(at(9)), None);
        assert_eq!((deadlines.pop(at(100)), deadlines.pop(at(100)), deadlines.pop(at(100))), (Some(1), Some(2), None));

        let mut third = None;
        deadlines.set(3, &mut third, at(5));
        deadlines.clear(3, &mut third);
        deadlines.clear(3, &mut third);
        assert_eq!((deadlines.next(), third), (None, None));
    }
}
