//! `[engine]`

use super::CONNECTIONS;
use crate::config::forms::{Form, Hint, integer, integer_or, switch, word};
use crate::config::quantities::{duration, show_size, size};
use crate::config::section::Section;
use crate::config::settings::EngineSettings;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;
use synward_engine::EngineConfig;
use synward_proto::flood_guard::{CookieTimestamps, Syncookies};

/// More threads than any machine of today has cores.
const WORKERS: RangeInclusive<u16> = 0..=1024;
const SOMAXCONN: RangeInclusive<u32> = 1..=1 << 16;
const MAX_SYN_BACKLOG: RangeInclusive<u32> = 1..=1 << 24;
/// As many as the SYN table counts.
const HALF_OPENS_PER_PREFIX: RangeInclusive<u16> = 1..=u16::MAX;
/// Each keeps a half-open connection for longer; Linux's default is 5.
const SYNACK_RETRIES: RangeInclusive<u8> = 0..=15;
/// From the least of Linux's `tcp_rmem` and `tcp_wmem`, a page, to the power of two above what the largest window can say.
const BUFFER: RangeInclusive<u32> = 4096..=1 << 30;
/// From the largest `receive_buffer` and `send_buffer` of a connection by default, up to more than any machine of today has.
const BUFFER_MEMORY: RangeInclusive<u64> = 16 << 20..=1 << 40;
const WINDOW_SCALE: RangeInclusive<u8> = 0..=14;
const TIME_WAIT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_mins(10);
/// Bytes of a socket's path in `struct sockaddr_un`, without the NUL.
const LONGEST_SOCKET: usize = 107;

const SYNCOOKIES: [(&str, Syncookies); 3] =
    [("off", Syncookies::Never), ("auto", Syncookies::Auto), ("always", Syncookies::Always)];
const COOKIE_TIMESTAMPS: [(&str, CookieTimestamps); 2] =
    [("optional", CookieTimestamps::Optional), ("required", CookieTimestamps::Required)];

impl Default for EngineSettings {
    /// The engine's own defaults, the control socket where the tools look for it, no workers.
    fn default() -> Self {
        let engine = EngineConfig::default();
        Self {
            workers: 0,
            max_connections: engine.max_connections,
            syncookies: Syncookies::default(),
            abort_on_overflow: engine.abort_on_overflow,
            somaxconn: engine.somaxconn,
            max_syn_backlog: engine.max_syn_backlog,
            half_opens_per_prefix: engine.half_opens_per_prefix,
            synack_retries: engine.synack_retries,
            receive_buffer: engine.receive_buffer_max,
            send_buffer: engine.send_buffer_max,
            buffer_memory: engine.buffer_memory,
            window_scale: engine.window_scale,
            sack: engine.sack,
            timestamps: engine.timestamps,
            cookie_timestamps: engine.cookie_timestamps,
            time_wait: engine.time_wait,
            control: crate::cli::CONTROL.into(),
        }
    }
}

pub(super) fn read(section: Option<Section<'_>>) -> EngineSettings {
    let default = EngineSettings::default();
    let Some(mut section) = section else { return default };
    let settings = EngineSettings {
        workers: section.or("workers", &integer(WORKERS), default.workers),
        max_connections: section.or("max_connections", &integer(CONNECTIONS), default.max_connections),
        syncookies: section.or("syncookies", &word(&SYNCOOKIES), default.syncookies),
        abort_on_overflow: section.or("abort_on_overflow", &switch(), default.abort_on_overflow),
        somaxconn: section.or("somaxconn", &integer(SOMAXCONN), default.somaxconn),
        max_syn_backlog: section.or("max_syn_backlog", &integer(MAX_SYN_BACKLOG), default.max_syn_backlog),
        half_opens_per_prefix: section.or(
            "half_opens_per_prefix",
            &integer_or(HALF_OPENS_PER_PREFIX, Some, ("off", || None)),
            default.half_opens_per_prefix,
        ),
        synack_retries: section.or("synack_retries", &integer(SYNACK_RETRIES), default.synack_retries),
        receive_buffer: section.or("receive_buffer", &size(BUFFER), default.receive_buffer),
        send_buffer: section.or("send_buffer", &size(BUFFER), default.send_buffer),
        buffer_memory: section.or("buffer_memory", &size(BUFFER_MEMORY), default.buffer_memory),
        window_scale: section.or("window_scale", &window_scale(), default.window_scale),
        sack: section.or("sack", &switch(), default.sack),
        timestamps: section.or("timestamps", &switch(), default.timestamps),
        cookie_timestamps: section.or("cookie_timestamps", &word(&COOKIE_TIMESTAMPS), default.cookie_timestamps),
        time_wait: section.or("time_wait", &duration(TIME_WAIT), default.time_wait),
        control: section.or("control", &socket_path(), default.control),
    };
    buffer_fits_window(&section, &settings);
    cookies_have_timestamps(&section, &settings);
    section.finish();
    settings
}

fn window_scale() -> Form<Option<u8>> {
    integer_or(WINDOW_SCALE, Some, ("off", || None))
}

fn socket_path() -> Form<PathBuf> {
    Form::of_text(format!("an absolute path of at most {LONGEST_SOCKET} bytes"), |text| {
        let fits = text.len() <= LONGEST_SOCKET && text.starts_with('/') && !text.contains('\0');
        fits.then(|| text.into()).ok_or_else(Hint::new)
    })
}

/// The window field is 16 bits wide and shifted by the scale (RFC 7323, section 2.2).
fn buffer_fits_window(section: &Section<'_>, settings: &EngineSettings) {
    let scale = settings.window_scale.unwrap_or(0);
    let most = u32::from(u16::MAX) << scale;
    if settings.receive_buffer > most {
        let cause = match settings.window_scale {
            Some(_) => format!("window_scale {scale} can say at most {most} bytes"),
            None => format!("without window_scale a window is at most {most} bytes"),
        };
        let place = section.place_of(&["receive_buffer", "window_scale"]);
        section.note(&place, &format!("receive_buffer is {}, but {cause}", show_size(settings.receive_buffer)));
    }
}

fn cookies_have_timestamps(section: &Section<'_>, settings: &EngineSettings) {
    let required = settings.cookie_timestamps == CookieTimestamps::Required;
    if required && !settings.timestamps && settings.syncookies != Syncookies::Never {
        let text = "cookie_timestamps = \"required\" with timestamps = false leaves no peer that could get a cookie";
        section.note(&section.place_of(&["cookie_timestamps"]), text);
    }
}
