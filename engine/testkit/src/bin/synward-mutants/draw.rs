//! Which mutants are tested.

use std::collections::HashMap;
use synward_testkit::hostile::Rng;

/// All mutants, in an order that hangs on the seed and on what each of them is, but neither on its line nor on the others: an
/// edit somewhere changes nothing about where the rest come.
pub fn by_seed(mut names: Vec<String>, seed: u64) -> Vec<String> {
    let mut seen: HashMap<String, u64> = HashMap::new();
    names.sort_by_cached_key(|name| {
        let what = without_place(name);
        let before = seen.entry(what.clone()).or_default();
        *before += 1;
        Rng::new(seed ^ fingerprint(&what).wrapping_add(*before)).next()
    });
    names
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
    use super::by_seed;

    fn names(line: u32) -> Vec<String> {
        (0..20).map(|n| format!("a.rs:{}:7: replace + with - in f{}", line + n, n / 2)).collect()
    }

    #[test]
    fn the_order_hangs_on_the_seed_and_not_on_lines() {
        let orders = [by_seed(names(1), 1), by_seed(names(1), 2), by_seed(names(500), 1)];
        assert_ne!(orders[0], orders[1]);
        let functions =
            |order: &[String]| order.iter().map(|name| name[name.len() - 1..].to_owned()).collect::<Vec<_>>();
        assert_eq!(functions(&orders[0]), functions(&orders[2]));
    }

    #[test]
    fn leaving_one_out_leaves_the_order_of_the_others() {
        let (all, mut fewer) = (by_seed(names(1), 1), names(1));
        let gone = fewer.pop().expect("twenty");
        let others: Vec<_> = all.into_iter().filter(|name| *name != gone).collect();
        assert_eq!(by_seed(fewer, 1), others);
    }
}
