//! The whole test bed: a front end, with clients, attackers and backends around it.

use crate::bed::Bed;
use crate::loss::{self, Cut};
use crate::plan::Plan;
use crate::role::Role;
use crate::state::Record;
use crate::{End, Host, Interface, LabError, topology};

/// What a [`Lab`] is built of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabConfig {
    /// How many clients, each with a namespace and a veth pair of its own.
    pub clients: u16,
    /// How many attackers, each with a namespace and a veth pair of its own.
    pub attackers: u16,
    /// How many backends, each with a namespace and a veth pair of its own.
    pub backends: u16,
    /// How the front is joined to the others.
    pub wiring: FrontWiring,
    /// The interfaces of the front. By default without any program.
    pub front: End,
    /// The interfaces of all others. By default they carry the XDP pass program: an end that polls itself has a ring of its
    /// own, where answers to an attacker cannot crowd out those to a client, while all ends that do not share one backlog for
    /// each core (`net.core.netdev_max_backlog`).
    pub far: End,
    /// The ports of the bridges. By default they carry the XDP pass program: those that face the front must, to receive
    /// what the front sends from XDP; those that face the others must, to receive the frames that a generator redirects.
    pub switch: End,
    /// The receive queues of each interface of the front, and as many transmit queues; its port of the bridge spreads flows
    /// over them by a hash. All others have one: a frame that left a client by another queue than the first would count as
    /// steered already.
    pub queues: u16,
    /// The MTU of every interface in bytes. A native XDP program that takes no fragments is refused where the peer's MTU is
    /// above about 3,500.
    pub mtu: u32,
    /// Whether the front and each of the others know each other's hardware address for good. Without, the kernels ask by ARP
    /// and NDP when they first need one.
    pub permanent_neighbours: bool,
    /// Whether the front has routes for [`SPOOFED_V4`](crate::SPOOFED_V4) and [`SPOOFED_V6`](crate::SPOOFED_V6), so that a
    /// kernel server there can answer them.
    pub spoofed_routes: bool,
    /// Whether the lab stays when its value is dropped and its owner ends, until `synward lab down`.
    pub persistent: bool,
}

/// How the front is joined to the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FrontWiring {
    /// By one interface, `front0`, in one subnet with everybody.
    #[default]
    One,
    /// By an interface for each role, on a bridge and in a subnet of its own: `front0` towards the clients, `front1` towards
    /// the attackers, `front2` towards the backends. A flood and the clients then share no veth pair.
    PerRole,
    /// By the same interfaces in the same subnets, and a veth pair from each straight to the one host of that role: a lab has
    /// one client, one attacker and one backend then, and no bridge, whose work would be measured along with the front's.
    Direct,
}

impl FrontWiring {
    /// The number of the front's interface that faces the hosts of a role.
    pub(crate) fn interface_towards(self, role: Role) -> usize {
        match (self, role) {
            (Self::One, _) | (Self::PerRole | Self::Direct, Role::Client) => 0,
            (Self::PerRole | Self::Direct, Role::Attacker) => 1,
            (Self::PerRole | Self::Direct, Role::Backend) => 2,
        }
    }
}

impl Default for LabConfig {
    fn default() -> Self {
        Self {
            clients: 1,
            attackers: 1,
            backends: 0,
            wiring: FrontWiring::One,
            front: End::default(),
            far: End { xdp_pass: true, ..End::default() },
            switch: End { xdp_pass: true, ..End::default() },
            queues: 1,
            mtu: 1500,
            permanent_neighbours: true,
            spoofed_routes: true,
            persistent: false,
        }
    }
}

impl LabConfig {
    /// How many hosts of a role there are.
    #[must_use]
    pub fn count(&self, role: Role) -> u16 {
        match role {
            Role::Client => self.clients,
            Role::Attacker => self.attackers,
            Role::Backend => self.backends,
        }
    }

    /// What [`Lab::up`] builds of this.
    ///
    /// # Errors
    /// More hosts than a bridge has ports for; without bridges, another number than one of each role.
    pub fn plan(&self) -> Result<Plan, LabError> {
        topology::plan(self)
    }
}

/// A running lab. Removed when dropped, unless it is persistent.
///
/// The front is `10.77.0.1` and `fd77::1`; client *n* `10.77.64.0` + *n* + 1 and `fd77::1:0` + *n* + 1; attacker *n*
/// `10.77.128.0` + *n* + 1 and `fd77::2:0` + *n* + 1; backend *n* `10.77.192.0` + *n* + 1 and `fd77::3:0` + *n* + 1. These are
/// the same in all wirings.
///
/// Wired by [`FrontWiring::One`], all are in `10.77.0.0/16` and `fd77::/64`. In the other wirings, the clients' subnet is
/// `10.77.0.0/17` and `fd77::/111`, with the addresses above for `front0`; the attackers' `10.77.128.0/18` and
/// `fd77::2:0/112`, with `10.77.191.254` and `fd77::2:fffe` for `front1`; the backends' `10.77.192.0/18` and `fd77::3:0/112`,
/// with `10.77.255.254` and `fd77::3:fffe` for `front2`. Attackers and backends have a route to `front0`'s addresses there.
///
/// The front and each of the others know each other's hardware address (unless the configuration says otherwise), so nothing
/// waits for ARP or NDP. Answers to spoofed sources go to the first attacker, which drops them silently.
#[derive(Debug)]
pub struct Lab {
    bed: Bed,
    front: Host,
    config: LabConfig,
}

impl Lab {
    /// Sweeps stale test beds, then builds the lab. It carries traffic when this returns.
    ///
    /// # Errors
    /// No privileges, or the kernel refuses a step; what was built until then is removed.
    pub fn up(config: &LabConfig) -> Result<Self, LabError> {
        let bed = Bed::up(config.plan()?, config.persistent)?;
        let [front, ..] = bed.hosts() else { return Err(LabError::Config("a lab has a front".into())) };
        Ok(Self { front: front.clone(), config: *config, bed })
    }

    /// The id, which is part of the name of every namespace: `synward-<id>-<host>`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.bed.record().id
    }

    /// The whole description, as it is in the state file.
    #[must_use]
    pub fn record(&self) -> &Record {
        self.bed.record()
    }

    /// The front end.
    #[must_use]
    pub fn front(&self) -> &Host {
        &self.front
    }

    /// The interface of the front that faces the hosts of a role.
    #[must_use]
    pub fn front_towards(&self, role: Role) -> &Interface {
        &self.front.interfaces()[self.config.wiring.interface_towards(role)]
    }

    /// The clients, in order.
    #[must_use]
    pub fn clients(&self) -> &[Host] {
        self.hosts(Role::Client)
    }

    /// The attackers, in order.
    #[must_use]
    pub fn attackers(&self) -> &[Host] {
        self.hosts(Role::Attacker)
    }

    /// The backends, in order.
    #[must_use]
    pub fn backends(&self) -> &[Host] {
        self.hosts(Role::Backend)
    }

    fn hosts(&self, role: Role) -> &[Host] {
        let count = |role| usize::from(self.config.count(role));
        // The front is the first of all.
        let start = 1 + Role::ALL.into_iter().take_while(|before| *before != role).map(count).sum::<usize>();
        self.bed.hosts().get(start..start + count(role)).unwrap_or_default()
    }

    /// Loses this share of all packets between the hosts and the front, in each direction, at random; 0 loses nothing.
    /// Packets are lost inside the switch, so an AF_XDP socket at the front loses them too. Needs `nft`.
    ///
    /// # Errors
    /// `nft` is missing or refuses; the percentage is not within 0 to 100; the lab is wired
    /// [`Direct`](FrontWiring::Direct).
    pub fn set_loss(&self, percent: f64) -> Result<(), LabError> {
        Role::ALL.into_iter().try_for_each(|role| self.set_loss_of(role, percent))
    }

    /// The same between the hosts of one role and the front; the others keep what they have. What the front sends to all at
    /// once, such as its ARP requests, is not lost; the answers are.
    ///
    /// # Errors
    /// As [`Lab::set_loss`].
    pub fn set_loss_of(&self, role: Role, percent: f64) -> Result<(), LabError> {
        let Some(namespace) = self.bed.switch() else {
            return Err(LabError::Config("packets are lost in the switch, and a lab without bridges has none".into()));
        };
        let front = format!("to-{}", self.front_towards(role).name());
        let hosts: Vec<_> = self.hosts(role).iter().map(|host| format!("to-{}", host.interface())).collect();
        let mut cuts: Vec<_> = hosts.iter().map(|port| Cut::all(port)).collect();
        cuts.push(Cut::to(role, &front));
        loss::set(namespace, &cuts, percent)
    }

    /// Removes the lab, persistent or not, and reports what failed, which dropping it does not.
    ///
    /// # Errors
    /// A removal that failed; the next [`crate::sweep`] tries again.
    pub fn down(mut self) -> Result<(), LabError> {
        self.bed.take_down()
    }
}
