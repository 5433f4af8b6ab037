//! `docs/config.md` and `deploy/front.toml` say what the code does.

use super::{mistakes, parse};
use crate::config::Config;
use std::collections::BTreeSet;
use std::path::Path;

const REFERENCE: &str = include_str!("../../../../docs/config.md");

const UNIT: &str = include_str!("../../../../deploy/systemd/synward.service");

/// One row of a table of keys.
struct Row {
    /// The header above it: `engine`, `pool.backend`, `pool.backoff`.
    section: &'static str,
    key: &'static str,
    /// What the value must be, in the words of the errors.
    value: &'static str,
    /// As it would be written in the file; `None` where the table says that the key is required or optional.
    default: Option<&'static str>,
    required: bool,
}

fn rows() -> Vec<Row> {
    let mut section = "";
    let mut rows = Vec::new();
    for line in REFERENCE.lines() {
        if let Some(header) = line.strip_prefix("## `") {
            section = header.trim_end_matches('`').trim_matches(['[', ']']);
        }
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        if let [key, value, default, _meaning] = cells[..]
            && let Some(key) = code(key)
        {
            rows.push(Row { section, key, value, default: code(default), required: default == "required" });
        }
    }
    rows
}

/// What stands between backticks.
fn code(cell: &'static str) -> Option<&'static str> {
    cell.strip_prefix('`')?.strip_suffix('`')
}

/// Every section, with its header and the keys that must be there.
const SECTIONS: [(&str, &str, &[&str]); 9] = [
    ("engine", "[engine]", &[]),
    ("interface", "[[interface]]", &["name = 'eth0'"]),
    ("listener", "[[listener]]", &["name = 'web'", "address = '10.0.0.1:80'", "pool = 'web'"]),
    ("pool", "[[pool]]", &["name = 'web'"]),
    ("pool.backoff", "[pool.backoff]", &[]),
    ("pool.backend", "[[pool.backend]]", &["address = '10.0.1.1:8080'"]),
    ("shield", "[shield]", &[]),
    ("metrics", "[metrics]", &["address = '127.0.0.1:9090'"]),
    ("shutdown", "[shutdown]", &[]),
];

/// A file in which one section has these keys, and the others the least; no section is called "".
fn file(section: &str, keys: &[String]) -> String {
    let mut text = String::new();
    // A table that `keys` give in the place of its section would be there twice.
    let given = |name: &str| keys.iter().any(|key| format!("{section}.{key}").starts_with(&format!("{name} = ")));
    for (name, header, least) in SECTIONS.iter().filter(|(name, _, least)| *name == section || !least.is_empty()) {
        let least = least.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
        let keys = if *name == section { keys } else { &least };
        if !given(name) {
            text += &format!("{header}\n{}\n", keys.join("\n"));
        }
    }
    text
}

/// A file in which one section has a key with this value, and otherwise the least.
fn with(section: &str, key: &str, value: &str) -> String {
    let (_, _, least) = SECTIONS.iter().find(|(name, ..)| *name == section).unwrap();
    let others = least.iter().filter(|line| !line.starts_with(&format!("{key} = "))).map(|line| (*line).to_owned());
    file(section, &others.chain([format!("{key} = {value}")]).collect::<Vec<_>>())
}

/// The keys of a section, as the code lists them when it meets a stranger.
fn keys_of(section: &str) -> BTreeSet<String> {
    let said = mistakes(&with(section, "zzzzzzzzzzzz", "1")).join("\n");
    let (_, keys) = said.split_once("(keys: ").unwrap_or_else(|| panic!("[{section}]: {said}"));
    let (keys, _) = keys.split_once(')').unwrap();
    keys.split(", ").map(str::to_owned).collect()
}

#[test]
fn the_reference_has_every_key_and_no_other() {
    let headers: BTreeSet<&str> = rows().iter().map(|row| row.section).collect();
    assert_eq!(headers, SECTIONS.iter().map(|(name, ..)| *name).collect());
    for (section, ..) in SECTIONS {
        let listed: BTreeSet<String> =
            rows().iter().filter(|row| row.section == section).map(|row| row.key.to_owned()).collect();
        assert_eq!(listed, keys_of(section), "[{section}]");
    }
}

/// A date is what no key takes, so every key says what it wants.
#[test]
fn the_reference_says_of_values_what_the_errors_say() {
    for Row { section, key, value, .. } in rows() {
        let wanted = format!(": {key} must be {value}, not a date");
        let said = mistakes(&with(section, key, "1979-05-27"));
        assert!(said.iter().any(|line| line.contains(&wanted)), "[{section}] wanted{wanted}\nsaid {said:#?}");
    }
}

#[test]
fn the_defaults_of_the_reference_are_those_of_the_code() {
    let least = file("", &[]);
    let maglev = |text: String| parse(&text.replace("[[pool]]\n", "[[pool]]\nbalance = 'maglev'\n"));
    for Row { section, key, default, .. } in rows() {
        let Some(default) = default else { continue };
        let text = with(section, key, default);
        match key {
            "maglev_size" => assert_eq!(maglev(text), maglev(least.clone())),
            _ => assert_eq!(parse(&text), parse(&least), "[{section}] {key} = {default}"),
        }
    }
}

#[test]
fn what_the_reference_calls_required_is() {
    for Row { section, key, required, .. } in rows() {
        let said = mistakes(&file(section, &[])).join("\n");
        assert_eq!(said.contains(&format!(": {key} is missing;")), required, "[{section}] {key}: {said}");
    }
}

#[test]
fn the_smallest_file_of_the_reference_is_right() {
    let (_, rest) = REFERENCE.split_once("```toml\n").unwrap();
    let (text, _) = rest.split_once("```").unwrap();
    parse(text);
}

#[test]
fn the_example_is_right() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/front.toml");
    let config = Config::load(&path).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!((config.listeners.len(), config.pools.len()), (2, 2));
}

/// systemd kills what has not stopped by then.
#[test]
fn the_unit_waits_longer_than_the_example_drains() {
    let timeout = UNIT.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")?.strip_suffix('s')?.parse().ok());
    let drain = parse(include_str!("../../../../deploy/front.toml")).shutdown.drain;
    assert!(timeout > Some(drain.as_secs()), "{timeout:?} {drain:?}");
}
