//! The word that was probably meant.

/// The one of `words` nearest to `word`, as a hint, or nothing when none is near: more than a third of the letters would
/// have to change.
pub(super) fn did_you_mean<'w>(word: &str, words: impl IntoIterator<Item = &'w str>) -> Option<String> {
    let nearest = words.into_iter().map(|known| (distance(word, known), known)).min()?;
    let (distance, known) = nearest;
    let letters = word.chars().count().max(known.chars().count());
    (distance * 3 <= letters.max(3)).then(|| format!("did you mean {known:?}?"))
}

/// Longest word that is compared; no word of ours is longer.
const LONGEST: usize = 64;

/// Letters to insert, remove, replace or swap with the neighbour (optimal string alignment), upper and lower case alike.
fn distance(a: &str, b: &str) -> usize {
    let letters = |word: &str| word.chars().take(LONGEST).flat_map(char::to_lowercase).collect::<Vec<_>>();
    let (a, b) = (letters(a), letters(b));
    let mut before_last = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::{did_you_mean, distance};

    #[test]
    fn distances() {
        let cases = [("web", "web", 0), ("wbe", "web", 1), ("", "abc", 3), ("kitten", "sitting", 3), ("Web", "web", 0)];
        for (a, b, wanted) in cases {
            assert_eq!(distance(a, b), wanted, "{a} {b}");
            assert_eq!(distance(b, a), wanted, "{b} {a}");
        }
    }

    #[test]
    fn only_what_is_near_is_suggested() {
        let words = ["round-robin", "maglev"];
        assert_eq!(did_you_mean("roundrobin", words), Some("did you mean \"round-robin\"?".to_owned()));
        assert_eq!(did_you_mean("Maglev", words), Some("did you mean \"maglev\"?".to_owned()));
        assert_eq!(did_you_mean("leastconn", words), None);
        assert_eq!(did_you_mean("web", []), None);
    }
}
