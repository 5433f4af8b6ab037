//! One line of the table.

/// Something wanted, and what was seen.
pub struct Row {
    pub what: String,
    pub wanted: String,
    pub seen: String,
    pub ok: bool,
}

impl Row {
    pub fn new(what: &str, wanted: impl Into<String>, seen: impl Into<String>, ok: bool) -> Self {
        Self { what: what.to_owned(), wanted: wanted.into(), seen: seen.into(), ok }
    }

    /// A figure to be known, with nothing wanted of it.
    pub fn report(what: &str, seen: impl Into<String>) -> Self {
        Self::new(what, "(reported)", seen, true)
    }

    /// A part that could not be run.
    pub fn broken(error: &str) -> Self {
        Self::new("runs", "yes", error, false)
    }
}
