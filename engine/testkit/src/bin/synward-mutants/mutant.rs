//! One thing broken.

use crate::tree::Tree;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

/// A mutant, as `cargo mutants --list --json` tells of it.
#[derive(Clone, Debug, Deserialize)]
pub struct Mutant {
    pub name: String,
    pub package: String,
    file: PathBuf,
    span: Span,
    /// What comes in the place of the span.
    replacement: String,
}

/// From where to before where.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Span {
    start: Place,
    end: Place,
}

/// Both count from one, columns in characters.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Place {
    line: usize,
    column: usize,
}

/// All mutants of `packages`.
///
/// # Errors
/// When cargo-mutants is missing or cannot read the tree.
pub fn list(tree: &Tree, packages: &[&str]) -> Result<Vec<Mutant>> {
    let mut command = tree.command("cargo");
    command.args(["mutants", "--list", "--json"]);
    command.args(packages.iter().map(|package| format!("--package={package}")));
    let output = command.stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "cargo mutants --list: {}", output.status);
    serde_json::from_slice(&output.stdout).context("cargo mutants --list --json is not as version 27 writes it")
}

impl Mutant {
    /// Does something while this is broken in `tree`, and mends it.
    ///
    /// # Errors
    /// When the file cannot be read or written, or ends before the span.
    pub fn within<T>(&self, tree: &Tree, act: impl FnOnce() -> T) -> Result<T> {
        let path = tree.path(&self.file);
        let original = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let broken = self.span.replaced(&original, &self.replacement).context("a mutant lies outside of its file")?;
        fs::write(&path, broken)?;
        let done = act();
        fs::write(&path, original)?;
        Ok(done)
    }
}

impl Span {
    /// `text` with something else in this place, and spaces around that so that it touches no other word.
    fn replaced(self, text: &str, other: &str) -> Option<String> {
        let (start, end) = (self.start.offset(text)?, self.end.offset(text)?);
        Some(format!("{} {other} {}", text.get(..start)?, text.get(end..)?))
    }
}

impl Place {
    /// In bytes.
    fn offset(self, text: &str) -> Option<usize> {
        let line = text.split_inclusive('\n').nth(self.line.checked_sub(1)?)?;
        let before = line.char_indices().nth(self.column.checked_sub(1)?).map_or(line.len(), |(offset, _)| offset);
        Some(line.as_ptr().addr() - text.as_ptr().addr() + before)
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, Span};

    #[test]
    fn a_span_is_replaced_and_nothing_else() {
        let text = "fn f() {\n    \"–\"; a == b\n}\n";
        let span = |columns: (usize, usize)| {
            let place = |column| Place { line: 2, column };
            Span { start: place(columns.0), end: place(columns.1) }
        };
        assert_eq!(span((12, 14)).replaced(text, "!=").as_deref(), Some("fn f() {\n    \"–\"; a  !=  b\n}\n"));
        let over = Span { start: Place { line: 1, column: 9 }, end: Place { line: 3, column: 1 } };
        assert_eq!(over.replaced(text, "").as_deref(), Some("fn f() {  }\n"));
        let beyond = Span { start: Place { line: 9, column: 1 }, end: Place { line: 9, column: 2 } };
        assert_eq!(beyond.replaced(text, ""), None);
    }
}
