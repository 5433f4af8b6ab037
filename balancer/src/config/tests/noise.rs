//! Text that nobody meant: never a panic, and every mistake has its place in the file.

use crate::config::{Config, Mistakes};
use proptest::prelude::*;

const EXAMPLE: &str = include_str!("../../../../deploy/front.toml");

/// Words and signs that mean something in such a file, so that noise gets past the parser.
const PIECES: [&str; 29] = [
    "[engine]\n",
    "[[interface]]\n",
    "[[listener]]\n",
    "[[pool]]\n",
    "[[pool.backend]]\n",
    "[shield]\n",
    "[metrics]\n",
    "[shutdown]\n",
    "name",
    "address",
    "addresses",
    "pool",
    "backend",
    "weight",
    "backoff",
    "source_ports",
    "shield",
    "stall_limit",
    "raise_at",
    " = ",
    "'web'",
    "'10.0.0.1:80'",
    "'5000-1'",
    "-1",
    "[",
    "]",
    "{",
    "}",
    "\n",
];

fn check(text: &str) -> Result<(), TestCaseError> {
    let Err(error) = Config::parse("front.toml", text) else { return Ok(()) };
    let Mistakes::Found(list) = &error else { return Err(TestCaseError::fail("unreadable")) };
    prop_assert!(!list.is_empty());
    let lines: Vec<&str> = text.split('\n').collect();
    for mistake in list {
        let line = mistake.line.checked_sub(1).and_then(|line| lines.get(line));
        let Some(line) = line else { return Err(TestCaseError::fail(format!("{mistake:?} past the end"))) };
        prop_assert!((1..=line.chars().count() + 1).contains(&mistake.column), "{mistake:?}");
        prop_assert!(!mistake.text.is_empty() && !mistake.text.contains('\n'), "{mistake:?}");
    }
    prop_assert_eq!(error.to_string().lines().count(), list.len());
    Ok(())
}

proptest! {
    #[test]
    fn any_text(text in "\\PC*|(?s).*") {
        check(&text)?;
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Config::from_bytes("front.toml", &bytes, None).is_err());
    }

    #[test]
    fn pieces_in_any_order(pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..60)) {
        check(&pieces.concat())?;
    }

    /// The example, with a stretch of it replaced by something else.
    #[test]
    fn mutations(at in any::<prop::sample::Index>(), length in 0..40_usize, new in "\\PC{0,3}|[0-9\\[\\]'\"=.:-]{0,4}") {
        let chars: Vec<char> = EXAMPLE.chars().collect();
        let start = at.index(chars.len());
        let end = (start + length).min(chars.len());
        let text: String = chars[..start].iter().copied().chain(new.chars()).chain(chars[end..].iter().copied()).collect();
        check(&text)?;
    }
}
