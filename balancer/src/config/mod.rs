//! The configuration of the front end: a TOML file, checked whole before anything is touched.
//!
//! [`Config::load`] gives a configuration in which every value is within its range and everything that is referred to
//! exists, or all mistakes of the file, each with its place and with what would be right:
//!
//! ```
//! use synward::config::Config;
//!
//! let text = "\
//! [[interface]]
//! name = 'eth0'
//!
//! [[listener]]
//! name = 'web'
//! address = '10.0.0.1:80'
//! pool = 'wbe'
//!
//! [[pool]]
//! name = 'web'
//! backend = [{ address = '10.0.1.1:8080' }]
//! ";
//! let mistakes = Config::parse("front.toml", text).unwrap_err();
//! let wanted = r#"front.toml:7:8: listener "web": pool "wbe" does not exist; did you mean "web"? (pools: web)"#;
//! assert_eq!(mistakes.to_string(), wanted);
//! ```
//!
//! The keys, their values and their defaults are in `docs/config.md`.

mod addresses;
mod forms;
mod host;
mod mistake;
mod nearest;
mod prefixes;
mod quantities;
mod relations;
mod report;
mod section;
mod sections;
mod settings;
mod summary;
#[cfg(test)]
mod tests;

pub use host::{Host, ThisHost};
pub use mistake::{Mistake, Mistakes};
pub(crate) use prefixes::deciding;
pub use quantities::{parse_duration, show_duration};
pub use settings::{
    BackendConfig, Backoff, Balance, Config, EngineSettings, InterfaceConfig, ListenerConfig, MAX_PREFIXES, PoolConfig,
    Queues, ShieldMode, ShieldSettings, ShutdownConfig,
};
pub use summary::Summary;

use report::Report;
use sections::Draft;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use toml::de::DeTable;

/// Largest file that is read, in bytes.
const LARGEST_FILE: u64 = 1 << 20;

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// When it cannot be read, or all mistakes in it.
    pub fn load(path: &Path) -> Result<Self, Mistakes> {
        let (name, bytes) = read_file(path, LARGEST_FILE)?;
        Self::from_bytes(&name, &bytes, None)
    }

    /// Reads and checks a file, also against the machine that it is for.
    ///
    /// # Errors
    /// When it cannot be read, or all mistakes in it. What the machine lacks is looked for once the file is right by itself.
    pub fn load_for(path: &Path, host: &dyn Host) -> Result<Self, Mistakes> {
        let (name, bytes) = read_file(path, LARGEST_FILE)?;
        Self::from_bytes(&name, &bytes, Some(host))
    }

    /// Checks the text of a file that is called `name` in mistakes, and the files that it names.
    ///
    /// # Errors
    /// All mistakes in it.
    pub fn parse(name: &str, text: &str) -> Result<Self, Mistakes> {
        Self::from_text(name, text, None)
    }

    /// Checks the text of a file, also against a machine.
    ///
    /// # Errors
    /// All mistakes in it. What the machine lacks is looked for once the text is right by itself.
    pub fn parse_for(name: &str, text: &str, host: &dyn Host) -> Result<Self, Mistakes> {
        Self::from_text(name, text, Some(host))
    }

    fn from_bytes(name: &str, bytes: &[u8], host: Option<&dyn Host>) -> Result<Self, Mistakes> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::from_text(name, text, host),
            Err(error) => {
                let end = error.valid_up_to();
                let text = String::from_utf8_lossy(bytes);
                let report = Report::new(&text);
                report.note(&(end..end), "not UTF-8, which TOML files are");
                Err(report.into_mistakes(name))
            }
        }
    }

    fn from_text(name: &str, text: &str, host: Option<&dyn Host>) -> Result<Self, Mistakes> {
        let report = Report::new(text);
        let (file, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            report.note(&error.span().unwrap_or(0..0), error.message().trim().replace('\n', ", "));
        }
        // What could be read of a file with errors of syntax says little about what its author meant.
        let config = if errors.is_empty() { settle(Draft::read(&report, &file), &report, host) } else { None };
        config.filter(|_| report.is_clean()).ok_or_else(|| report.into_mistakes(name))
    }
}

/// Checks what holds between sections, and gives what the draft says; `None` where a pool does not exist.
fn settle(draft: Draft, report: &Report<'_>, host: Option<&dyn Host>) -> Option<Config> {
    relations::check(&draft, report);
    let pool_of = |listener| relations::pool_index(listener, &draft.pools, report);
    let pool_indices: Vec<Option<usize>> = draft.listeners.iter().map(pool_of).collect();
    let prefixes = prefixes::gather(&draft.shield, report);
    relations::backends_not_dropped(&draft, &prefixes, report);
    if let Some(host) = host
        && report.is_clean()
    {
        host::check(&draft, host, report);
    }
    let listeners = draft.listeners.into_iter().zip(pool_indices);
    let cookies = draft.engine.syncookies;
    Some(Config {
        engine: draft.engine,
        interfaces: draft.interfaces.into_iter().map(|it| it.settle()).collect(),
        listeners: listeners.map(|(it, pool)| Some(it.settle(pool?, cookies))).collect::<Option<_>>()?,
        pools: draft.pools.into_iter().map(|it| it.settle()).collect(),
        shield: draft.shield.settle(prefixes),
        metrics: draft.metrics.map(|metrics| metrics.address.into_inner()),
        shutdown: draft.shutdown,
    })
}

/// The name and the bytes of a file of at most `most` bytes.
fn read_file(path: &Path, most: u64) -> Result<(String, Vec<u8>), Mistakes> {
    let unreadable = |source| Mistakes::Unreadable { file: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(most + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > most {
        return Err(unreadable(io::Error::other(format!("is larger than {most} bytes"))));
    }
    Ok((path.display().to_string(), bytes))
}
