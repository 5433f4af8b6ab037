//! `[shield]`

use crate::config::forms::{Form, integer, integer_or, word};
use crate::config::prefixes::{prefix, prefix_file};
use crate::config::quantities::{duration, duration_or};
use crate::config::report::Span;
use crate::config::section::Section;
use crate::config::settings::ShieldSettings;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;
use synward_ebpf::{ListVerdict, OnStall, Prefix};
use toml::Spanned;

/// Segments a second: more than any interface of today brings.
const RATE: RangeInclusive<u32> = 1..=1_000_000_000;
const CALM: RangeInclusive<Duration> = Duration::from_millis(500)..=Duration::from_mins(10);
/// From what a busy scheduler may keep a poll loop waiting.
const STALL_LIMIT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_mins(10);
const DROP_FOR: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);

const ON_STALL: [(&str, OnStall); 2] = [("drop", OnStall::Drop), ("pass", OnStall::Pass)];

impl Default for ShieldSettings {
    fn default() -> Self {
        Self {
            raise_at: 50_000,
            calm: Duration::from_secs(2),
            stall_limit: Some(Duration::from_secs(1)),
            on_stall: OnStall::Drop,
            syn_rate_per_source: None,
            syn_rate_per_prefix: None,
            reply_ceiling_per_prefix: Some(20_000),
            reply_ceiling: None,
            drop_hopeless: Some(10_000),
            drop_hopeless_for: Duration::from_mins(1),
            prefixes: BTreeMap::new(),
        }
    }
}

/// The section as it was read; the settings lack the prefixes.
#[derive(Default)]
pub(in crate::config) struct ShieldDraft {
    pub(in crate::config) label: String,
    pub(in crate::config) span: Span,
    pub(in crate::config) drop: Vec<Spanned<Prefix>>,
    pub(in crate::config) drop_file: Option<Spanned<PathBuf>>,
    pub(in crate::config) allow: Vec<Spanned<Prefix>>,
    pub(in crate::config) allow_file: Option<Spanned<PathBuf>>,
    settings: ShieldSettings,
}

pub(super) fn read(section: Option<Section<'_>>) -> ShieldDraft {
    let Some(mut section) = section else { return ShieldDraft::default() };
    let draft = ShieldDraft {
        label: section.label().to_owned(),
        span: section.span().clone(),
        settings: settings(&mut section),
        drop: section.list("drop", &prefix()),
        drop_file: section.optional("drop_file", &prefix_file()),
        allow: section.list("allow", &prefix()),
        allow_file: section.optional("allow_file", &prefix_file()),
    };
    section.finish();
    draft
}

impl ShieldDraft {
    pub(in crate::config) fn settle(self, prefixes: BTreeMap<Prefix, ListVerdict>) -> ShieldSettings {
        ShieldSettings { prefixes, ..self.settings }
    }
}

fn settings(section: &mut Section<'_>) -> ShieldSettings {
    let default = ShieldSettings::default();
    let settings = ShieldSettings {
        raise_at: section.or("raise_at", &integer(RATE), default.raise_at),
        calm: section.or("calm", &duration(CALM), default.calm),
        stall_limit: section.or("stall_limit", &stall_limit(), default.stall_limit),
        on_stall: section.or("on_stall", &word(&ON_STALL), default.on_stall),
        syn_rate_per_source: section.or("syn_rate_per_source", &rate(), default.syn_rate_per_source),
        syn_rate_per_prefix: section.or("syn_rate_per_prefix", &rate(), default.syn_rate_per_prefix),
        reply_ceiling_per_prefix: section.or("reply_ceiling_per_prefix", &rate(), default.reply_ceiling_per_prefix),
        reply_ceiling: section.or("reply_ceiling", &rate(), default.reply_ceiling),
        drop_hopeless: section.or("drop_hopeless", &rate(), default.drop_hopeless),
        drop_hopeless_for: section.or("drop_hopeless_for", &duration(DROP_FOR), default.drop_hopeless_for),
        prefixes: BTreeMap::new(),
    };
    the_wider_is_the_looser(section, &settings);
    stalls_are_noticed(section, &settings);
    settings
}

fn rate() -> Form<Option<u32>> {
    integer_or(RATE, Some, ("off", || None))
}

fn stall_limit() -> Form<Option<Duration>> {
    duration_or(STALL_LIMIT, Some, ("off", || None))
}

/// A limit of one thing that is above the limit of all of them together would never be reached.
fn the_wider_is_the_looser(section: &Section<'_>, settings: &ShieldSettings) {
    let pairs = [
        (("syn_rate_per_source", settings.syn_rate_per_source), ("syn_rate_per_prefix", settings.syn_rate_per_prefix)),
        (("reply_ceiling_per_prefix", settings.reply_ceiling_per_prefix), ("reply_ceiling", settings.reply_ceiling)),
    ];
    for ((narrow, of_one), (wide, of_all)) in pairs {
        if let (Some(of_one), Some(of_all)) = (of_one, of_all)
            && of_one > of_all
        {
            let text = format!("{narrow} is {of_one}, more than {wide}, {of_all}: it would never be reached");
            section.note(&section.place_of(&[narrow, wide]), &text);
        }
    }
}

fn stalls_are_noticed(section: &Section<'_>, settings: &ShieldSettings) {
    if settings.stall_limit.is_none() && section.has("on_stall") {
        let text = "on_stall has a meaning only where stall_limit is not \"off\"";
        section.note(&section.place_of(&["on_stall"]), text);
    }
}
