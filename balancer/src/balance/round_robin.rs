//! In turn, by weight.

use super::BackendIndex;

/// Smooth weighted round robin, as nginx has it (`ngx_http_upstream_get_peer`): among backends of the weights 5, 1, 1 the
/// turns are a a b a c a a, never five in a row.
///
/// Every turn each candidate's credit grows by its weight; the one with most credit is chosen and pays the weights of all
/// candidates. One that cannot be used now takes no part, and neither gains nor loses.
#[derive(Clone, Debug)]
pub struct RoundRobin {
    turns: Vec<Turn>,
}

#[derive(Clone, Debug)]
struct Turn {
    weight: u16,
    /// Between minus and plus the sum of all weights while all are usable, and within a small multiple otherwise.
    credit: i64,
}

impl RoundRobin {
    /// For backends of these weights; one of weight 0 is never chosen.
    pub fn new(weights: impl IntoIterator<Item = u16>) -> Self {
        Self { turns: weights.into_iter().map(|weight| Turn { weight, credit: 0 }).collect() }
    }

    /// The next among those that are usable.
    pub fn pick(&mut self, usable: impl Fn(BackendIndex) -> bool) -> Option<BackendIndex> {
        let mut all_weights = 0;
        let mut best: Option<(BackendIndex, i64)> = None;
        for (index, turn) in BackendIndex::first(self.turns.len()).zip(&mut self.turns) {
            if turn.weight == 0 || !usable(index) {
                continue;
            }
            turn.credit += i64::from(turn.weight);
            all_weights += i64::from(turn.weight);
            if best.is_none_or(|(_, credit)| turn.credit > credit) {
                best = Some((index, turn.credit));
            }
        }
        let (index, credit) = best?;
        self.turns[index.get()].credit = credit - all_weights;
        Some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn turns(policy: &mut RoundRobin, count: usize, usable: impl Fn(usize) -> bool) -> Vec<usize> {
        (0..count).filter_map(|_| policy.pick(|index| usable(index.get()))).map(BackendIndex::get).collect()
    }

    #[test]
    fn turns_are_spread_evenly() {
        let mut policy = RoundRobin::new([5, 1, 1]);
        assert_eq!(turns(&mut policy, 14, |_| true), [0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(turns(&mut RoundRobin::new([1, 1, 1]), 6, |_| true), [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn nobody_to_choose() {
        assert_eq!(RoundRobin::new([]).pick(|_| true), None);
        assert_eq!(RoundRobin::new([0, 0]).pick(|_| true), None);
        assert_eq!(RoundRobin::new([1, 2]).pick(|_| false), None);
    }

    #[test]
    fn one_that_cannot_be_used_is_not_made_up_for_later() {
        let mut policy = RoundRobin::new([1, 1]);
        assert_eq!(turns(&mut policy, 100, |index| index == 1), [1; 100]);
        let later = turns(&mut policy, 10, |_| true);
        assert_eq!(later.iter().filter(|&&index| index == 0).count(), 5, "{later:?}");
    }

    proptest! {
        /// In as many turns as the weights add up to, each gets exactly its weight, wherever the count begins.
        #[test]
        fn every_round_gives_each_its_weight(weights in prop::collection::vec(0..20_u16, 1..12), rounds in 1..4_usize) {
            let sum: u16 = weights.iter().sum();
            let mut policy = RoundRobin::new(weights.clone());
            for _ in 0..rounds {
                let turns = turns(&mut policy, sum.into(), |_| true);
                for (index, &weight) in weights.iter().enumerate() {
                    prop_assert_eq!(turns.iter().filter(|&&turn| turn == index).count(), usize::from(weight));
                }
            }
        }

        /// Whoever comes and goes, credit does not run away.
        #[test]
        fn credit_is_bounded(weights in prop::collection::vec(1..=1000_u16, 1..8), masks in prop::collection::vec(any::<u8>(), 0..300)) {
            let sum: i64 = weights.iter().map(|&weight| i64::from(weight)).sum();
            let count = i64::try_from(weights.len()).unwrap();
            let mut policy = RoundRobin::new(weights);
            for mask in masks {
                policy.pick(|index| mask >> index.get() & 1 == 1);
                for turn in &policy.turns {
                    prop_assert!(turn.credit.abs() <= count * sum, "{:?}", policy.turns);
                }
            }
        }
    }
}
