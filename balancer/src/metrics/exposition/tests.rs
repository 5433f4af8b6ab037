//! The text is what a scraper takes.

use super::Scrape;
use crate::control::report::{ListSizes, Rate, ShieldReport, ShieldedListener};
use crate::proxy::{BackendReport, ListenerReport, PoolReport, ProxyReport};
use std::collections::{BTreeMap, BTreeSet};
use synward_engine::Snapshot;

/// Families by name, with their type, and series with their value.
#[derive(Debug, Default)]
struct Parsed {
    types: BTreeMap<String, String>,
    series: BTreeMap<String, u64>,
}

/// Reads the text as strictly as OpenMetrics has it: help and type before the series of a family, each series once, and an end.
fn parse(text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    let (mut helped, mut family) = (BTreeSet::new(), String::new());
    let body = text.strip_suffix("# EOF\n").expect("an end");
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(!help.is_empty() && helped.insert(name.to_owned()), "{line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(helped.contains(name), "{line}");
            assert!(parsed.types.insert(name.to_owned(), kind.to_owned()).is_none(), "{line}");
            family = name.to_owned();
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            let wanted = if parsed.types[&family] == "counter" { format!("{family}_total") } else { family.clone() };
            assert_eq!(name, wanted, "{line}");
            assert!(parsed.series.insert(series.to_owned(), value.parse().unwrap()).is_none(), "{line}");
        }
    }
    parsed
}

fn scrape() -> Scrape {
    let rate = |total| Rate { total, per_second: 1 };
    let listener = ShieldedListener {
        listener: "web".to_owned(),
        local: "[2001:db8::1]:80".to_owned(),
        mode: "auto".to_owned(),
        up: true,
        seconds: 5,
        raised: 3,
        syns: rate(100),
        cookies_sent: rate(90),
        cookies_valid: rate(10),
        refused: rate(80),
        passed: rate(20),
    };
    let shield = ShieldReport {
        listeners: vec![listener],
        verdicts: [("answered_cookie".to_owned(), rate(90))].into(),
        lists: ListSizes { dropped: 7, allowed: 2, hopeless: 4, limit: 100 },
        known_flows: 12,
        known_flow_overflows: 1,
        ..ShieldReport::default()
    };
    let mut snapshot = Snapshot::default();
    snapshot.counters.insert("SyncookiesSent", 17);
    snapshot.gauges.connections = 5;
    let modes = [("xdp".to_owned(), "native".to_owned())].into();
    Scrape { snapshot, modes, shield, proxy: Some(proxy()) }
}

fn proxy() -> ProxyReport {
    let backend = BackendReport {
        name: "a\"b\\c".to_owned(),
        address: "10.0.0.11:8080".to_owned(),
        state: "up".to_owned(),
        total: 6,
        bytes_to: 1 << 40,
        ..BackendReport::default()
    };
    ProxyReport {
        listeners: vec![ListenerReport {
            name: "web".to_owned(),
            clients: 2,
            accepted: 8,
            ..ListenerReport::default()
        }],
        pools: vec![PoolReport { name: "p".to_owned(), backends: vec![backend] }],
        failed: 5,
        failed_unheard: 2,
        worker_panics: 1,
        ..ProxyReport::default()
    }
}

#[test]
fn everything_is_there_under_its_name() {
    let parsed = parse(&scrape().text().unwrap());
    for (series, value) in [
        (r#"synward_tcp_events_total{event="SyncookiesSent"}"#, 17),
        ("synward_connections", 5),
        ("synward_frames_received_total", 0),
        (r#"synward_mode{mode="xdp",value="native"}"#, 1),
        (r#"synward_xdp_frames_total{verdict="answered_cookie"}"#, 90),
        (r#"synward_shield_up{listener="web",address="[2001:db8::1]:80"}"#, 1),
        (r#"synward_shield_raised_total{listener="web",address="[2001:db8::1]:80"}"#, 3),
        (r#"synward_listener_syns_total{listener="web",address="[2001:db8::1]:80"}"#, 100),
        (r#"synward_listener_cookies_sent_total{listener="web",address="[2001:db8::1]:80"}"#, 90),
        (r#"synward_listener_cookies_valid_total{listener="web",address="[2001:db8::1]:80"}"#, 10),
        (r#"synward_listener_segments_refused_total{listener="web",address="[2001:db8::1]:80"}"#, 80),
        (r#"synward_listener_segments_passed_total{listener="web",address="[2001:db8::1]:80"}"#, 20),
        (r#"synward_prefixes{verdict="drop"}"#, 7),
        (r#"synward_prefixes{verdict="allow"}"#, 2),
        ("synward_prefixes_limit", 100),
        ("synward_hopeless_sources", 4),
        ("synward_known_flows", 12),
        ("synward_known_flow_overflows_total", 1),
        (r#"synward_listener_clients{listener="web"}"#, 2),
        (r#"synward_listener_accepted_total{listener="web"}"#, 8),
        (r#"synward_backend_up{pool="p",backend="a\"b\\c",address="10.0.0.11:8080"}"#, 1),
        (r#"synward_backend_sent_bytes_total{pool="p",backend="a\"b\\c",address="10.0.0.11:8080"}"#, 1 << 40),
        (r#"synward_clients_reset_total{reason="failed"}"#, 3),
        (r#"synward_clients_reset_total{reason="failed_unheard"}"#, 2),
        ("synward_worker_panics_total", 1),
    ] {
        assert_eq!(parsed.series.get(series), Some(&value), "{series}\n{parsed:#?}");
    }
}

#[test]
fn names_are_those_of_prometheus() {
    let parsed = parse(&scrape().text().unwrap());
    for name in parsed.types.keys() {
        let word = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(name.starts_with("synward_") && name.chars().all(word), "{name}");
    }
}

#[test]
fn a_server_without_a_proxy_has_no_backends() {
    let parsed = parse(&Scrape { proxy: None, ..scrape() }.text().unwrap());
    assert!(parsed.types.keys().all(|name| !name.contains("backend")));
    assert!(parsed.types.contains_key("synward_shield_up"));
}
