//! A path with the engine at its near end and the kernel's TCP at the far one.

use crate::books;
use anyhow::{Context, Result, ensure};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use synward::control::report::Stat;
use synward::served::Served;
use synward_lab::{Host, RoutedPair, RoutedPairConfig};

/// For what must happen, but at no particular time.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const MIB: u64 = 1 << 20;

/// A test by its name.
#[derive(Clone)]
pub struct Test {
    pub name: String,
    pub run: Arc<dyn Fn() -> Result<()> + Send + Sync>,
}

impl Test {
    pub fn new(name: impl Into<String>, run: impl Fn() -> Result<()> + Send + Sync + 'static) -> Self {
        Self { name: name.into(), run: Arc::new(run) }
    }
}

/// What is wrong with a path, and who is at its end.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    /// The congestion control of the kernel's TCP.
    pub peer: &'static str,
    /// Percent of the packets from the kernel's TCP that are lost before they come to the engine.
    pub lost_towards_us: f64,
    /// The same in the other direction.
    pub lost_from_us: f64,
    /// The largest packet in bytes that the router lets through; the hosts' interfaces take 1500.
    pub path_mtu: u32,
}

impl Conditions {
    pub const GOOD: Self = Self { peer: "reno", lost_towards_us: 0.0, lost_from_us: 0.0, path_mtu: 1500 };

    /// Whether packets are lost.
    pub fn loses(&self) -> bool {
        self.lost_towards_us + self.lost_from_us > 0.0
    }

    /// Builds the path. Nothing runs at its ends yet.
    pub fn path(&self) -> Result<RoutedPair> {
        let path = RoutedPair::up(&RoutedPairConfig { path_mtu: self.path_mtu, ..RoutedPairConfig::default() })?;
        path.far().set_sysctl("net.ipv4.tcp_congestion_control", self.peer)?;
        path.set_loss_towards_near(self.lost_towards_us)?;
        path.set_loss_towards_far(self.lost_from_us)?;
        Ok(path)
    }
}

/// The engine at the near end of a path; it ends before the path does.
pub struct Bed {
    pub engine: Served,
    pub path: RoutedPair,
}

impl Bed {
    /// `synward serve`.
    pub fn serving(conditions: &Conditions) -> Result<Self> {
        let path = conditions.path()?;
        Ok(Self { engine: Served::start(program(), path.near(), &[])?, path })
    }

    /// `synward run` with a listener on each of these ports of the near end, IPv4 and IPv6, that leads to the same port of the
    /// far end.
    pub fn dialling(path: RoutedPair, ports: &[u16]) -> Result<Self> {
        let mut config = format!("[[interface]]\nname = {:?}\n", path.near().interface());
        let (near, far) = (addresses(path.near()), addresses(path.far()));
        for port in ports {
            for (near, far) in near.iter().zip(far) {
                let name = format!("{}-{port}", if near.is_ipv4() { "v4" } else { "v6" });
                let (near, far) = (std::net::SocketAddr::new(*near, *port), std::net::SocketAddr::new(far, *port));
                config += &format!(
                    "[[listener]]\nname = {name:?}\naddress = \"{near}\"\npool = {name:?}\n\
                     [[pool]]\nname = {name:?}\nconnect_timeout = \"1m\"\n[[pool.backend]]\naddress = \"{far}\"\n"
                );
            }
        }
        config += "[shutdown]\ndrain = \"0s\"\n";
        Ok(Self { engine: Served::front(program(), path.near(), &config)?, path })
    }

    /// Where the kernel's TCP is.
    pub fn peer(&self) -> &Host {
        self.path.far()
    }

    /// Both addresses of the engine.
    pub fn addresses(&self) -> [IpAddr; 2] {
        addresses(self.path.near())
    }

    pub fn counter(&self, name: &str) -> Result<u64> {
        let stat: Stat = self.engine.ask("/v1/stat")?;
        stat.counters.get(name).copied().with_context(|| format!("no counter {name}"))
    }

    /// A counter of the kernel's TCP.
    pub fn counter_of_peer(&self, name: &str) -> Result<u64> {
        self.peer().netstat()?.get(name).copied().with_context(|| format!("no counter {name}"))
    }

    /// Whatever was lost on the way was sent again by who had sent it; and the engine's books balance.
    pub fn check(&self, conditions: &Conditions) -> Result<()> {
        if conditions.lost_from_us > 0.0 {
            ensure!(self.counter("RetransSegs")? > 0, "nothing that we sent was lost");
        }
        if conditions.lost_towards_us > 0.0 {
            ensure!(self.counter_of_peer("TcpRetransSegs")? > 0, "nothing that the kernel sent was lost");
        }
        books::check(&self.engine)
    }
}

/// The program under test.
fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_synward"))
}

fn addresses(host: &Host) -> [IpAddr; 2] {
    [host.ipv4().into(), host.ipv6().into()]
}
