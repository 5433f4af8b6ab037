//! Every kind of mistake, as it is reported.

use super::{LEAST, mistakes};
use crate::config::{Config, Mistakes};

/// What is said when the first `old` of [`LEAST`] is replaced by `new`.
#[track_caller]
fn says(old: &str, new: &str, wanted: &[&str]) {
    assert!(LEAST.contains(old), "{old}");
    assert_eq!(mistakes(&LEAST.replacen(old, new, 1)), wanted);
}

/// What is said of a line in `[engine]`.
#[track_caller]
fn engine_says(line: &str, wanted: &[&str]) {
    assert_eq!(mistakes(&format!("[engine]\n{line}\n{LEAST}")), wanted);
}

#[test]
fn syntax() {
    says("'eth0'", "'eth0", &["front.toml:2:13: invalid literal string, expected `'`"]);
    says("name = 'eth0'", "name 'eth0'", &["front.toml:2:6: key with no value, expected `=`"]);
    says("name = 'eth0'", "name = 'eth0'\nname = 'eth1'", &["front.toml:3:1: duplicate key"]);
    let two = LEAST.replace("'eth0'", "eth0").replace("[[pool]]", "[[pool]");
    assert_eq!(mistakes(&two).len(), 2, "{:?}", mistakes(&two));
}

#[test]
fn unknown_keys_and_sections() {
    says(
        "[[interface]]",
        "[[interfaces]]",
        &[
            "front.toml:1:1: there is no [[interface]]: nothing to serve on",
            r#"front.toml:1:3: unknown key "interfaces"; did you mean "interface"? (keys: engine, interface, listener, pool, shield, metrics, shutdown)"#,
        ],
    );
    says(
        "name = 'eth0'",
        "name = 'eth0'\nqueue = 3",
        &[
            r#"front.toml:3:1: interface "eth0": unknown key "queue"; did you mean "queues"? (keys: name, queues, cores, frames, xdp, busy_poll, source_addresses, source_ports)"#,
        ],
    );
    says(
        "address = '10.0.1.1:8080'",
        "address = '10.0.1.1:8080'\nprice = 3",
        &[r#"front.toml:14:1: pool "web", backend 1: unknown key "price" (keys: address, name, weight)"#],
    );
}

#[test]
fn wrong_types() {
    says(
        "name = 'eth0'",
        "name = 1979-05-27",
        &[
            r#"front.toml:2:8: interface 1: name must be the name of an interface, 1 to 15 bytes without blanks, "/" and ":", not a date"#,
        ],
    );
    says(
        "name = 'eth0'",
        "name = 'eth0'\ncores = 1",
        &[r#"front.toml:3:9: interface "eth0": cores must be a list, each a number from 0 to 1023, not 1"#],
    );
    says(
        "name = 'eth0'",
        "name = 'eth0'\ncores = [0, true]",
        &[r#"front.toml:3:13: interface "eth0": each of cores must be a number from 0 to 1023, not true"#],
    );
    says(
        "[[pool.backend]]",
        "[pool.backend]",
        &[
            r#"front.toml:12:1: pool "web": backend must be a list of tables, each begun by [[pool.backend]], not a table"#,
        ],
    );
    assert_eq!(mistakes(&format!("engine = 3\n{LEAST}")), ["front.toml:1:10: engine must be one table, not 3"]);
    assert_eq!(
        mistakes("interface = [1]\nlistener = 2.5\n"),
        [
            "front.toml:1:1: there is no [[pool]]: nothing to send connections to",
            "front.toml:1:14: interface 1 must be a table, not 1",
            "front.toml:2:12: listener must be a list of tables, each begun by [[listener]], not 2.5",
        ]
    );
}

#[test]
fn values_out_of_range() {
    engine_says("workers = 2000", &["front.toml:2:11: engine: workers must be a number from 0 to 1024, not 2000"]);
    engine_says(
        "max_connections = 0",
        &["front.toml:2:19: engine: max_connections must be a number from 1 to 16777216, not 0"],
    );
    engine_says(
        "synack_retries = 99999999999999999999",
        &["front.toml:2:18: engine: synack_retries must be a number from 0 to 15, not 99999999999999999999"],
    );
    engine_says(
        "window_scale = 15",
        &[r#"front.toml:2:16: engine: window_scale must be a number from 0 to 14, or "off", not 15"#],
    );
    engine_says(
        "control = 'control.sock'",
        &[r#"front.toml:2:11: engine: control must be an absolute path of at most 107 bytes, not "control.sock""#],
    );
    engine_says(
        "time_wait = '1h'",
        &[
            r#"front.toml:2:13: engine: time_wait must be a duration from "100ms" to "10m" (units: ms, s, m, h, d), not "1h""#,
        ],
    );
    engine_says(
        "time_wait = 60",
        &[
            r#"front.toml:2:13: engine: time_wait must be a duration from "100ms" to "10m" (units: ms, s, m, h, d), not 60; give it a unit, such as "60s""#,
        ],
    );
    engine_says(
        "send_buffer = '256KB'",
        &[
            r#"front.toml:2:15: engine: send_buffer must be a size from "4KiB" to "1GiB", in bytes or with a unit (KiB, MiB, GiB, TiB), not "256KB"; the unit is written "KiB""#,
        ],
    );
    says(
        "name = 'eth0'",
        "name = 'enp175s0f0np0v123'",
        &[
            r#"front.toml:2:8: interface "enp175s0f0np0v123": name must be the name of an interface, 1 to 15 bytes without blanks, "/" and ":", not "enp175s0f0np0v123"; it has 17 bytes"#,
        ],
    );
    says(
        "8080'",
        "8080'\nweight = 1001",
        &[r#"front.toml:14:10: pool "web", backend 1: weight must be a number from 0 to 1000, not 1001"#],
    );
}

#[test]
fn unknown_words() {
    engine_says(
        "syncookies = 'atuo'",
        &[r#"front.toml:2:14: engine: syncookies must be "off", "auto" or "always", not "atuo"; did you mean "auto"?"#],
    );
    engine_says(
        "cookie_timestamps = true",
        &[r#"front.toml:2:21: engine: cookie_timestamps must be "optional" or "required", not true"#],
    );
    says(
        "name = 'eth0'",
        "name = 'eth0'\nqueues = 'al'",
        &[
            r#"front.toml:3:10: interface "eth0": queues must be a number from 1 to 4096, or "all", not "al"; did you mean "all"?"#,
        ],
    );
    says(
        "[[pool]]",
        "[[pool]]\nbalance = 'leastconn'",
        &[r#"front.toml:10:11: pool "web": balance must be "round-robin" or "maglev", not "leastconn""#],
    );
}

#[test]
fn missing_keys() {
    says(
        "name = 'eth0'",
        "",
        &[
            r#"front.toml:1:1: interface 1: name is missing; it must be the name of an interface, 1 to 15 bytes without blanks, "/" and ":""#,
        ],
    );
    says("pool = 'web'", "", &[r#"front.toml:4:1: listener "web": pool is missing; it must be the name of a pool"#]);
    says(
        "address = '10.0.0.1:80'\n",
        "",
        &[
            r#"front.toml:4:1: listener "web": address is missing; it must be an address and port such as "10.0.0.1:80", "[fd00::1]:80", "0.0.0.0:80" or "[::]:80""#,
        ],
    );
    says(
        "address = '10.0.1.1:8080'",
        "",
        &[
            r#"front.toml:12:1: pool "web", backend 1: address is missing; it must be an address and port such as "10.0.0.1:80" or "[fd00::1]:80""#,
        ],
    );
    assert_eq!(
        mistakes(""),
        [
            "front.toml:1:1: there is no [[interface]]: nothing to serve on",
            "front.toml:1:1: there is no [[listener]]: nothing to listen on",
            "front.toml:1:1: there is no [[pool]]: nothing to send connections to",
        ]
    );
    assert_eq!(
        mistakes("interface = []\nlistener = []\npool = []"),
        [
            "front.toml:1:13: there is no [[interface]]: nothing to serve on",
            "front.toml:2:12: there is no [[listener]]: nothing to listen on",
            "front.toml:3:8: there is no [[pool]]: nothing to send connections to",
        ]
    );
}

#[test]
fn addresses() {
    let listener = |address: &str, hint: &str| {
        let text = LEAST.replacen("10.0.0.1:80", address, 1);
        let wanted =
            r#"address must be an address and port such as "10.0.0.1:80", "[fd00::1]:80", "0.0.0.0:80" or "[::]:80""#;
        assert_eq!(mistakes(&text), [format!("front.toml:6:11: listener \"web\": {wanted}, not {address:?}{hint}")]);
    };
    listener("10.0.0.1", r#"; the port is missing, as in "10.0.0.1:80""#);
    listener("fd00::1", r#"; the port is missing, as in "[fd00::1]:80""#);
    listener("fd00:0:0:0:0:0:0:1:80", r#"; IPv6 addresses stand in brackets, as in "[fd00::1]:80""#);
    listener("www.example.com:80", "; names are not looked up; give the address");
    listener("10.0.0.1:99999", "");
    listener("10.0.0.1:0", "; port 0 is no port");
    listener("[fd00::1%3]:80", "; an address with a zone is not routed");
    listener("[fe80::1]:80", "; link-local addresses are not routed");
    listener("169.254.1.1:80", "; link-local addresses are not routed");
    listener("127.0.0.1:80", "; loopback addresses never cross a network interface");
    listener("224.0.0.1:80", "; it is a multicast address");
    listener("255.255.255.255:80", "; it is no host's address");
    listener("[::ffff:10.0.0.1]:80", "; write it as the IPv4 address that it is");
    says(
        "10.0.1.1:8080",
        "[::]:8080",
        &[
            r#"front.toml:13:11: pool "web", backend 1: address must be an address and port such as "10.0.0.1:80" or "[fd00::1]:80", not "[::]:8080"; it is no host's address"#,
        ],
    );
    says(
        "address = '10.0.0.1:80'",
        "address = '10.0.0.1:80'\naddresses = ['10.0.0.2:80']",
        &[r#"front.toml:7:13: listener "web": address and addresses are both given; put all of them in addresses"#],
    );
    says(
        "address = '10.0.0.1:80'",
        "addresses = []",
        &[r#"front.toml:6:13: listener "web": addresses must name at least one address"#],
    );
    says(
        "name = 'eth0'",
        "name = 'eth0'\nsource_addresses = ['10.0.0.1:5']",
        &[
            r#"front.toml:3:21: interface "eth0": each of source_addresses must be an address such as "10.0.0.1" or "fd00::1", not "10.0.0.1:5"; ports are set by source_ports"#,
        ],
    );
}

#[test]
fn ranges_of_ports() {
    let ports = |range: &str, hint: &str| {
        let wanted = r#"source_ports must be a range of ports within "1024-65535""#;
        says(
            "name = 'eth0'",
            &format!("name = 'eth0'\nsource_ports = '{range}'"),
            &[&format!("front.toml:3:16: interface \"eth0\": {wanted}, not {range:?}{hint}")],
        );
    };
    ports("5000-4000", "; it is empty, since 5000 is more than 4000");
    ports("80-2000", "; ports below 1024 are for services");
    ports("5000", "; a range is written \"first-last\"");
    ports("5000-70000", "");
    says(
        "10.0.0.1:80",
        "10.0.0.1:16384",
        &[r#"front.toml:6:11: listener "web": port 16384 lies within source_ports of interface "eth0", 16384-32767"#],
    );
}

#[test]
fn references() {
    let text = LEAST.replace("pool = 'web'", "pool = 'wbe'")
        + "[[pool]]\nname = 'api'\nbackend = [{ address = '10.0.1.1:80' }]\n";
    assert_eq!(
        mistakes(&text),
        [r#"front.toml:7:8: listener "web": pool "wbe" does not exist; did you mean "web"? (pools: web, api)"#]
    );
    says(
        "name = 'web'\n\n[[pool.backend]]",
        "[[pool.backend]]",
        &[
            r#"front.toml:7:8: listener "web": pool "web" does not exist (there are no pools)"#,
            r#"front.toml:9:1: pool 1: name is missing; it must be 1 to 64 letters, digits, "-", "_" and ".""#,
        ],
    );
}

#[test]
fn what_is_there_twice() {
    let again = |more: &str| mistakes(&format!("{LEAST}{more}"));
    assert_eq!(
        again("[[interface]]\nname = 'eth0'\n"),
        [r#"front.toml:15:8: interface "eth0": the name "eth0" is taken on line 2"#]
    );
    assert_eq!(
        again("[[listener]]\nname = 'web'\naddress = '10.0.0.1:81'\npool = 'web'\n"),
        [r#"front.toml:15:8: listener "web": the name "web" is taken on line 5"#]
    );
    assert_eq!(
        again("[[pool]]\nname = 'web'\nbackend = [{ address = '10.0.1.1:80' }]\n"),
        [r#"front.toml:15:8: pool "web": the name "web" is taken on line 10"#]
    );
    assert_eq!(
        again("name = 'a'\n[[pool.backend]]\nname = 'a'\naddress = '10.0.1.1:8080'\n"),
        [
            r#"front.toml:16:8: pool "web", backend "a": the name "a" is taken on line 14"#,
            r#"front.toml:17:11: pool "web", backend "a": 10.0.1.1:8080 is a backend of this pool already (line 13)"#,
        ]
    );
    let sources = LEAST.replace(
        "name = 'eth0'",
        "name = 'eth0'\nsource_addresses = ['10.0.0.1']\n[[interface]]\nname = 'eth1'\nsource_addresses = ['10.0.0.1']",
    );
    assert_eq!(
        mistakes(&sources),
        [r#"front.toml:6:21: interface "eth1": 10.0.0.1 is a source address of interface "eth0" already (line 3)"#]
    );
}

#[test]
fn listeners_in_each_others_way() {
    let second = |addresses: &str| {
        mistakes(&format!("{LEAST}[[listener]]\nname = 'b'\naddresses = {addresses}\npool = 'web'\n"))
    };
    assert_eq!(
        second("['10.0.0.1:80']"),
        [r#"front.toml:16:14: listener "b": 10.0.0.1:80 is an address of listener "web" already (line 6)"#]
    );
    assert_eq!(
        second("['0.0.0.0:80']"),
        [r#"front.toml:16:14: listener "b": 0.0.0.0:80 overlaps 10.0.0.1:80 of listener "web" already (line 6)"#]
    );
    assert_eq!(
        second("['[::]:80', '[fd00::1]:80']"),
        [r#"front.toml:16:25: listener "b": [fd00::1]:80 overlaps [::]:80 of listener "b" already (line 16)"#]
    );
    assert_eq!(second("['10.0.0.2:80', '10.0.0.1:81', '[::]:80']"), [""; 0]);
}

#[test]
fn backends_that_cannot_work() {
    says(
        "10.0.1.1:8080",
        "10.0.0.1:80",
        &[
            r#"front.toml:13:11: pool "web", backend 1: 10.0.0.1:80 is the address of listener "web": connections would come back"#,
        ],
    );
    let sources = LEAST.replace("'eth0'", "'eth0'\nsource_addresses = ['10.0.0.1']").replace("10.0.1.1", "[fd00::2]");
    assert_eq!(
        mistakes(&sources),
        [r#"front.toml:14:11: pool "web", backend 1: fd00::2 is IPv6, but no source address of any interface is"#]
    );
    says(
        "[[pool.backend]]\naddress = '10.0.1.1:8080'\n",
        "",
        &[r#"front.toml:9:1: pool "web": has no backend; add [[pool.backend]] with an address"#],
    );
    says(
        "[[pool.backend]]\naddress = '10.0.1.1:8080'\n",
        "backend = []",
        &[r#"front.toml:9:1: pool "web": has no backend; add [[pool.backend]] with an address"#],
    );
    let many: String = (2..=257).map(|n| format!("[[pool.backend]]\naddress = '10.0.1.1:{n}'\n")).collect();
    assert_eq!(
        mistakes(&format!("{LEAST}{many}")),
        [r#"front.toml:9:1: pool "web": has 257 backends; at most 256 are possible"#]
    );
}

#[test]
fn settings_that_do_not_go_together() {
    engine_says(
        "receive_buffer = '16MiB'",
        &["front.toml:2:18: engine: receive_buffer is 16MiB, but window_scale 7 can say at most 8388480 bytes"],
    );
    engine_says(
        "window_scale = 'off'",
        &["front.toml:2:16: engine: receive_buffer is 6MiB, but without window_scale a window is at most 65535 bytes"],
    );
    engine_says(
        "timestamps = false\ncookie_timestamps = 'required'",
        &[
            r#"front.toml:3:21: engine: cookie_timestamps = "required" with timestamps = false leaves no peer that could get a cookie"#,
        ],
    );
    says(
        "'eth0'",
        "'eth0'\nqueues = 2\ncores = [0]",
        &[r#"front.toml:4:9: interface "eth0": cores must be one core for each of the 2 queues, not 1"#],
    );
    says(
        "pool = 'web'",
        "pool = 'web'\nmax_connections = 40000",
        &[r#"front.toml:8:19: listener "web": max_connections is 40000, but the whole engine has 32768"#],
    );
    says(
        "[[pool]]",
        "[[pool]]\nmaglev_size = 251",
        &[r#"front.toml:10:15: pool "web": maglev_size has a meaning with balance = "maglev" only"#],
    );
    says(
        "[[pool]]",
        "[[pool]]\nbalance = 'maglev'\nmaglev_size = 65536",
        &[
            r#"front.toml:11:15: pool "web": maglev_size must be a prime from 2 to 5000011, not 65536; the next prime is 65537"#,
        ],
    );
    says(
        "[[pool]]",
        "[[pool]]\nbalance = 'maglev'\nmaglev_size = 97",
        &[r#"front.toml:11:15: pool "web": maglev_size must be at least 100, 100 for each of 1 backends"#],
    );
    says(
        "[[pool]]",
        "[[pool]]\nbackoff = { first = '1m' }",
        &[r#"front.toml:10:21: pool "web", backoff: longest is 30s, shorter than first, 1m"#],
    );
}

/// What is said of a line in `[shield]`.
#[track_caller]
fn shield_says(lines: &str, wanted: &[&str]) {
    assert_eq!(mistakes(&format!("[shield]\n{lines}\n{LEAST}")), wanted);
}

#[test]
fn the_shield() {
    shield_says("raise_at = 0", &["front.toml:2:12: shield: raise_at must be a number from 1 to 1000000000, not 0"]);
    shield_says(
        "stall_limit = 'of'",
        &[
            r#"front.toml:2:15: shield: stall_limit must be a duration from "100ms" to "10m" (units: ms, s, m, h, d), or "off", not "of"; did you mean "off"?"#,
        ],
    );
    shield_says(
        "stall_limit = '5sec'",
        &[
            r#"front.toml:2:15: shield: stall_limit must be a duration from "100ms" to "10m" (units: ms, s, m, h, d), or "off", not "5sec"; there is no unit "sec""#,
        ],
    );
    shield_says(
        "on_stall = 'accept'",
        &[r#"front.toml:2:12: shield: on_stall must be "drop" or "pass", not "accept""#],
    );
    shield_says(
        "reply_ceiling = true",
        &[r#"front.toml:2:17: shield: reply_ceiling must be a number from 1 to 1000000000, or "off", not true"#],
    );
    shield_says(
        "syn_rate_per_source = 200\nsyn_rate_per_prefix = 100",
        &[
            "front.toml:2:23: shield: syn_rate_per_source is 200, more than syn_rate_per_prefix, 100: it would never be reached",
        ],
    );
    shield_says(
        "reply_ceiling = 19_999",
        &[
            "front.toml:2:17: shield: reply_ceiling_per_prefix is 20000, more than reply_ceiling, 19999: it would never be reached",
        ],
    );
    shield_says(
        "stall_limit = 'off'\non_stall = 'pass'",
        &[r#"front.toml:3:12: shield: on_stall has a meaning only where stall_limit is not "off""#],
    );
    says(
        "pool = 'web'",
        "pool = 'web'\nshield = 'on'",
        &[r#"front.toml:8:10: listener "web": shield must be "off", "auto" or "always", not "on""#],
    );
    let text = LEAST.replace("pool = 'web'", "pool = 'web'\nshield = 'always'");
    assert_eq!(
        mistakes(&format!("[engine]\nsyncookies = 'off'\n{text}")),
        [
            r#"front.toml:10:10: listener "web": shield = "always" answers by cookies, but syncookies is "off" in [engine]; set that to "auto""#
        ]
    );
}

#[test]
fn metrics() {
    let metrics = |address: &str| mistakes(&format!("[metrics]\naddress = '{address}'\n{LEAST}"));
    let wanted = r#"address must be an address and port such as "127.0.0.1:9090" or "[::1]:9090""#;
    assert_eq!(
        mistakes(&format!("[metrics]\n{LEAST}")),
        [format!("front.toml:1:1: metrics: address is missing; it{}", &wanted[7..])]
    );
    assert_eq!(
        metrics("127.0.0.1"),
        [format!(r#"front.toml:2:11: metrics: {wanted}, not "127.0.0.1"; the port is missing, as in "127.0.0.1:80""#)]
    );
    assert_eq!(
        metrics("localhost:9090"),
        [format!(
            r#"front.toml:2:11: metrics: {wanted}, not "localhost:9090"; names are not looked up; give the address"#
        )]
    );
    assert_eq!(
        metrics("[ff02::1]:9090"),
        [format!(r#"front.toml:2:11: metrics: {wanted}, not "[ff02::1]:9090"; it is a multicast address"#)]
    );
    let taken = |at: &str| {
        [format!(r#"front.toml:2:11: metrics: {at} of listener "web" is taken from the kernel; choose another port"#)]
    };
    assert_eq!(metrics("10.0.0.1:80"), taken("10.0.0.1:80"));
    assert_eq!(metrics("0.0.0.0:80"), taken("10.0.0.1:80"));
    assert_eq!(
        metrics("0.0.0.0:16384"),
        [r#"front.toml:2:11: metrics: port 16384 lies within source_ports of interface "eth0", 16384-32767"#]
    );
    for right in ["127.0.0.1:16384", "127.0.0.1:80", "10.0.0.2:80", "[::]:80", "0.0.0.0:9090"] {
        assert_eq!(metrics(right), [""; 0], "{right}");
    }
}

/// What follows from a mistake that was named already is not named again.
#[test]
fn no_mistake_twice() {
    says(
        "[[pool]]",
        "[[pool]]\nbalance = 'magelv'\nmaglev_size = 251",
        &[
            r#"front.toml:10:11: pool "web": balance must be "round-robin" or "maglev", not "magelv"; did you mean "maglev"?"#,
        ],
    );
    let ports = LEAST.replace("'eth0'", "'eth0'\nsource_ports = '1-2'").replace("10.0.0.1:80", "10.0.0.1:20000");
    assert_eq!(mistakes(&ports).len(), 1, "{:?}", mistakes(&ports));
}

#[test]
fn all_mistakes_of_a_file_in_its_order() {
    let text = LEAST
        .replace("'eth0'", "'eth0'\nxdp = 'fast'")
        .replace("10.0.0.1:80", "10.0.0.1")
        .replace("'10.0.1.1:8080'", "'10.0.1.1:8080'\nweight = -1")
        .replace("pool = 'web'", "pool = 'api'\nbacklog = '5'");
    let places: Vec<String> =
        mistakes(&text).iter().map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect();
    assert_eq!(
        places,
        ["front.toml:3:7:", "front.toml:7:11:", "front.toml:8:8:", "front.toml:9:11:", "front.toml:16:10:"]
    );
}

#[test]
fn files_that_cannot_be_read() {
    let folder = std::env::temp_dir();
    let error = Config::load(&folder).unwrap_err();
    assert!(matches!(error, Mistakes::Unreadable { .. }), "{error}");
    assert!(error.to_string().starts_with(&folder.display().to_string()), "{error}");
    let zero = Config::load("/dev/zero".as_ref()).unwrap_err();
    assert_eq!(zero.to_string(), "/dev/zero: is larger than 1048576 bytes");
    let latin = Config::from_bytes("front.toml", b"# a\n# gr\xfc\xdf\n", None).unwrap_err();
    assert_eq!(latin.to_string(), "front.toml:2:5: not UTF-8, which TOML files are");
}
