//! The two joined interfaces that a test runs on: a veth pair of its own, or two real ones named in the environment.

use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;
use synward_lab::{Host, Pair, PairConfig};
use synward_nic::Mode;

use crate::ends::until;

/// Names two real interfaces, in the namespace of this process and joined by a wire, as `eth0,eth1`. Nothing else uses
/// them, and the tests run on them instead of on veth pairs.
pub const INTERFACES: &str = "SYNWARD_TEST_INTERFACES";
/// On real interfaces, the queue that tests of one queue use; 0 when not set.
pub const QUEUE: &str = "SYNWARD_TEST_QUEUE";
/// On real interfaces, the mode that ports have when none is demanded: `zero-copy`, which is then demanded everywhere,
/// or `copy`.
pub const MODE: &str = "SYNWARD_TEST_MODE";

/// Both interfaces; on veth, also what holds the pair.
pub struct Wire {
    near: Device,
    far: Device,
    _pair: Option<Pair>,
}

/// One interface.
#[derive(Clone)]
pub enum Device {
    /// In a namespace of its own.
    Veth(Host),
    /// In the namespace of this process.
    Real(Real),
}

/// A real interface.
#[derive(Clone)]
pub struct Real {
    name: String,
    mac: [u8; 6],
    ipv4: Ipv4Addr,
}

/// Whether the tests run on real interfaces.
pub fn is_real() -> bool {
    std::env::var_os(INTERFACES).is_some()
}

/// The mode that ports have on these interfaces when none is demanded.
pub fn best_mode() -> Mode {
    match std::env::var(MODE).as_deref() {
        Ok("zero-copy") => Mode::ZeroCopy,
        Ok("copy") | Err(_) => Mode::Copy,
        Ok(other) => panic!("{MODE}={other}: zero-copy or copy"),
    }
}

/// The queue that tests of one queue use.
pub fn queue() -> u32 {
    std::env::var(QUEUE).map_or(0, |queue| queue.parse().expect("a queue's number"))
}

impl Wire {
    /// The interfaces, without programs; on veth with one queue each.
    pub fn up() -> Self {
        Self::with_queues(1)
    }

    /// The interfaces, without programs; on veth with `queues` queues each, on real ones with those they have.
    pub fn with_queues(queues: u16) -> Self {
        let Ok(names) = std::env::var(INTERFACES) else { return Self::veth(queues) };
        let (near, far) = names.split_once(',').expect("two interfaces");
        let real = |name: &str, number| Device::Real(Real::find(name, Ipv4Addr::new(10, 77, 0, number)));
        let wire = Self { near: real(near, 1), far: real(far, 2), _pair: None };
        wire.near.link_up();
        wire.far.link_up();
        wire.await_carrier();
        wire
    }

    fn veth(queues: u16) -> Self {
        let far = PairConfig::default().near;
        let pair = Pair::up(&PairConfig { far, queues, ..PairConfig::default() }).expect("a veth pair");
        Self { near: Device::Veth(pair.near().clone()), far: Device::Veth(pair.far().clone()), _pair: Some(pair) }
    }

    /// The end under test.
    pub fn near(&self) -> &Device {
        &self.near
    }

    /// The other end.
    pub fn far(&self) -> &Device {
        &self.far
    }

    /// Waits until both links carry: some drivers take theirs down for a second to attach a program.
    pub fn await_carrier(&self) {
        for device in [&self.near, &self.far] {
            if let Device::Real(real) = device {
                until("the link carries", || real.carries());
            }
        }
    }
}

impl Device {
    pub fn interface(&self) -> &str {
        match self {
            Self::Veth(host) => host.interface(),
            Self::Real(real) => &real.name,
        }
    }

    pub fn mac(&self) -> [u8; 6] {
        match self {
            Self::Veth(host) => host.mac(),
            Self::Real(real) => real.mac,
        }
    }

    pub fn ipv4(&self) -> Ipv4Addr {
        match self {
            Self::Veth(host) => host.ipv4(),
            Self::Real(real) => real.ipv4,
        }
    }

    /// Receive queues.
    pub fn queues(&self) -> u32 {
        let count = || fs::read_dir(format!("/sys/class/net/{}/queues", self.interface())).map(count_rx);
        self.enter(count).expect("its queues")
    }

    /// Runs `work` where the interface is.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match self {
            Self::Veth(host) => host.enter(work).expect("enter the namespace"),
            Self::Real(_) => work(),
        }
    }

    /// Has every packet arrive on `queue`, where there are several. Attaching a program undoes this on virtio_net: its
    /// driver then sets the number of queues anew, whereupon the device forgets the table.
    pub fn steer_to(&self, queue: u32) {
        if let Self::Real(real) = self
            && self.queues() > 1
        {
            real.steer(queue, self.queues());
        }
    }

    /// A command that will run where the interface is.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        match self {
            Self::Veth(host) => host.command(program),
            Self::Real(_) => Command::new(program),
        }
    }

    pub fn link_down(&self) {
        match self {
            Self::Veth(host) => host.link_down().expect("link down"),
            Self::Real(real) => real.set("down"),
        }
    }

    /// Returns when frames pass.
    pub fn link_up(&self) {
        match self {
            Self::Veth(host) => host.link_up().expect("link up"),
            Self::Real(real) => {
                real.set("up");
                until("the link carries", || real.carries());
            }
        }
    }

    /// Takes the device away. A real one comes back when its driver is told so, and not through this.
    pub fn remove(&self) {
        match self {
            Self::Veth(host) => host.delete_interface().expect("delete the interface"),
            Self::Real(real) => real.unbind_driver(),
        }
    }
}

impl Real {
    fn find(name: &str, ipv4: Ipv4Addr) -> Self {
        let address = fs::read_to_string(format!("/sys/class/net/{name}/address")).expect("an interface");
        let bytes: Vec<_> = address.trim().split(':').map(|byte| u8::from_str_radix(byte, 16)).collect();
        let bytes: Result<Vec<_>, _> = bytes.into_iter().collect();
        let mac = bytes.expect("hexadecimal").try_into().expect("six bytes");
        Self { name: name.into(), mac, ipv4 }
    }

    fn steer(&self, queue: u32, queues: u32) {
        let weights = (0..queues).map(|at| if at == queue { "1" } else { "0" });
        let done = Command::new("ethtool").args(["-X", &self.name, "weight"]).args(weights).status();
        assert!(done.expect("start ethtool").success(), "{}: no queue {queue} to steer to", self.name);
    }

    fn set(&self, state: &str) {
        let done = Command::new("ip").args(["link", "set", "dev", &self.name, state]).status().expect("start ip");
        assert!(done.success(), "{} {state}", self.name);
    }

    fn carries(&self) -> bool {
        // Not to be read while the interface is down.
        fs::read_to_string(format!("/sys/class/net/{}/carrier", self.name)).is_ok_and(|carrier| carrier.trim() == "1")
    }

    fn unbind_driver(&self) {
        let device = fs::canonicalize(format!("/sys/class/net/{}/device", self.name)).expect("a device");
        let name = device.file_name().expect("its name").to_string_lossy().into_owned();
        fs::write(device.join("driver/unbind"), name).expect("take the device from its driver");
    }
}

fn count_rx(queues: fs::ReadDir) -> u32 {
    queues.flatten().filter(|queue| queue.file_name().to_string_lossy().starts_with("rx-")).count() as u32
}
