//! Who is measured.

use crate::FRONT;
use crate::bed::{Bed, ECHO};
use anyhow::Result;
use clap::ValueEnum;
use std::any::Any;
use std::fmt;
use std::process::Command;
use synward::served::{self, Served};
use synward_bench::bare::{Bare, Fate, Forwarder};
use synward_bench::peers::{Haproxy, KernelEcho, haproxy};
use synward_bench::processes;
use synward_lab::Role;

/// A system.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum System {
    /// An echo server on the kernel's TCP, which answers all SYNs by cookies.
    Kernel,
    /// HAProxy in TCP mode on the kernel's TCP as it is above, in front of a kernel's echo.
    Haproxy,
    /// The engine's echo without cookies.
    Table,
    /// The engine's echo, which answers all SYNs by cookies.
    Cookies,
    /// The engine's echo behind a shield that is up.
    Shield,
    /// Every frame of the flood goes back at once by XDP_TX.
    XdpTx,
    /// Every frame of the flood goes back through an AF_XDP socket.
    L2fwd,
    /// The control: the flood is dropped by a single XDP_DROP, and an echo serves the same clients beside it.
    XdpDrop,
}

/// Who serves the clients where the system itself does not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Server {
    Kernel,
    Engine,
}

/// What takes turns with others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Contender {
    pub system: System,
    /// Only of the control: whom to compare with whom.
    pub server: Option<Server>,
}

/// Something that runs while a contender is measured, and ends with this value.
pub type Part = Box<dyn Any>;

impl System {
    /// As it is called in the document.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Haproxy => "haproxy",
            Self::Table => "table",
            Self::Cookies => "cookies",
            Self::Shield => "shield",
            Self::XdpTx => "xdp_tx",
            Self::L2fwd => "l2fwd",
            Self::XdpDrop => "xdp_drop",
        }
    }

    /// Whether the kernel answers, which leaves checksums to the hardware that veth pretends to be.
    pub const fn answers_by_kernel(self) -> bool {
        matches!(self, Self::Kernel | Self::Haproxy)
    }

    /// Whether what comes back is the flood itself.
    pub const fn reflects(self) -> bool {
        matches!(self, Self::XdpTx | Self::L2fwd)
    }

    /// Whether all of its work on a SYN is that of an XDP program.
    pub const fn is_program(self) -> bool {
        matches!(self, Self::Shield | Self::XdpTx | Self::XdpDrop)
    }

    /// Whether there is somebody to serve clients.
    pub const fn serves(self) -> bool {
        !self.reflects()
    }
}

impl Server {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Engine => "engine",
        }
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.server {
            Some(server) => write!(f, "{} ({})", self.system.name(), server.name()),
            None => f.write_str(self.system.name()),
        }
    }
}

impl Contender {
    /// Everybody, the controls in the middle, so that they are never far from whom they are compared with.
    pub fn all() -> Vec<Self> {
        let of = |system| Self { system, server: None };
        let control = |server| Self { system: System::XdpDrop, server: Some(server) };
        vec![
            of(System::Haproxy),
            of(System::Kernel),
            control(Server::Kernel),
            of(System::XdpTx),
            of(System::Shield),
            control(Server::Engine),
            of(System::Cookies),
            of(System::L2fwd),
            of(System::Table),
        ]
    }

    /// Why it cannot be measured here.
    pub fn missing(self) -> Result<Option<&'static str>> {
        Ok(match self.system {
            System::Haproxy if !haproxy::is_installed() => Some("it is not installed: apt-get install haproxy"),
            System::Shield if !has_shield()? => Some("this build of synward has none"),
            _ => None,
        })
    }

    /// Starts it on the front, in the lab's two interfaces.
    pub fn start(self, bed: &Bed) -> Result<Vec<Part>> {
        let front = bed.lab.front();
        let cores = &[FRONT];
        let flooded = bed.flooded().name();
        let bare = |fate| -> Result<Part> { Ok(Box::new(front.enter(|| Bare::attach(flooded, fate))??)) };
        let kernel = || -> Result<Part> { Ok(Box::new(KernelEcho::start(front, ECHO, cores)?)) };
        let attackers = &[Role::Attacker];
        Ok(match self.system {
            System::Kernel => vec![kernel()?],
            System::Haproxy => vec![Box::new(Haproxy::start(front, ECHO, &[bed.backend()], cores)?)],
            System::Table => vec![engine(bed, attackers, &["--syncookies", "off"])?],
            System::Cookies => vec![engine(bed, attackers, &["--syncookies", "always"])?],
            System::Shield => vec![engine(bed, attackers, &["--shield", "always"])?],
            System::XdpTx => vec![bare(Fate::Reflect)?],
            System::L2fwd => vec![Box::new(Forwarder::start(front, flooded, cores)?)],
            System::XdpDrop => match self.server {
                Some(Server::Engine) => vec![bare(Fate::Drop)?, engine(bed, &[], &[])?],
                Some(Server::Kernel) | None => vec![bare(Fate::Drop)?, kernel()?],
            },
        })
    }
}

/// The engine's echo on the interface of the clients, and on those that face these roles.
fn engine(bed: &Bed, beside: &[Role], arguments: &[&str]) -> Result<Part> {
    let front = bed.lab.front();
    let address = front.ipv4().to_string();
    let (echo, core) = (ECHO.to_string(), FRONT.to_string());
    let mut all = vec!["--address", &address, "--http", "0", "--echo", &echo, "--backlog", "4096", "--core", &core];
    for role in beside {
        all.extend(["--interface", bed.lab.front_towards(*role).name()]);
    }
    all.extend(arguments);
    let mut served = Served::start(&served::program()?, front, &all)?;
    // The poll loops have pinned themselves; this takes the others along.
    processes::keep_on(&processes::family(served.process().id())?, &[FRONT])?;
    Ok(Box::new(served))
}

fn has_shield() -> Result<bool> {
    let help = Command::new(served::program()?).args(["serve", "--help"]).output()?;
    Ok(String::from_utf8_lossy(&help.stdout).contains("--shield"))
}
