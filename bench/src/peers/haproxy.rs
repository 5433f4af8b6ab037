//! HAProxy in TCP mode with one thread: the front end to compare with.

use super::program::{Folder, Installed, Program, find, with_version};
use crate::descriptors;
use crate::peers::MOST_DESCRIPTORS;
use anyhow::{Result, ensure};
use std::fmt::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use synward_lab::Host;

const HAPROXY: Installed = Installed { name: "haproxy", package: "haproxy" };

/// How long one attempt to connect may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Listeners, pipes, timers and the like.
const OWN_DESCRIPTORS: u64 = 100;

/// Whether this machine has HAProxy.
pub fn is_installed() -> bool {
    find(HAPROXY.name).is_some()
}

/// The one that is installed, with its version: `HAProxy 2.6.12`.
pub fn system_and_version() -> String {
    with_version("HAProxy", HAPROXY)
}

/// A running HAProxy.
#[derive(Debug)]
pub struct Haproxy {
    // Ends before its folder goes.
    program: Program,
    _folder: Folder,
}

impl Haproxy {
    /// Starts it on `port` of `host`, on these `cores` (all, if there are none), in front of `backends`, which get connections
    /// in turn, and waits until it takes connections.
    ///
    /// The look whether it does is a connection of its own, and goes to a backend like any other.
    ///
    /// # Errors
    /// No backends; it is not installed, does not start, or does not answer; the error carries what it logged.
    pub fn start(host: &Host, port: u16, backends: &[SocketAddr], cores: &[usize]) -> Result<Self> {
        ensure!(!backends.is_empty(), "a proxy needs at least one backend");
        let folder = Folder::new(host, HAPROXY.name, port)?;
        let descriptors = descriptors::raise_towards(MOST_DESCRIPTORS);
        let config = folder.write("haproxy.cfg", &config(port, backends, most_connections(descriptors)))?;
        let takes_connections = || connects(host, port);
        let arguments = ["-db", "-f", &config.to_string_lossy()];
        let program = Program::start(HAPROXY, host, cores, &folder, &arguments, takes_connections)?;
        Ok(Self { program, _folder: folder })
    }

    /// The id of its process.
    pub fn id(&self) -> u32 {
        self.program.id()
    }
}

/// A connection takes two descriptors, and HAProxy a few for itself; it does not start where they are not allowed.
fn most_connections(descriptors: u64) -> u64 {
    descriptors.saturating_sub(OWN_DESCRIPTORS) / 2
}

fn config(port: u16, backends: &[SocketAddr], most_connections: u64) -> String {
    let mut config = format!(
        "global
    nbthread 1
    maxconn {most_connections}
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen front
    bind 0.0.0.0:{port} backlog 4096
    bind :::{port} v6only backlog 4096
    balance roundrobin
"
    );
    for (number, backend) in backends.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = writeln!(config, "    server backend{number} {}", address(*backend));
    }
    config
}

/// HAProxy takes the last colon of an address for the one before the port, without brackets.
fn address(backend: SocketAddr) -> String {
    format!("{}:{}", backend.ip(), backend.port())
}

/// Whether somebody listens on this port.
pub(super) fn connects(host: &Host, port: u16) -> Result<bool> {
    let address = SocketAddr::new(host.ipv4().into(), port);
    Ok(host.enter(|| TcpStream::connect_timeout(&address, PATIENCE).is_ok())?)
}
