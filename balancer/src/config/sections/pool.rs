//! `[[pool]]` and `[[pool.backend]]`

use crate::balance::{MAX_BACKENDS, TableSize};
use crate::config::addresses::backend_address;
use crate::config::forms::{Form, Hint, integer, name, whole, word};
use crate::config::quantities::{duration, show_duration};
use crate::config::section::Section;
use crate::config::settings::{BackendConfig, Backoff, Balance, PoolConfig};
use std::ops::RangeInclusive;
use std::time::Duration;
use synward_proto::Endpoint;
use toml::Spanned;

const CONNECT_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_mins(5);
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const BACKOFF: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_hours(1);
const DEFAULT_BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(30) };
const WEIGHT: RangeInclusive<u16> = 0..=1000;
const DEFAULT_WEIGHT: u16 = 1;
/// Entries for each backend, at least: the paper's rule for shares that differ by at most one per cent (section 3.4).
const ENTRIES_PER_BACKEND: usize = 100;

/// How a backend is chosen, before the table's size is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Policy {
    RoundRobin,
    Maglev,
}

const BALANCE: [(&str, Policy); 2] = [("round-robin", Policy::RoundRobin), ("maglev", Policy::Maglev)];

/// A pool as it was read.
pub(in crate::config) struct PoolDraft {
    pub(in crate::config) label: String,
    /// Empty where it was missing or wrong.
    pub(in crate::config) name: Spanned<String>,
    balance: Balance,
    connect_timeout: Duration,
    backoff: Backoff,
    /// Without those that have no valid address.
    pub(in crate::config) backends: Vec<BackendDraft>,
}

/// A backend as it was read.
pub(in crate::config) struct BackendDraft {
    pub(in crate::config) label: String,
    pub(in crate::config) address: Spanned<Endpoint>,
    pub(in crate::config) name: Option<Spanned<String>>,
    weight: u16,
}

pub(super) fn read(mut section: Section<'_>) -> PoolDraft {
    let header = section.span().clone();
    let own_name = section.required("name", &name());
    let draft = PoolDraft {
        label: section.label().to_owned(),
        name: own_name.unwrap_or_else(|| Spanned::new(header, String::new())),
        balance: balance(&mut section),
        connect_timeout: section.or("connect_timeout", &duration(CONNECT_TIMEOUT), DEFAULT_CONNECT_TIMEOUT),
        backoff: section.table("backoff").map_or(DEFAULT_BACKOFF, backoff),
        backends: backends(&mut section),
    };
    table_has_room(&section, &draft);
    section.finish();
    draft
}

fn table_has_room(section: &Section<'_>, draft: &PoolDraft) {
    let least = draft.backends.len() * ENTRIES_PER_BACKEND;
    if let Balance::Maglev { table_size } = draft.balance
        && (table_size.get() as usize) < least
    {
        let backends = draft.backends.len();
        let text =
            format!("maglev_size must be at least {least}, {ENTRIES_PER_BACKEND} for each of {backends} backends");
        section.note(&section.place_of(&["maglev_size"]), &text);
    }
}

fn balance(section: &mut Section<'_>) -> Balance {
    let absent = section.ask("balance").is_none();
    let policy = section.optional("balance", &word(&BALANCE)).map(Spanned::into_inner);
    let size = section.optional("maglev_size", &prime());
    if let Some(size) = &size
        && (absent || policy == Some(Policy::RoundRobin))
    {
        section.note(&size.span(), "maglev_size has a meaning with balance = \"maglev\" only");
    }
    match policy.unwrap_or(Policy::RoundRobin) {
        Policy::RoundRobin => Balance::RoundRobin,
        Policy::Maglev => Balance::Maglev { table_size: size.map_or_else(TableSize::default, Spanned::into_inner) },
    }
}

fn prime() -> Form<TableSize> {
    Form::new(format!("a prime from {} to {}", TableSize::MIN, TableSize::MAX), |value| {
        let number = whole(value).and_then(|number| u32::try_from(number).ok()).ok_or_else(Hint::new)?;
        let next = || TableSize::at_least(number).map(|next| format!("the next prime is {next}"));
        TableSize::new(number).ok_or_else(|| next().unwrap_or_default())
    })
}

fn backoff(mut section: Section<'_>) -> Backoff {
    let first = section.or("first", &duration(BACKOFF), DEFAULT_BACKOFF.first);
    let longest = section.or("longest", &duration(BACKOFF), DEFAULT_BACKOFF.longest);
    if first > longest {
        let text = format!("longest is {}, shorter than first, {}", show_duration(longest), show_duration(first));
        section.note(&section.place_of(&["longest", "first"]), &text);
    }
    section.finish();
    Backoff { first, longest }
}

fn backends(section: &mut Section<'_>) -> Vec<BackendDraft> {
    let sections = section.tables("backend");
    let count = sections.len();
    if section.has_no("backend") {
        section.note(section.span(), "has no backend; add [[pool.backend]] with an address");
    }
    if count > MAX_BACKENDS {
        section.note(section.span(), &format!("has {count} backends; at most {MAX_BACKENDS} are possible"));
    }
    sections.into_iter().filter_map(backend).collect()
}

fn backend(mut section: Section<'_>) -> Option<BackendDraft> {
    let address = section.required("address", &backend_address());
    let name = section.optional("name", &name());
    let weight = section.or("weight", &integer(WEIGHT), DEFAULT_WEIGHT);
    let label = section.label().to_owned();
    section.finish();
    Some(BackendDraft { label, address: address?, name, weight })
}

impl PoolDraft {
    pub(in crate::config) fn settle(self) -> PoolConfig {
        PoolConfig {
            name: self.name.into_inner(),
            balance: self.balance,
            connect_timeout: self.connect_timeout,
            backoff: self.backoff,
            backends: self.backends.into_iter().map(BackendDraft::settle).collect(),
        }
    }
}

impl BackendDraft {
    fn settle(self) -> BackendConfig {
        let address = self.address.into_inner();
        let name = self.name.map_or_else(|| address.to_string(), Spanned::into_inner);
        BackendConfig { name, address, weight: self.weight }
    }
}
