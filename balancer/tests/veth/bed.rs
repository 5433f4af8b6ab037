//! A lab with a server in its front.

use crate::books;
use anyhow::{Context, Result, ensure};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use synward::control::report::{Drops, Sockets, Stat};
use synward::served::Served;
use synward_lab::{Host, Lab, LabConfig};

pub const HTTP: u16 = 80;
pub const ECHO: u16 = 7;

/// A lab, and a server in its front that ends before the lab does.
pub struct Bed {
    pub server: Served,
    pub lab: Lab,
}

impl Bed {
    pub fn new(arguments: &[&str]) -> Result<Self> {
        Self::in_lab(&LabConfig::default(), arguments)
    }

    pub fn in_lab(config: &LabConfig, arguments: &[&str]) -> Result<Self> {
        let lab = Lab::up(config)?;
        let server = serve(&lab, arguments)?;
        Ok(Self { server, lab })
    }

    pub fn client(&self) -> &Host {
        &self.lab.clients()[0]
    }

    pub fn front(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.lab.front().ipv4().into(), port)
    }

    /// Both addresses of the front.
    pub fn addresses(&self) -> [IpAddr; 2] {
        [self.lab.front().ipv4().into(), self.lab.front().ipv6().into()]
    }

    pub fn counter(&self, name: &str) -> Result<u64> {
        let stat: Stat = self.server.ask("/v1/stat")?;
        stat.counters.get(name).copied().with_context(|| format!("no counter {name}"))
    }

    pub fn drops(&self) -> Result<Drops> {
        self.server.ask("/v1/drops")
    }

    pub fn sockets(&self) -> Result<Sockets> {
        self.server.ask("/v1/ss")
    }

    /// Runs curl in the client's namespace and returns what it printed.
    pub fn curl(&self, arguments: &[&str]) -> Result<Vec<u8>> {
        let mut command = self.client().command("curl");
        command.args(["--silent", "--show-error", "--fail", "--max-time", "300"]).args(arguments);
        let output = command.output().context("curl")?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "curl {arguments:?}: {}\n{}", complaint.trim(), self.server.log());
        Ok(output.stdout)
    }

    /// What every test may ask at its end: every received frame has one outcome, and every frame of the pool a holder.
    pub fn check_books(&self) -> Result<()> {
        books::check(&self.server)
    }
}

pub fn serve(lab: &Lab, arguments: &[&str]) -> Result<Served> {
    Served::start(Path::new(env!("CARGO_BIN_EXE_synward")), lab.front(), arguments)
}
