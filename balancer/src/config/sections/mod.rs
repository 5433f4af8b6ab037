//! One module for each section of the file: its keys, their ranges and defaults, and what holds between them.
//!
//! A draft is a section as it was read, with the places that later checks need. A value that was wrong has been noted and
//! is left out or replaced by its default; nobody sees the draft then, since a report with a mistake yields no
//! configuration.

mod engine;
mod interface;
mod listener;
mod metrics;
mod pool;
mod shield;
mod shutdown;

pub(super) use interface::InterfaceDraft;
pub(super) use listener::ListenerDraft;
pub(super) use metrics::MetricsDraft;
pub(super) use pool::PoolDraft;
pub(super) use shield::ShieldDraft;

use super::report::Report;
use super::section::Section;
use super::settings::{EngineSettings, ShutdownConfig};
use std::ops::RangeInclusive;
use toml::Spanned;
use toml::de::DeTable;

/// What `max_connections` may be, of the engine and of a listener.
const CONNECTIONS: RangeInclusive<u32> = 1..=1 << 24;

/// The whole file as it was read.
pub(super) struct Draft {
    pub(super) engine: EngineSettings,
    pub(super) interfaces: Vec<InterfaceDraft>,
    pub(super) listeners: Vec<ListenerDraft>,
    pub(super) pools: Vec<PoolDraft>,
    pub(super) shield: ShieldDraft,
    pub(super) metrics: Option<MetricsDraft>,
    pub(super) shutdown: ShutdownConfig,
}

impl Draft {
    /// Reads every section, and notes what is wrong within one.
    pub(super) fn read<'a>(report: &'a Report<'a>, file: &'a Spanned<DeTable<'a>>) -> Self {
        let mut root = Section::root(report, file);
        let draft = Self {
            engine: engine::read(root.table("engine")),
            interfaces: root.tables("interface").into_iter().map(interface::read).collect(),
            listeners: root.tables("listener").into_iter().map(listener::read).collect(),
            pools: root.tables("pool").into_iter().map(pool::read).collect(),
            shield: shield::read(root.table("shield")),
            metrics: metrics::read(root.table("metrics")),
            shutdown: shutdown::read(root.table("shutdown")),
        };
        for (key, what) in [("interface", "serve on"), ("listener", "listen on"), ("pool", "send connections to")] {
            if root.has_no(key) {
                root.note(&root.place_of(&[key]), &format!("there is no [[{key}]]: nothing to {what}"));
            }
        }
        root.finish();
        draft
    }
}
