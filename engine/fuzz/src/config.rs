//! Any text as a configuration.

use synward::config::{Config, Mistakes, Summary};

/// The keys that name files: what stands there is not the text's.
const FILES: [&str; 2] = ["drop_file", "allow_file"];

/// The name that mistakes bear.
const NAME: &str = "front.toml";

/// A text is a configuration, or each mistake in it has its place; what is one can be told in a few lines, and means the same
/// when it is read again, also with a comment behind it.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if FILES.iter().any(|key| text.contains(key)) || text.contains("\\u") || text.contains("\\U") {
        return;
    }
    match Config::parse(NAME, text) {
        Ok(config) => is_stable(text, &config),
        Err(Mistakes::Found(found)) => {
            have_places(text, &found);
            let said = Mistakes::Found(found.clone()).to_string();
            assert_eq!(said.lines().count(), found.len(), "a line for each: {said}");
        }
        Err(Mistakes::Unreadable { file, source }) => panic!("{}: {source}", file.display()),
    }
}

fn is_stable(text: &str, config: &Config) {
    let summary = Summary(config).to_string();
    let lines = config.interfaces.len() + config.listeners.len() + config.pools.len() + 1;
    assert_eq!(summary.lines().count(), lines + usize::from(config.metrics.is_some()), "{summary}");
    let again = Config::parse(NAME, &format!("{text}\n# the end\n"));
    assert_eq!(again.ok().as_ref(), Some(config), "{text}");
}

/// Each mistake says where it is, within the text, and what is wrong, in one line.
fn have_places(text: &str, found: &[synward::config::Mistake]) {
    assert!(!found.is_empty());
    let lines: Vec<&str> = text.split('\n').collect();
    for mistake in found {
        assert_eq!(mistake.file, NAME);
        let line = mistake.line.checked_sub(1).and_then(|line| lines.get(line));
        let line = line.unwrap_or_else(|| panic!("{mistake:?} is past the end"));
        assert!((1..=line.chars().count() + 1).contains(&mistake.column), "{mistake:?}");
        assert!(!mistake.text.is_empty() && !mistake.text.contains(['\n', '\r']), "{mistake:?}");
    }
}
