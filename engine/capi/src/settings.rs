//! Settings of an engine by their names in `sysctl net.ipv4` and `net.core`.

use std::str::FromStr;
use std::time::Duration;
use synward_engine::EngineConfig;
use synward_proto::connection::{CongestionAlgorithm, Ecn, Keepalive};

/// What follows when keepalive is turned on with nothing said about its times, as in Linux.
pub(crate) const KEEPALIVE: Keepalive =
    Keepalive { idle: Duration::from_secs(7200), interval: Duration::from_secs(75), probes: 9 };

/// Applies settings written as `name=value`, with spaces between them.
///
/// # Errors
/// A sentence about what cannot be used, and why.
pub(crate) fn apply(text: &str, to: &mut EngineConfig) -> Result<(), String> {
    for word in text.split_whitespace() {
        let (name, value) = word.split_once('=').ok_or_else(|| format!("{word}: should be name=value"))?;
        set(name, value, to).map_err(|problem| format!("{word}: {problem}"))?;
    }
    Ok(())
}

fn set(name: &str, value: &str, to: &mut EngineConfig) -> Result<(), String> {
    match name {
        "mtu" => to.mtu = number(value)?,
        "ip_default_ttl" => to.hop_limit = number(value)?,
        "max_connections" => to.max_connections = number(value)?,
        "somaxconn" => to.somaxconn = number(value)?,
        "ip_local_port_range" => to.source_ports = range(value)?,
        "tcp_abort_on_overflow" => to.abort_on_overflow = switch(value)?,
        "tcp_congestion_control" => to.congestion = CongestionAlgorithm::named(value).ok_or("must be cubic or reno")?,
        "tcp_ecn" => to.ecn = ecn(value)?,
        "tcp_fin_timeout" => to.fin_wait_2 = seconds(value)?,
        "tcp_max_orphans" => to.orphan_limit = number(value)?,
        "tcp_max_syn_backlog" => to.max_syn_backlog = number(value)?,
        "tcp_max_tw_buckets" => to.max_time_waits = number(value)?,
        "tcp_retries2" => to.retries = number(value)?,
        "tcp_rmem" => (to.receive_buffer, to.receive_buffer_max) = sizes(value)?,
        "tcp_sack" => to.sack = switch(value)?,
        "tcp_synack_retries" => to.synack_retries = number(value)?,
        "tcp_syncookies" => to.syncookies = number(value)?,
        "tcp_timestamps" => to.timestamps = switch(value)?,
        "tcp_window_scaling" => to.window_scale = if switch(value)? { to.window_scale.or(Some(7)) } else { None },
        "tcp_wmem" => (to.send_buffer, to.send_buffer_max) = sizes(value)?,
        _ => return Err("there is no such setting".to_owned()),
    }
    Ok(())
}

fn number<T: FromStr>(value: &str) -> Result<T, String> {
    value.parse().map_err(|_| "not a number, or out of range".to_owned())
}

fn switch(value: &str) -> Result<bool, String> {
    match value {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => Err("must be 0 or 1".to_owned()),
    }
}

fn ecn(value: &str) -> Result<Ecn, String> {
    match value {
        "0" => Ok(Ecn::Off),
        "1" => Ok(Ecn::Always),
        "2" => Ok(Ecn::WhenAsked),
        _ => Err("must be 0, 1 or 2".to_owned()),
    }
}

fn seconds(value: &str) -> Result<Duration, String> {
    number(value).map(|seconds: u32| Duration::from_secs(seconds.into()))
}

/// What a buffer begins with and what it may grow to; with one number, it does not grow.
fn sizes(value: &str) -> Result<(u32, u32), String> {
    match value.split_once(',') {
        Some((first, most)) => Ok((number(first)?, number(most)?)),
        None => number(value).map(|size| (size, size)),
    }
}

fn range(value: &str) -> Result<std::ops::RangeInclusive<u16>, String> {
    let (first, last) = value.split_once('-').ok_or("should be first-last")?;
    Ok(number(first)?..=number(last)?)
}

#[cfg(test)]
mod tests {
    use super::apply;
    use synward_engine::EngineConfig;

    #[test]
    fn settings_reach_the_engine() {
        let mut config = EngineConfig::default();
        apply(" tcp_sack=0 mtu=9000  tcp_window_scaling=0 ip_local_port_range=1024-2047", &mut config).expect("fine");
        assert_eq!((config.sack, config.mtu, config.window_scale), (false, 9000, None));
        assert_eq!(config.source_ports, 1024..=2047);
        apply("tcp_rmem=4096,65536 tcp_wmem=8192 tcp_ecn=0", &mut config).expect("fine");
        assert_eq!((config.receive_buffer, config.receive_buffer_max), (4096, 65_536));
        assert_eq!((config.send_buffer, config.send_buffer_max), (8192, 8192));
        assert_eq!(config.ecn, synward_proto::connection::Ecn::Off);
    }

    /// The manual names every setting, with its default.
    #[test]
    fn the_manual_tells_the_defaults() {
        let (manual, source) = (include_str!("../../../docs/c.md"), include_str!("settings.rs"));
        let table = manual.split("| setting | default |").nth(1).expect("the table is there");
        let rows: Vec<_> = table.lines().filter(|line| line.starts_with("| `")).collect();
        let defaults = EngineConfig::default();
        for row in &rows {
            let cells: Vec<_> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
            let mut config = defaults.clone();
            apply(&format!("{}={}", cells[1], cells[2]), &mut config).expect(row);
            assert_eq!(format!("{config:?}"), format!("{defaults:?}"), "{row}");
        }
        let settings = source.lines().filter(|line| line.starts_with("        \"") && line.contains("\" => "));
        assert_eq!(rows.len(), settings.filter(|line| line.contains("to.")).count());
    }

    #[test]
    fn mistakes_are_named() {
        for (text, complaint) in [
            ("tcp_sack", "tcp_sack: should be name=value"),
            ("tcp_sack=yes", "tcp_sack=yes: must be 0 or 1"),
            ("mtu=70000", "mtu=70000: not a number, or out of range"),
            ("tcp_congestion_control=bbr", "tcp_congestion_control=bbr: must be cubic or reno"),
            ("tcp_magic=1", "tcp_magic=1: there is no such setting"),
            ("ip_local_port_range=9", "ip_local_port_range=9: should be first-last"),
        ] {
            assert_eq!(apply(text, &mut EngineConfig::default()), Err(complaint.to_owned()));
        }
    }
}
