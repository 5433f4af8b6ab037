//! Which mutants are tested.

use crate::mutant::Mutant;
use std::collections::HashMap;
use synward_testkit::hostile::Rng;

/// All mutants, in an order that hangs on the seed and on what each of them is, but neither on its line nor on the others: an
/// edit somewhere changes nothing about where the rest come.
pub fn by_seed(mutants: Vec<Mutant>, seed: u64) -> Vec<Mutant> {
    let places = places(mutants.iter().map(|mutant| mutant.name.as_str()), seed);
    let mut placed: Vec<_> = places.into_iter().zip(mutants).collect();
    placed.sort_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, mutant)| mutant).collect()
}

/// The place of each name in the order of the seed.
fn places<'a>(names: impl Iterator<Item = &'a str>, seed: u64) -> Vec<u64> {
    let mut seen: HashMap<String, u64> = HashMap::new();
    let place = |name| {
        let what = without_place(name);
        let mark = fingerprint(&what);
        let before = seen.entry(what).or_default();
        *before += 1;
        Rng::new(seed ^ mark.wrapping_add(*before)).next()
    };
    names.map(place).collect()
}

/// `file.rs:12:3: replace + with -` without `12:3`.
fn without_place(name: &str) -> String {
    let is_place = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit());
    name.splitn(4, ':').filter(|part| !is_place(part)).collect()
}

/// FNV-1a: the same on every machine and with every compiler.
fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::places;

    fn order(line: u32, seed: u64, without: u32) -> Vec<u32> {
        let numbers: Vec<u32> = (0..20).filter(|&n| n != without).collect();
        // Two alike in each function, told apart by which comes first.
        let names: Vec<_> =
            numbers.iter().map(|n| format!("a.rs:{}:7: replace + with - in f{}", line + n, n / 2)).collect();
        let places = places(names.iter().map(String::as_str), seed);
        let mut order: Vec<_> = places.into_iter().zip(numbers).collect();
        order.sort_unstable();
        order.into_iter().map(|(_, n)| n).collect()
    }

    #[test]
    fn the_order_hangs_on_the_seed_and_neither_on_lines_nor_on_others() {
        let first = order(1, 1, 20);
        assert_ne!(first, order(1, 2, 20));
        assert_eq!(first, order(500, 1, 20));
        let others: Vec<_> = first.into_iter().filter(|&n| n != 7).collect();
        assert_eq!(others, order(1, 1, 7));
    }
}
