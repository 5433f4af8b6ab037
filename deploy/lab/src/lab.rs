//! The whole test bed: a front end, clients and attackers around a bridge.

use crate::{End, Host, LabError};

/// What a [`Lab`] is built of.
#[derive(Clone, Copy, Debug)]
pub struct LabConfig {
    /// How many clients, each with a namespace and a veth pair of its own.
    pub clients: u16,
    /// How many attackers, each with a namespace and a veth pair of its own.
    pub attackers: u16,
    /// The interface `front0`. By default without any program, one queue.
    pub front: End,
    /// The interfaces of clients and attackers.
    pub far: End,
    /// Whether the ports of the bridge carry the XDP pass program: the port that faces the front must, to receive what the
    /// front sends from XDP; those that face attackers and clients must, to receive frames that a generator redirects.
    pub switch_xdp: bool,
    /// Whether the front has routes for the spoofed source prefixes, so that a kernel server there can answer them.
    pub spoofed_routes: bool,
    /// The MTU of every interface. Native XDP refuses a veth whose peer's MTU is above about 3,500.
    pub mtu: u32,
    /// Whether the lab stays when its value is dropped and its owner ends, until `synward lab down`.
    pub persistent: bool,
}

impl Default for LabConfig {
    fn default() -> Self {
        Self {
            clients: 1,
            attackers: 1,
            front: End::default(),
            far: End::default(),
            switch_xdp: true,
            spoofed_routes: true,
            mtu: 1500,
            persistent: false,
        }
    }
}

/// A running lab. Removed when dropped, unless it is persistent.
#[derive(Debug)]
pub struct Lab {}

impl Lab {
    /// Sweeps stale labs, then builds this one. It carries traffic when this returns.
    ///
    /// # Errors
    /// No privileges, or the kernel refuses a step; what was built until then is removed.
    pub fn up(config: &LabConfig) -> Result<Self, LabError> {
        let _ = config;
        todo!()
    }

    /// The id, which is part of the name of every namespace: `synward-<id>-<host>`.
    #[must_use]
    pub fn id(&self) -> &str {
        todo!()
    }

    /// The front end.
    #[must_use]
    pub fn front(&self) -> &Host {
        todo!()
    }

    /// The clients, in order.
    #[must_use]
    pub fn clients(&self) -> &[Host] {
        todo!()
    }

    /// The attackers, in order.
    #[must_use]
    pub fn attackers(&self) -> &[Host] {
        todo!()
    }

    /// Loses this share of all packets between the hosts and the front, in each direction, at random; 0 loses nothing.
    /// Packets are lost inside the switch, so an AF_XDP socket at the front loses them too.
    ///
    /// # Errors
    /// `nft` is missing or refuses; the percentage is not within 0 to 100.
    pub fn set_loss(&self, percent: f64) -> Result<(), LabError> {
        let _ = percent;
        todo!()
    }

    /// Removes the lab, persistent or not, and reports what failed, which dropping it does not.
    ///
    /// # Errors
    /// A removal that failed; the next [`crate::sweep`] tries again.
    pub fn down(self) -> Result<(), LabError> {
        todo!()
    }
}
