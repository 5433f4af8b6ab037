//! The mistakes of one file, collected while it is read.

use super::{Mistake, Mistakes};
use std::cell::RefCell;
use std::ops::Range;

/// Where something stands in the file, in bytes.
pub(super) type Span = Range<usize>;

/// The text of a file and what has been found wrong with it so far.
pub(super) struct Report<'t> {
    text: &'t str,
    found: RefCell<Vec<(usize, String)>>,
}

impl<'t> Report<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, found: RefCell::default() }
    }

    /// Notes a mistake at the beginning of `span`.
    pub(super) fn note(&self, span: &Span, text: impl Into<String>) {
        self.found.borrow_mut().push((span.start, text.into()));
    }

    pub(super) fn is_clean(&self) -> bool {
        self.found.borrow().is_empty()
    }

    /// The line of `span`, from 1.
    pub(super) fn line(&self, span: &Span) -> usize {
        place(self.text, span.start).0
    }

    /// All mistakes in the order of the file.
    pub(super) fn into_mistakes(self, file: &str) -> Mistakes {
        let mut found = self.found.into_inner();
        found.sort();
        found.dedup();
        let mistake = |(offset, text)| {
            let (line, column) = place(self.text, offset);
            Mistake { line, column, text }
        };
        Mistakes::Found { file: file.to_owned(), list: found.into_iter().map(mistake).collect() }
    }
}

/// Line and column of a byte, both from 1. What lies past the end is at the end of the last line that is not empty.
pub(super) fn place(text: &str, offset: usize) -> (usize, usize) {
    let end = text.trim_end_matches(['\n', '\r']).len();
    let mut offset = offset.min(end);
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let text = "a = 1\nb = \"äö\" x\n\n";
        let cases = [(0, (1, 1)), (4, (1, 5)), (6, (2, 1)), (16, (2, 9)), (12, (2, 6)), (18, (2, 11)), (99, (2, 11))];
        for (offset, wanted) in cases {
            assert_eq!(place(text, offset), wanted, "offset {offset}");
        }
        assert_eq!(place("", 5), (1, 1));
    }
}
