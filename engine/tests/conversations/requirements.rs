//! What is to be proved: the rows of `requirements.toml`, and those that `deviations.toml` excuses.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// How many requirements may be left unfulfilled.
const MAX_DEVIATIONS: usize = 12;
/// The MUSTs among them: urgent data, and IP options.
const MAY_DEVIATE: [&str; 9] =
    ["MUST-30", "MUST-31", "MUST-32", "MUST-33", "MUST-62", "MUST-50", "MUST-51", "MUST-52", "MUST-53"];

/// Everything that is to be proved.
pub struct Requirements {
    /// In the order of the index.
    pub rows: Vec<Row>,
}

/// One thing to be proved.
pub struct Row {
    /// Its name in `proves`.
    pub id: String,
    /// Where it is said.
    pub section: String,
    /// What it says, in short.
    pub text: String,
    /// The rows whose proofs are its own; where there are none, it wants proofs of its own.
    pub by: Vec<String>,
    /// Why it is not fulfilled.
    pub deviation: Option<String>,
}

/// `requirements.toml`
#[derive(Deserialize)]
struct File {
    rfc9293: BTreeMap<String, (String, String)>,
    rfcs: BTreeMap<String, String>,
    threats: BTreeMap<String, Threat>,
}

#[derive(Deserialize)]
struct Threat {
    text: String,
    #[serde(default)]
    by: Vec<String>,
}

impl Requirements {
    /// Reads both files of `folder`.
    ///
    /// # Errors
    /// What is wrong in them, and in which.
    pub fn read(folder: &Path) -> Result<Self, String> {
        let text = |name: &str| std::fs::read_to_string(folder.join(name)).map_err(|error| format!("{name}: {error}"));
        Self::parse(&text("requirements.toml")?, &text("deviations.toml")?)
    }

    /// Reads both files from their texts.
    ///
    /// # Errors
    /// What is wrong in them, and in which.
    pub fn parse(requirements: &str, deviations: &str) -> Result<Self, String> {
        let file: File = toml::from_str(requirements).map_err(|error| format!("requirements.toml: {error}"))?;
        let deviations: BTreeMap<String, String> =
            toml::from_str(deviations).map_err(|error| format!("deviations.toml: {error}"))?;
        let mut rows = file.rows();
        check_deviations(&deviations, &rows)?;
        for row in &mut rows {
            row.deviation = deviations.get(&row.id).cloned();
        }
        let missing = rows.iter().flat_map(|row| &row.by).find(|id| !rows.iter().any(|row| row.id == **id));
        missing.map_or(Ok(()), |id| Err(format!("requirements.toml: `by` names {id}, which is no row")))?;
        Ok(Self { rows })
    }

    /// The row of that name.
    pub fn find(&self, id: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.id == id)
    }
}

impl File {
    fn rows(self) -> Vec<Row> {
        let row = |id: String, section: String, text| Row { id, section, text, by: Vec::new(), deviation: None };
        let mut rows: Vec<Row> = self
            .rfc9293
            .into_iter()
            .map(|(id, (section, text))| row(id, format!("RFC 9293, {section}"), text))
            .collect();
        let rfcs = self.rfcs.into_iter().map(|(id, text)| {
            let section = id.trim_start_matches("RFC-").replacen('.', ", ", 1);
            row(id, format!("RFC {section}"), text)
        });
        rows.extend(rfcs);
        let threats = self.threats.into_iter().map(|(number, Threat { text, by })| {
            let section = if number.starts_with('3') { "standards checklist" } else { "decided" };
            Row { by, ..row(format!("threats {number}"), section.into(), text) }
        });
        rows.extend(threats);
        rows.sort_by_key(|row| order(&row.id));
        rows
    }
}

/// Names in their natural order: `MUST-9` before `MUST-10`.
fn order(id: &str) -> (usize, Vec<u32>) {
    let group = ["MUST", "SHLD", "MAY", "REC", "RFC"].iter().position(|group| id.starts_with(group));
    let numbers = id.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok());
    (group.unwrap_or(usize::MAX), numbers.collect())
}

fn check_deviations(deviations: &BTreeMap<String, String>, rows: &[Row]) -> Result<(), String> {
    if deviations.len() > MAX_DEVIATIONS {
        return Err(format!("deviations.toml: {} deviations, at most {MAX_DEVIATIONS} are allowed", deviations.len()));
    }
    for (id, reason) in deviations {
        if !rows.iter().any(|row| row.id == *id) {
            return Err(format!("deviations.toml: {id} is no row of requirements.toml"));
        }
        if id.starts_with("MUST") && !MAY_DEVIATE.contains(&id.as_str()) {
            return Err(format!("deviations.toml: {id} must be fulfilled"));
        }
        if reason.trim().is_empty() {
            return Err(format!("deviations.toml: {id} has no reason"));
        }
    }
    Ok(())
}
