//! `[[listener]]`

use super::CONNECTIONS;
use crate::config::addresses::listen_address;
use crate::config::forms::{integer, name, name_of, word};
use crate::config::quantities::duration;
use crate::config::section::Section;
use crate::config::settings::{ListenerConfig, ShieldMode};
use std::ops::RangeInclusive;
use std::time::Duration;
use synward_proto::Endpoint;
use synward_proto::flood_guard::Syncookies;
use toml::Spanned;

/// As `somaxconn`, which bounds it.
const BACKLOG: RangeInclusive<u32> = 1..=1 << 16;
const DEFAULT_BACKLOG: u32 = 1024;
const IDLE_TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(7 * 24);
const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_mins(5);

const SHIELD: [(&str, ShieldMode); 3] =
    [("off", ShieldMode::Off), ("auto", ShieldMode::Auto), ("always", ShieldMode::Always)];

/// A listener as it was read.
pub(in crate::config) struct ListenerDraft {
    pub(in crate::config) label: String,
    /// Empty where it was missing or wrong.
    pub(in crate::config) name: Spanned<String>,
    /// Without those that were wrong.
    pub(in crate::config) addresses: Vec<Spanned<Endpoint>>,
    /// The name of the pool; `None` where it was missing or wrong.
    pub(in crate::config) pool: Option<Spanned<String>>,
    backlog: u32,
    idle_timeout: Duration,
    pub(in crate::config) max_connections: Option<Spanned<u32>>,
    /// `None` where it was not said, or wrong.
    pub(in crate::config) shield: Option<Spanned<ShieldMode>>,
}

pub(super) fn read(mut section: Section<'_>) -> ListenerDraft {
    let header = section.span().clone();
    let own_name = section.required("name", &name());
    let draft = ListenerDraft {
        label: section.label().to_owned(),
        name: own_name.unwrap_or_else(|| Spanned::new(header, String::new())),
        addresses: addresses(&mut section),
        pool: section.required("pool", &name_of("a pool")),
        backlog: section.or("backlog", &integer(BACKLOG), DEFAULT_BACKLOG),
        idle_timeout: section.or("idle_timeout", &duration(IDLE_TIMEOUT), DEFAULT_IDLE_TIMEOUT),
        max_connections: section.optional("max_connections", &integer(CONNECTIONS)),
        shield: section.optional("shield", &word(&SHIELD)),
    };
    section.finish();
    draft
}

/// From `address` or `addresses`, whichever is there.
fn addresses(section: &mut Section<'_>) -> Vec<Spanned<Endpoint>> {
    let (one, several) = (section.ask("address"), section.ask("addresses"));
    match (one, several) {
        (Some(_), Some(several)) => {
            section.note(&several.span(), "address and addresses are both given; put all of them in addresses");
        }
        (None, None) => section.missing("address", &listen_address()),
        (None, Some(several)) if several.get_ref().as_array().is_some_and(|list| list.is_empty()) => {
            section.note(&several.span(), "addresses must name at least one address");
        }
        _ => {}
    }
    let mut all = section.list("addresses", &listen_address());
    all.extend(section.optional("address", &listen_address()));
    all
}

impl ListenerDraft {
    /// `pool` is the index of its pool. Without cookies there is no shield.
    pub(in crate::config) fn settle(self, pool: usize, cookies: Syncookies) -> ListenerConfig {
        let shield = match cookies {
            Syncookies::Never => ShieldMode::Off,
            Syncookies::Auto | Syncookies::Always => self.shield.map_or(ShieldMode::Auto, Spanned::into_inner),
        };
        ListenerConfig {
            name: self.name.into_inner(),
            addresses: self.addresses.into_iter().map(Spanned::into_inner).collect(),
            pool,
            backlog: self.backlog,
            idle_timeout: self.idle_timeout,
            max_connections: self.max_connections.map(Spanned::into_inner),
            shield,
        }
    }
}
