//! The mistakes of one file, collected while it is read.

use super::{Mistake, Mistakes};
use std::cell::RefCell;
use std::ops::Range;

/// Where something stands in the file, in bytes.
pub(super) type Span = Range<usize>;

/// The text of a file and what has been found wrong with it so far.
pub(super) struct Report<'t> {
    text: &'t str,
    /// Where each line begins, in bytes.
    lines: Vec<usize>,
    found: RefCell<Vec<(usize, String)>>,
    /// What is wrong with files that it names.
    elsewhere: RefCell<Vec<Mistake>>,
}

impl<'t> Report<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let lines = [0].into_iter().chain(text.match_indices('\n').map(|(newline, _)| newline + 1));
        Self { text, lines: lines.collect(), found: RefCell::default(), elsewhere: RefCell::default() }
    }

    /// Notes a mistake at the beginning of `span`.
    pub(super) fn note(&self, span: &Span, text: impl Into<String>) {
        self.found.borrow_mut().push((span.start, text.into()));
    }

    /// Notes a mistake in a file that this one names, at a line and column.
    pub(super) fn note_in(&self, file: &str, (line, column): (usize, usize), text: String) {
        self.elsewhere.borrow_mut().push(Mistake { file: file.to_owned(), line, column, text });
    }

    pub(super) fn is_clean(&self) -> bool {
        self.found.borrow().is_empty() && self.elsewhere.borrow().is_empty()
    }

    /// The line of `span`, from 1.
    pub(super) fn line(&self, span: &Span) -> usize {
        self.place(span.start).0
    }

    /// All mistakes in the order of the file, then those in others.
    pub(super) fn into_mistakes(self, file: &str) -> Mistakes {
        let mut found = self.found.take();
        found.sort();
        found.dedup();
        let mistake = |(offset, text)| {
            let (line, column) = self.place(offset);
            Mistake { file: file.to_owned(), line, column, text }
        };
        Mistakes::Found(found.into_iter().map(mistake).chain(self.elsewhere.take()).collect())
    }

    /// Line and column of a byte, both from 1. What lies past the end is at the end of the last line that is not empty.
    fn place(&self, offset: usize) -> (usize, usize) {
        let end = self.text.trim_end_matches(['\n', '\r']).len();
        let offset = self.text.floor_char_boundary(offset.min(end));
        // The first line begins at 0, so this is at least 1.
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines[line - 1];
        (line, self.text[start..offset].chars().count() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::Report;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let text = "a = 1\nb = \"äö\" x\n\n";
        let cases = [(0, (1, 1)), (4, (1, 5)), (6, (2, 1)), (16, (2, 9)), (12, (2, 6)), (18, (2, 11)), (99, (2, 11))];
        for (offset, wanted) in cases {
            assert_eq!(Report::new(text).place(offset), wanted, "offset {offset}");
        }
        assert_eq!(Report::new("").place(5), (1, 1));
    }
}
