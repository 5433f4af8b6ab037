//! A right file on the wrong machine.

use crate::config::{Config, Host, ThisHost};
use std::net::IpAddr;

/// `eth0` with four queues, four cores, and the addresses 10.0.0.1 and fd00::1.
struct Example;

impl Host for Example {
    fn queues(&self, interface: &str) -> Result<Option<usize>, String> {
        match interface {
            "eth0" => Ok(Some(4)),
            "uncountable0" => Ok(None),
            _ => Err("there is no such interface".to_owned()),
        }
    }

    fn has_core(&self, core: usize) -> bool {
        core < 4
    }

    fn has_address(&self, address: IpAddr) -> bool {
        ["10.0.0.1", "fd00::1"].iter().any(|ours| ours.parse() == Ok(address))
    }
}

/// What is said of a file whose interface, listener and backend are these.
fn said(interface: &str, listener: &str, backend: &str) -> Vec<String> {
    let text = format!(
        "[[interface]]\n{interface}\n[[listener]]\nname = 'web'\naddress = '{listener}'\npool = 'web'\n\
         [[pool]]\nname = 'web'\nbackend = [{{ address = '{backend}' }}]\n"
    );
    match Config::parse_for("front.toml", &text, &Example) {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes.to_string().lines().map(str::to_owned).collect(),
    }
}

#[test]
fn what_the_machine_has_is_no_mistake() {
    for interface in [
        "name = 'eth0'",
        "name = 'eth0'\nqueues = 4",
        "name = 'eth0'\ncores = [3, 2, 1, 0]\nsource_addresses = ['10.0.0.1', 'fd00::1']",
        "name = 'uncountable0'\nqueues = 77",
    ] {
        assert_eq!(said(interface, "[fd00::1]:80", "10.0.1.1:80"), [""; 0], "{interface}");
        assert_eq!(said(interface, "0.0.0.0:80", "10.0.1.1:80"), [""; 0], "{interface}");
    }
}

#[test]
fn what_the_machine_lacks_is_named() {
    let (listener, backend) = ("10.0.0.1:80", "10.0.1.1:80");
    let ethtool = "eth0 has 4; `ethtool -L eth0` changes that where the device can";
    assert_eq!(
        said("name = 'eth1'", listener, backend),
        [r#"front.toml:2:8: interface "eth1": there is no such interface"#]
    );
    assert_eq!(
        said("name = 'eth0'\nqueues = 8", listener, backend),
        [format!(r#"front.toml:3:10: interface "eth0": queues says 8 receive queues, {ethtool}"#)]
    );
    assert_eq!(
        said("name = 'eth0'\ncores = [0]", listener, backend),
        [format!(r#"front.toml:3:9: interface "eth0": cores says 1 receive queues, {ethtool}"#)]
    );
    assert_eq!(
        said("name = 'eth0'\ncores = [0, 1, 4, 2]", listener, backend),
        [r#"front.toml:3:16: interface "eth0": core 4 is none that this process may use"#]
    );
    assert_eq!(
        said("name = 'eth0'\nsource_addresses = ['10.0.0.9']", listener, backend),
        [r#"front.toml:3:21: interface "eth0": 10.0.0.9 is no address of this host (see `ip address`)"#]
    );
    assert_eq!(
        said("name = 'eth0'", "10.0.0.2:80", backend),
        [r#"front.toml:5:11: listener "web": 10.0.0.2 is no address of this host (see `ip address`)"#]
    );
    assert_eq!(
        said("name = 'eth0'", listener, "10.0.0.1:8080"),
        [r#"front.toml:9:24: pool "web", backend 1: 10.0.0.1 is this host itself, which no interface leads to"#]
    );
}

#[test]
fn metrics_are_served_where_this_host_is() {
    let metrics = |address: &str| {
        let text = format!("[metrics]\naddress = '{address}'\n{}", super::LEAST);
        Config::parse_for("front.toml", &text, &Example).err().map(|mistakes| mistakes.to_string())
    };
    let nowhere = "front.toml:2:11: metrics: 10.0.0.9 is no address of this host (see `ip address`)";
    assert_eq!(metrics("10.0.0.9:9090").as_deref(), Some(nowhere));
    assert_eq!((metrics("10.0.0.1:9090"), metrics("0.0.0.0:9090"), metrics("[::1]:9090")), (None, None, None));
}

/// A file that is wrong by itself is not held against a machine as well.
#[test]
fn the_file_comes_first() {
    assert_eq!(said("name = 'eth1'", "10.0.0.1:80", "10.0.0.1:80").len(), 1);
}

#[test]
fn this_host_has_loopback() {
    let host = ThisHost::look().unwrap();
    assert!(host.queues("lo").is_ok());
    let nobody = host.queues("nobody0").unwrap_err();
    assert_eq!(nobody, "there is no such interface in this network namespace");
    assert!(host.has_address("127.0.0.1".parse().unwrap()) && !host.has_address("192.0.2.1".parse().unwrap()));
    assert!((0..1024).any(|core| host.has_core(core)) && !host.has_core(usize::MAX));
}
