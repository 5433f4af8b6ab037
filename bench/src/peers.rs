//! Servers that are not ours, in hosts of the lab: web servers to stand behind a front end, and proxies to stand in its place.
//!
//! nginx and HAProxy where they are installed, as they come and configured by us; else small stand-ins of our own on the
//! kernel's TCP, with the same routes. [`Web`] and [`Proxy`] choose, and say which it is: a measurement must name its system.
//!
//! A real one is a process in its host; a stand-in is a thread of this process there, and shares its limit of descriptors.
//! Each listens on all addresses of its host, IPv4 and IPv6, answers by the time its `start` returns, and ends with its value.

pub mod haproxy;
pub mod kernel_echo;
pub mod kernel_http;
pub mod nginx;
mod program;
pub mod relay;
mod serving;
mod site;

use anyhow::Result;
use std::net::SocketAddr;
use synward_lab::Host;

pub use haproxy::Haproxy;
pub use kernel_echo::KernelEcho;
pub use kernel_http::KernelHttp;
pub use nginx::Nginx;
pub use relay::Relay;
pub use site::Site;

/// Descriptors that a server asks for, one for each connection and two in a proxy; it gets what the system allows.
const MOST_DESCRIPTORS: u64 = 65_536;

/// A web server.
#[derive(Debug)]
pub enum Web {
    /// The real one.
    Nginx(Nginx),
    /// Its stand-in.
    Kernel(KernelHttp),
}

impl Web {
    /// Starts nginx on `port` of `host`, or the stand-in where nginx is not installed. It may run on these `cores` only;
    /// none means on all.
    ///
    /// # Errors
    /// When it does not start or does not answer.
    pub fn start(host: &Host, port: u16, cores: &[usize]) -> Result<Self> {
        if nginx::is_installed() {
            return Nginx::start(host, port, cores).map(Self::Nginx);
        }
        KernelHttp::start(host, port, cores).map(Self::Kernel)
    }

    /// What it is, for tables of results.
    pub fn system(&self) -> &'static str {
        match self {
            Self::Nginx(_) => "nginx",
            Self::Kernel(_) => "built-in web server",
        }
    }

    /// The same with its version, as far as it has one of its own: `nginx 1.22.1`.
    pub fn system_and_version(&self) -> String {
        match self {
            Self::Nginx(_) => program::with_version(self.system(), nginx::NGINX),
            Self::Kernel(_) => self.system().to_owned(),
        }
    }

    /// The id of its process; `None` when it is a thread of this one.
    pub fn process(&self) -> Option<u32> {
        match self {
            Self::Nginx(nginx) => Some(nginx.id()),
            Self::Kernel(_) => None,
        }
    }

    /// What it serves.
    pub fn site(&self) -> &Site {
        match self {
            Self::Nginx(nginx) => nginx.site(),
            Self::Kernel(server) => server.site(),
        }
    }
}

/// A TCP proxy.
#[derive(Debug)]
pub enum Proxy {
    /// The real one.
    Haproxy(Haproxy),
    /// Its stand-in.
    Relay(Relay),
}

impl Proxy {
    /// Starts HAProxy on `port` of `host`, or the stand-in where HAProxy is not installed, which spreads connections over
    /// `backends` in turn. It may run on these `cores` only; none means on all.
    ///
    /// # Errors
    /// No backends; it does not start or does not answer.
    pub fn start(host: &Host, port: u16, backends: &[SocketAddr], cores: &[usize]) -> Result<Self> {
        if haproxy::is_installed() {
            return Haproxy::start(host, port, backends, cores).map(Self::Haproxy);
        }
        Relay::start(host, port, backends, cores).map(Self::Relay)
    }

    /// What it is, for tables of results.
    pub fn system(&self) -> &'static str {
        match self {
            Self::Haproxy(_) => "HAProxy",
            Self::Relay(_) => "built-in relay",
        }
    }

    /// The same with its version, as far as it has one of its own: `HAProxy 2.6.12`.
    pub fn system_and_version(&self) -> String {
        match self {
            Self::Haproxy(_) => haproxy::system_and_version(),
            Self::Relay(_) => self.system().to_owned(),
        }
    }

    /// The id of its process; `None` when it is a thread of this one.
    pub fn process(&self) -> Option<u32> {
        match self {
            Self::Haproxy(haproxy) => Some(haproxy.id()),
            Self::Relay(_) => None,
        }
    }
}
