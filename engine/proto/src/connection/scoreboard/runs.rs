//! Runs of sacked segments.

use crate::SeqNum;
use alloc::collections::VecDeque;

/// What the peer has reported beyond SND.UNA: runs in order, apart from each other. A block that was reported before is
/// stepped over in one search, however many segments it covers.
#[derive(Clone, Debug, Default)]
pub(super) struct Runs(VecDeque<Run>);

/// `[start, end)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Run {
    start: SeqNum,
    end: SeqNum,
}

impl Runs {
    /// The end of the last run.
    pub fn highest(&self) -> Option<SeqNum> {
        self.0.back().map(|run| run.end)
    }

    /// `seq`, or the end of the run that holds it.
    pub fn skip(&self, seq: SeqNum) -> SeqNum {
        match self.0.get(self.after(seq)) {
            Some(run) if !run.start.after(seq) => run.end,
            Some(_) | None => seq,
        }
    }

    /// Adds `[start, end)`, joined with every run that it overlaps or touches.
    pub fn insert(&mut self, start: SeqNum, end: SeqNum) {
        let first = self.0.partition_point(|run| run.end.before(start));
        let joined = self.0.range(first..).take_while(|run| !run.start.after(end)).count();
        let run = Run {
            start: self.0.get(first).filter(|_| joined > 0).map_or(start, |run| run.start.earliest(start)),
            end: self
                .0
                .get((first + joined).wrapping_sub(1))
                .filter(|_| joined > 0)
                .map_or(end, |run| run.end.latest(end)),
        };
        match joined {
            0 => self.0.insert(first, run),
            _ => {
                self.0[first] = run;
                drop(self.0.drain(first + 1..first + joined));
            }
        }
    }

    /// Forgets what lies before `una`.
    pub fn acknowledge(&mut self, una: SeqNum) {
        while self.0.front().is_some_and(|run| !run.end.after(una)) {
            self.0.pop_front();
        }
        if let Some(run) = self.0.front_mut() {
            run.start = run.start.latest(una);
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The first run that ends after `seq`.
    fn after(&self, seq: SeqNum) -> usize {
        self.0.partition_point(|run| !run.end.after(seq))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    proptest! {
        /// Runs are what a set of single bytes would be, across the wrap.
        #[test]
        fn runs_are_sets(
            start in prop_oneof![any::<u32>(), u32::MAX - 50..u32::MAX],
            blocks in proptest::collection::vec((0u32..100, 1u32..20), 1..40),
            una in 0u32..130,
        ) {
            let at = |offset: u32| SeqNum(start) + offset;
            let (mut runs, mut bytes) = (Runs::default(), BTreeSet::new());
            for (from, len) in blocks {
                runs.insert(at(from), at(from + len));
                bytes.extend(from..from + len);
            }
            runs.acknowledge(at(una));
            bytes.retain(|&byte| byte >= una);
            for offset in una..130 {
                let beyond = (offset..).find(|byte| !bytes.contains(byte)).expect("the set is finite");
                prop_assert_eq!(runs.skip(at(offset)), at(beyond));
            }
            prop_assert_eq!(runs.highest(), bytes.last().map(|&last| at(last + 1)));
            let starts: Vec<u32> = bytes.iter().copied().filter(|&byte| byte == una || !bytes.contains(&(byte - 1))).collect();
            prop_assert_eq!(runs.0.len(), starts.len(), "merged: {:?}", runs);
        }
    }
}
