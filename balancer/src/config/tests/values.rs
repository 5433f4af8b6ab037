//! What a file says is what the structs say.

use super::{LEAST, parse};
use crate::balance::TableSize;
use crate::config::{
    BackendConfig, Backoff, Balance, Config, EngineSettings, InterfaceConfig, ListenerConfig, PoolConfig, Queues,
    ShieldMode, ShieldSettings, ShutdownConfig,
};
use std::net::SocketAddr;
use std::time::Duration;
use synward_ebpf::{ListVerdict, OnStall, XdpMode};
use synward_nic::ModeDemand;
use synward_proto::Endpoint;
use synward_proto::flood_guard::{CookieTimestamps, Syncookies};

/// A file in which no value is the default.
const EVERYTHING: &str = r#"
[engine]
workers = 2
max_connections = 1_000_000
syncookies = "always"
abort_on_overflow = true
somaxconn = 0x800
max_syn_backlog = 2048
half_opens_per_prefix = 100
synack_retries = 3
receive_buffer = "1MiB"
send_buffer = 65536
buffer_memory = "64GiB"
window_scale = 9
sack = false
timestamps = false
cookie_timestamps = "optional"
time_wait = "1500ms"
control = "/tmp/control.sock"

[[interface]]
name = "eth0"
queues = 2
cores = [0, 3]
frames = "zero-copy"
xdp = "native"
busy_poll = true
source_addresses = ["10.0.1.1", "fd00::1"]
source_ports = "20000-20099"

[[interface]]
name = "eth1"
queues = "all"
frames = "copy"
xdp = "generic"
source_addresses = ["10.0.2.1"]

[[listener]]
name = "web"
addresses = ["0.0.0.0:80", "[::]:80"]
pool = "cache"
backlog = 10
idle_timeout = "2m"
max_connections = 500
shield = "always"

[[pool]]
name = "api"
[[pool.backend]]
address = "10.0.1.9:80"

[[pool]]
name = "cache"
balance = "maglev"
maglev_size = 251
connect_timeout = "250ms"
backoff = { first = "2s", longest = "1h" }
[[pool.backend]]
address = "10.0.1.10:8080"
name = "old"
weight = 0
[[pool.backend]]
address = "[fd00::10]:8080"
weight = 7

[shield]
raise_at = 10_000
calm = "5s"
stall_limit = "250ms"
on_stall = "pass"
syn_rate_per_source = 100
syn_rate_per_prefix = 1000
reply_ceiling_per_prefix = 500
reply_ceiling = 100_000
drop_hopeless = 2000
drop_hopeless_for = "10m"
drop = ["192.0.2.0/24", "2001:db8:bad::/48", "198.51.100.7"]
allow = ["192.0.2.9"]

[metrics]
address = "[::1]:9090"
"#;

fn endpoint(text: &str) -> Endpoint {
    text.parse::<SocketAddr>().unwrap().into()
}

#[test]
fn every_key_is_read() {
    let config = parse(EVERYTHING);
    let engine = EngineSettings {
        workers: 2,
        max_connections: 1_000_000,
        syncookies: Syncookies::Always,
        abort_on_overflow: true,
        somaxconn: 2048,
        max_syn_backlog: 2048,
        half_opens_per_prefix: Some(100),
        synack_retries: 3,
        receive_buffer: 1 << 20,
        send_buffer: 65_536,
        buffer_memory: 64 << 30,
        window_scale: Some(9),
        sack: false,
        timestamps: false,
        cookie_timestamps: CookieTimestamps::Optional,
        time_wait: Duration::from_millis(1500),
        control: "/tmp/control.sock".into(),
    };
    assert_eq!(config.engine, engine);
    let eth0 = InterfaceConfig {
        name: "eth0".into(),
        queues: Queues::Exactly(2),
        cores: vec![0, 3],
        frames: ModeDemand::ZeroCopy,
        xdp: XdpMode::Native,
        busy_poll: true,
        source_addresses: vec!["10.0.1.1".parse().unwrap(), "fd00::1".parse().unwrap()],
        source_ports: 20_000..=20_099,
    };
    assert_eq!(config.interfaces[0], eth0);
    assert_eq!((config.interfaces[1].frames, config.interfaces[1].xdp), (ModeDemand::Copy, XdpMode::Generic));
    let web = ListenerConfig {
        name: "web".into(),
        addresses: vec![endpoint("0.0.0.0:80"), endpoint("[::]:80")],
        pool: 1,
        backlog: 10,
        idle_timeout: Duration::from_secs(120),
        max_connections: Some(500),
        shield: ShieldMode::Always,
    };
    assert_eq!(config.listeners, [web]);
    let backend = |name: &str, address, weight| BackendConfig { name: name.into(), address: endpoint(address), weight };
    let cache = PoolConfig {
        name: "cache".into(),
        balance: Balance::Maglev { table_size: TableSize::new(251).unwrap() },
        connect_timeout: Duration::from_millis(250),
        backoff: Backoff { first: Duration::from_secs(2), longest: Duration::from_secs(3600) },
        backends: vec![backend("old", "10.0.1.10:8080", 0), backend("[fd00::10]:8080", "[fd00::10]:8080", 7)],
    };
    assert_eq!(config.pools[1], cache);
    let shield = ShieldSettings {
        raise_at: 10_000,
        calm: Duration::from_secs(5),
        stall_limit: Some(Duration::from_millis(250)),
        on_stall: OnStall::Pass,
        syn_rate_per_source: Some(100),
        syn_rate_per_prefix: Some(1000),
        reply_ceiling_per_prefix: Some(500),
        reply_ceiling: Some(100_000),
        drop_hopeless: Some(2000),
        drop_hopeless_for: Duration::from_secs(600),
        prefixes: [
            ("192.0.2.0/24", ListVerdict::Drop),
            ("2001:db8:bad::/48", ListVerdict::Drop),
            ("198.51.100.7/32", ListVerdict::Drop),
            ("192.0.2.9/32", ListVerdict::Allow),
        ]
        .map(|(prefix, verdict)| (prefix.parse().unwrap(), verdict))
        .into(),
    };
    assert_eq!(config.shield, shield);
    assert_eq!(config.metrics, "[::1]:9090".parse().ok());
}

#[test]
fn what_is_not_said_is_the_default() {
    let Config { engine, interfaces, listeners, pools, shield, metrics, shutdown } = parse(LEAST);
    assert_eq!(engine, EngineSettings::default());
    assert_eq!((engine.workers, engine.max_connections), (0, 32_768));
    let InterfaceConfig { queues, cores, frames, xdp, busy_poll, source_addresses, source_ports, .. } = &interfaces[0];
    assert_eq!((*queues, *frames, *xdp, *busy_poll), (Queues::All, ModeDemand::Any, XdpMode::Any, false));
    assert!(cores.is_empty() && source_addresses.is_empty());
    assert_eq!(*source_ports, 16_384..=32_767);
    let ListenerConfig { pool, backlog, idle_timeout, max_connections, shield: mode, .. } = &listeners[0];
    assert_eq!((*pool, *backlog, *idle_timeout, *max_connections), (0, 1024, Duration::from_secs(300), None));
    assert_eq!((*mode, shield, metrics), (ShieldMode::Auto, ShieldSettings::default(), None));
    let PoolConfig { balance, connect_timeout, backoff, backends, .. } = &pools[0];
    assert_eq!((*balance, *connect_timeout), (Balance::RoundRobin, Duration::from_secs(1)));
    assert_eq!(*backoff, Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(30) });
    assert_eq!((backends[0].name.as_str(), backends[0].weight), ("10.0.1.1:8080", 1));
    assert_eq!(shutdown, ShutdownConfig { drain: Duration::from_secs(30) });
    let maglev = parse(&LEAST.replace("[[pool]]", "[[pool]]\nbalance = 'maglev'"));
    assert_eq!(maglev.pools[0].balance, Balance::Maglev { table_size: TableSize::new(65_537).unwrap() });
}

#[test]
fn words_and_the_drain_are_read() {
    let engine = |text: &str| parse(&format!("[engine]\n{text}\n{LEAST}")).engine;
    assert_eq!(engine("syncookies = 'off'").syncookies, Syncookies::Never);
    assert_eq!(engine("syncookies = 'auto'").syncookies, Syncookies::Auto);
    assert_eq!(engine("cookie_timestamps = 'required'").cookie_timestamps, CookieTimestamps::Required);
    assert_eq!(engine("half_opens_per_prefix = 'off'").half_opens_per_prefix, None);
    assert_eq!(engine("window_scale = 'off'\nreceive_buffer = 65535").window_scale, None);
    let without_cookies = parse(&format!("[engine]\nsyncookies = 'off'\n{LEAST}"));
    assert_eq!(without_cookies.listeners[0].shield, ShieldMode::Off);
    let off = "stall_limit = 'off'\nreply_ceiling_per_prefix = 'off'\ndrop_hopeless = 'off'";
    let ShieldSettings { stall_limit, reply_ceiling_per_prefix, drop_hopeless, .. } =
        parse(&format!("[shield]\n{off}\n{LEAST}")).shield;
    assert_eq!((stall_limit, reply_ceiling_per_prefix, drop_hopeless), (None, None, None));
    assert_eq!(parse(&format!("shutdown = {{ drain = '0s' }}\n{LEAST}")).shutdown.drain, Duration::ZERO);
}

/// One listener's address may stand in a pool of another port, and families may be mixed between clients and backends.
#[test]
fn what_only_looks_like_a_clash_is_none() {
    for text in [
        LEAST.replace("10.0.1.1:8080", "10.0.0.1:8080"),
        LEAST.replace("10.0.1.1:8080", "[fd00::2]:8080"),
        LEAST.replace("address = '10.0.0.1:80'", "addresses = ['0.0.0.0:80', '[::]:80', '10.0.0.1:443']"),
        LEAST
            .replace("name = 'eth0'", "name = 'eth0'\nsource_ports = '1024-65535'")
            .replace(":80'", ":81'")
            .replace("10.0.0.1:81", "10.0.0.1:1023"),
        LEAST
            .replace("name = 'eth0'", "name = 'eth0'\nsource_addresses = ['10.0.0.1']\n[[interface]]\nname = 'eth1'")
            .replace("10.0.1.1", "[fd00::2]"),
    ] {
        parse(&text);
    }
}
