use super::{backend, connection, index};
use crate::balance::{BackendIndex, MAX_BACKENDS, Maglev, TableSize};
use proptest::prelude::*;
use synward_proto::Endpoint;

/// Pools from the smallest to the largest; with each, weights that are all alike and weights from 1 to 5.
const COUNTS: [u16; 6] = [1, 2, 3, 10, 100, 256];

/// `count` backends, each with the weight that `weight` gives it.
fn backends(count: u16, weight: fn(u16) -> u16) -> Vec<(Endpoint, u16)> {
    (0..count).map(|n| (backend(n), weight(n))).collect()
}

fn alike(_: u16) -> u16 {
    1
}

fn mixed(n: u16) -> u16 {
    n % 5 + 1
}

fn maglev(backends: &[(Endpoint, u16)]) -> Maglev {
    Maglev::new(backends, TableSize::default())
}

/// The backend of every entry.
fn table(backends: &[(Endpoint, u16)]) -> Vec<Endpoint> {
    maglev(backends).entries().map(|index| backends[index.get()].0).collect()
}

/// Whether `count` is `share` of `whole` within so many per mille.
fn is_share(count: usize, (weight, weights): (u16, u32), whole: usize, per_mille: usize) -> bool {
    let wanted = whole * usize::from(weight) / weights as usize;
    count.abs_diff(wanted) <= wanted * per_mille / 1000 + 1
}

fn sum(backends: &[(Endpoint, u16)]) -> u32 {
    backends.iter().map(|&(_, weight)| u32::from(weight)).sum()
}

#[test]
fn shares_are_the_weights_within_one_per_cent() {
    for (count, weight) in COUNTS.into_iter().flat_map(|count| [(count, alike as fn(u16) -> u16), (count, mixed)]) {
        let backends = backends(count, weight);
        let table = table(&backends);
        assert_eq!(table.len(), 65_537);
        for &(address, weight) in &backends {
            let entries = table.iter().filter(|&&entry| entry == address).count();
            let fair = is_share(entries, (weight, sum(&backends)), table.len(), 10);
            assert!(fair, "{address} of {count}, weight {weight} of {}: {entries} entries", sum(&backends));
        }
    }
}

/// Two tables differ in the entries of the backend that only one of them has, and in at most 1.5 % of all entries besides,
/// whether it is the one that came or the one that went.
#[test]
fn few_others_move_when_one_comes_or_goes() {
    for (count, weight) in COUNTS.into_iter().flat_map(|count| [(count, alike as fn(u16) -> u16), (count, mixed)]) {
        let with = backends(count, weight);
        let before = table(&with);
        for gone in (0..with.len()).step_by(with.len().div_ceil(10)).filter(|_| count > 1) {
            let mut without = with.clone();
            let (lost, _) = without.remove(gone);
            let pairs = || before.iter().zip(table(&without));
            let moved = pairs().filter(|(before, after)| **before != lost && *before != after).count();
            assert!(moved * 1000 <= before.len() * 15, "{count} backends without {lost}: {moved} others moved");
        }
    }
}

/// Pinned, because front ends of different versions must agree. Whoever changes a key or the order of turns sees it here.
#[test]
fn every_version_chooses_alike() {
    let maglev = maglev(&backends(10, mixed));
    let picks: Vec<usize> =
        (0..16).filter_map(|n| maglev.pick(&connection(n), |_| true)).map(BackendIndex::get).collect();
    assert_eq!(picks, [3, 9, 8, 2, 2, 7, 7, 3, 2, 9, 7, 2, 7, 0, 6, 8]);
}

#[test]
fn every_size_of_table_is_filled() {
    for size in [2, 3, 5, 251, 1021] {
        let maglev = Maglev::new(&backends(3, mixed), TableSize::new(size).unwrap());
        assert_eq!(maglev.entries().count(), size as usize);
        for n in 0..100 {
            assert!(maglev.pick(&connection(n), |_| true).is_some());
        }
    }
}

#[test]
fn without_weight_there_is_no_share() {
    let draining = backends(10, |n| if n == 3 { 0 } else { 2 });
    assert!(maglev(&draining).entries().all(|entry| entry != index(3)));
    for nobody in [maglev(&[]), maglev(&backends(3, |_| 0))] {
        assert_eq!(nobody.pick(&connection(1), |_| true), None);
    }
    assert_eq!(maglev(&backends(3, alike)).pick(&connection(1), |_| false), None);
}

/// Connections of both families, by the weights within 3 % for 100,000 of them.
#[test]
fn connections_are_shared_by_weight() {
    let backends = backends(10, mixed);
    let maglev = maglev(&backends);
    let mut counts = [0; 10];
    for n in 0..100_000 {
        counts[maglev.pick(&connection(n), |_| true).unwrap().get()] += 1;
    }
    for (count, (_, weight)) in counts.into_iter().zip(&backends) {
        assert!(is_share(count, (*weight, sum(&backends)), 100_000, 30), "{counts:?}");
    }
}

/// The connections of a backend that is down go to all others by weight, and no other connection moves.
#[test]
fn only_the_connections_of_a_lost_backend_move() {
    let backends = backends(10, mixed);
    let maglev = maglev(&backends);
    let down = index(4);
    let mut inherited = [0; 10];
    for n in 0..200_000 {
        let before = maglev.pick(&connection(n), |_| true).unwrap();
        let after = maglev.pick(&connection(n), |backend| backend != down).unwrap();
        if before == down {
            inherited[after.get()] += 1;
        } else {
            assert_eq!(before, after);
        }
    }
    let weights = sum(&backends) - u32::from(backends[down.get()].1);
    let all = inherited.iter().sum();
    for (n, (_, weight)) in backends.iter().enumerate().filter(|(n, _)| *n != down.get()) {
        assert!(is_share(inherited[n], (*weight, weights), all, 80), "{inherited:?}");
    }
    assert_eq!(inherited[down.get()], 0);
}

/// Where hardly any backend is usable, few entries lead to one, and the choice is made among those few: by weight, and always
/// the same for a connection.
#[test]
fn few_usable_among_many() {
    let backends = backends(256, |n| {
        if n == 7 {
            1
        } else if n == 9 {
            3
        } else {
            1000
        }
    });
    let maglev = maglev(&backends);
    let usable = |backend: BackendIndex| [7, 9].contains(&backend.get());
    let picks: Vec<usize> = (0..10_000).map(|n| maglev.pick(&connection(n), usable).unwrap().get()).collect();
    assert_eq!(picks, (0..10_000).map(|n| maglev.pick(&connection(n), usable).unwrap().get()).collect::<Vec<_>>());
    let light = picks.iter().filter(|&&pick| pick == 7).count();
    assert!(is_share(light, (1, 4), picks.len(), 80), "{light}");
    assert!(picks.iter().all(|pick| [7, 9].contains(pick)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// What is listed in another order is the same.
    #[test]
    fn the_order_of_the_list_is_without_meaning(
        shuffled in (1..40_u16).prop_map(|count| backends(count, mixed)).prop_shuffle(),
        connections in prop::collection::vec(any::<u32>().prop_map(connection), 20),
        down in any::<u16>(),
    ) {
        let mut sorted = shuffled.clone();
        sorted.sort();
        let (one, other) = (maglev(&shuffled), maglev(&sorted));
        prop_assert!(table(&shuffled) == table(&sorted));
        let down = backend(down % 40);
        for connection in connections {
            let one = one.pick(&connection, |it| shuffled[it.get()].0 != down).map(|it| shuffled[it.get()].0);
            let other = other.pick(&connection, |it| sorted[it.get()].0 != down).map(|it| sorted[it.get()].0);
            prop_assert_eq!(one, other);
        }
    }

    /// Every usable backend can be what is left, and is then found by everyone.
    #[test]
    fn the_last_one_is_found(count in 1..=256_u16, last in any::<prop::sample::Index>(), n in any::<u32>()) {
        let last = index(last.index(count.into()));
        let maglev = Maglev::new(&backends(count, mixed), TableSize::new(1021).unwrap());
        prop_assert_eq!(maglev.pick(&connection(n), |it| it == last), Some(last));
        prop_assert!(usize::from(count) <= MAX_BACKENDS);
    }
}
