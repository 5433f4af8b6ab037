//! Files, the mistakes in them, and the reference.

mod host;
mod mistakes;
mod noise;
mod prefixes;
mod reference;
mod summary;
mod values;

use super::Config;

/// A file with every section in it and only the keys that must be there.
const LEAST: &str = "\
[[interface]]
name = 'eth0'

[[listener]]
name = 'web'
address = '10.0.0.1:80'
pool = 'web'

[[pool]]
name = 'web'

[[pool.backend]]
address = '10.0.1.1:8080'
";

fn parse(text: &str) -> Config {
    Config::parse("front.toml", text).unwrap_or_else(|mistakes| panic!("{mistakes}\nin\n{text}"))
}

/// The mistakes as lines.
fn mistakes(text: &str) -> Vec<String> {
    match Config::parse("front.toml", text) {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes.to_string().lines().map(str::to_owned).collect(),
    }
}
