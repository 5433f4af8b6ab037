//! What is to be vouched for.

use serde::Deserialize;
use std::path::Path;

/// A section of threats or faults: one file of `docs/assurance`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// Its heading.
    pub section: String,
    /// Its rows, in their order.
    #[serde(default)]
    pub row: Vec<Row>,
}

/// A threat or a fault.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// What happens.
    pub what: String,
    /// What must be seen then.
    pub wanted: String,
    /// The checks that look. `<test target> <test>` is a test, or all of a prefix where it ends in `*`; other names are those
    /// under which reports are left.
    #[serde(default)]
    pub by: Vec<String>,
    /// What of it nobody looks at, and why.
    pub gap: Option<String>,
}

/// Reads the sections of a folder, by the names of their files.
///
/// # Errors
/// What cannot be read, and rows that name neither a check nor a gap: a row must not be silently empty.
pub fn read_sections(folder: &Path) -> Result<Vec<Section>, String> {
    let at = |error| format!("{}: {error}", folder.display());
    let entries = std::fs::read_dir(folder).map_err(at)?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(at)?.path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    paths.iter().map(|path| read(path).map_err(|error| format!("{}: {error}", path.display()))).collect()
}

fn read(path: &Path) -> Result<Section, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let section: Section = toml::from_str(&text).map_err(|error| error.to_string())?;
    match section.row.iter().find(|row| row.by.is_empty() && row.gap.as_deref().is_none_or(|gap| gap.trim().is_empty()))
    {
        Some(row) => Err(format!("`{}` has neither a check nor a gap", row.what)),
        None if section.row.is_empty() => Err("no rows".into()),
        None => Ok(section),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(text: &str) -> Result<Section, String> {
        let folder = std::env::temp_dir().join(format!("synward-rows-{}-{}", std::process::id(), text.len()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("1.toml");
        std::fs::write(&path, text).expect("a file");
        let read = read_sections(&folder).map(|mut sections| sections.remove(0));
        std::fs::remove_dir_all(&folder).expect("removed");
        read
    }

    #[test]
    fn a_row_without_a_check_needs_a_gap() {
        let head = "section = 's'\n[[row]]\nwhat = 'w'\nwanted = 'x'\n";
        let empty = section(head).expect_err("refused");
        assert!(empty.ends_with("1.toml: `w` has neither a check nor a gap"), "{empty}");
        assert!(section(&format!("{head}gap = ' '\n")).is_err());
        assert!(section(&format!("{head}gap = 'nobody could'\n")).is_ok());
        assert!(section(&format!("{head}by = ['a b']\n")).is_ok());
        assert!(section(&format!("{head}buy = ['a b']\n")).is_err());
        assert!(section("section = 's'\n").is_err());
    }
}
