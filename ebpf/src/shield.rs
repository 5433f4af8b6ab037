//! The shield: loaded, told what is ours and which socket serves which queue, attached.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, AsRawFd};

use aya::maps::{Array, Map, MapData, MapError, PerCpuArray, XskMap};
use aya::programs::{TestRun, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader, include_bytes_aligned};

use crate::attach::attach;
use crate::error::errno;
use crate::judge::{self, Arrival, XdpAction};
use crate::maps::Settings;
use crate::owned_set::OwnedSet;
use crate::{Attached, EbpfError, Fragments, Owned, Protocol, ShieldCounters, XdpMode};

/// What is fixed when the program is loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShieldConfig {
    /// Receive queues of the interface; each must be given a socket before attaching. A frame of ours that arrives on a
    /// queue beyond them is a counted drop.
    pub queues: u32,
    /// How many (protocol, address, port) can be owned at once, and at how many addresses. A range of ports takes no more
    /// than its address.
    pub owned_capacity: u32,
    /// What becomes of TCP fragments for owned addresses.
    pub fragments: Fragments,
}

impl Default for ShieldConfig {
    /// One queue; room for more listeners than any host has; fragments dropped.
    fn default() -> Self {
        Self { queues: 1, owned_capacity: 65_536, fragments: Fragments::Drop }
    }
}

/// The XDP program in front of the engine, loaded into the kernel.
///
/// A TCP segment for an owned (protocol, address, port) goes to the AF_XDP socket of the queue it arrived on, or is
/// dropped and counted if there is none. So does an ICMP error (destination unreachable, packet too big, time exceeded,
/// parameter problem) that quotes a segment sent from there: its quote must reach to the sequence number, be no fragment,
/// and, in IPv6, have no extension headers. All else is the kernel's, other ICMP and fragments of ICMP among it. VLAN tags
/// (up to two, 802.1Q or 802.1ad) and IPv6 hop-by-hop, routing and destination options (up to eight) are looked through; a
/// VLAN tag that the device strips before XDP sees the frame cannot be.
///
/// Each interface has a shield of its own, since sockets are numbered by queue.
pub struct Shield {
    config: ShieldConfig,
    object: Ebpf,
    sockets: XskMap<MapData>,
    owned: OwnedSet,
    settings: Array<MapData, Settings>,
    counters: PerCpuArray<MapData, u64>,
    /// Which queues have been given a socket; the kernel does not tell.
    served: Vec<bool>,
}

impl Shield {
    /// Loads the program and its maps. Nothing is owned, no queue has a socket, and no interface is touched yet.
    ///
    /// # Errors
    /// [`EbpfError::NotPermitted`], or the kernel's reason to refuse.
    pub fn load(config: &ShieldConfig) -> Result<Self, EbpfError> {
        let mut object = EbpfLoader::new()
            .map_max_entries("sockets", config.queues)
            .map_max_entries("owned_ports", config.owned_capacity)
            .map_max_entries("owned_addresses", config.owned_capacity)
            .load(include_bytes_aligned!(concat!(env!("OUT_DIR"), "/shield.bpf.o")))
            .map_err(EbpfError::load)?;
        let program = object.program_mut("shield").ok_or(EbpfError::Missing("program `shield`"))?;
        let program: &mut Xdp = program.try_into().map_err(EbpfError::program)?;
        program.load().map_err(EbpfError::program)?;
        let mut shield = Self {
            config: *config,
            sockets: take_map(&mut object, "sockets")?,
            owned: OwnedSet::new(
                take_map(&mut object, "owned_ports")?,
                take_map(&mut object, "owned_addresses")?,
                config.owned_capacity,
            ),
            settings: take_map(&mut object, "settings")?,
            counters: take_map(&mut object, "counters")?,
            object,
            served: vec![false; config.queues as usize],
        };
        shield.set_fragments(config.fragments)?;
        Ok(shield)
    }

    /// What the program was loaded with; fragments as last set.
    pub fn config(&self) -> &ShieldConfig {
        &self.config
    }

    /// Gives `queue` its socket, or another one in place of it. The socket must have a receive ring; frames reach it only
    /// once it is bound to this queue of the interface. The kernel takes a socket out by itself when it is closed.
    ///
    /// # Errors
    /// [`EbpfError::NoSuchQueue`], [`EbpfError::NotAnXdpSocket`], or the map's own.
    pub fn set_socket(&mut self, queue: u32, socket: impl AsFd) -> Result<(), EbpfError> {
        let queues = self.config.queues;
        let served = self.served.get_mut(queue as usize).ok_or(EbpfError::NoSuchQueue { queue, queues })?;
        self.sockets.set(queue, socket.as_fd().as_raw_fd(), 0).map_err(|error| match errno(&error) {
            Some(libc::EOPNOTSUPP | libc::EBADF | libc::ENOTSOCK) => EbpfError::NotAnXdpSocket { queue },
            _ => EbpfError::map("sockets", error),
        })?;
        *served = true;
        Ok(())
    }

    /// Takes the port from the kernel, at once and for every frame from now on. False if it was owned already.
    ///
    /// # Errors
    /// [`EbpfError::PortZero`], [`EbpfError::OwnedSetFull`], or the map's own; nothing has changed then.
    pub fn own(&mut self, owned: Owned) -> Result<bool, EbpfError> {
        self.owned.own(owned)
    }

    /// Gives the port back to the kernel. False if it was not owned.
    ///
    /// # Errors
    /// The map's own.
    pub fn disown(&mut self, owned: Owned) -> Result<bool, EbpfError> {
        self.owned.disown(owned)
    }

    /// Takes a range of ports at `address` from the kernel, as [`own`](Self::own) takes one: the source ports of
    /// connections that we open. It costs one map entry, however long it is. Each address, and each family's wildcard, has
    /// at most one range, whatever ports are owned there besides. False if this very range was owned already.
    ///
    /// # Errors
    /// [`EbpfError::PortZero`], [`EbpfError::EmptyPortRange`], [`EbpfError::PortRangeTaken`] if another range is owned
    /// there, [`EbpfError::OwnedSetFull`], or the map's own; nothing has changed then.
    pub fn own_range(
        &mut self,
        protocol: Protocol,
        address: IpAddr,
        ports: RangeInclusive<u16>,
    ) -> Result<bool, EbpfError> {
        self.owned.own_range(protocol, address, ports)
    }

    /// Gives the range at `address` back to the kernel, but for ports of it that are owned by themselves. False if there
    /// was none.
    ///
    /// # Errors
    /// The map's own.
    pub fn disown_range(&mut self, protocol: Protocol, address: IpAddr) -> Result<bool, EbpfError> {
        self.owned.disown_range(protocol, address)
    }

    /// Changes what becomes of fragments, from now on.
    ///
    /// # Errors
    /// The map's own.
    pub fn set_fragments(&mut self, fragments: Fragments) -> Result<(), EbpfError> {
        let settings = Settings::from(fragments);
        self.settings.set(0, settings, 0).map_err(|error| EbpfError::map("settings", error))?;
        self.config.fragments = fragments;
        Ok(())
    }

    /// Attaches the program to the interface called `interface`, in the network namespace of this thread. The attachment
    /// lives as long as the returned value, whether or not the shield does.
    ///
    /// # Errors
    /// [`EbpfError::QueueWithoutSocket`] before every queue has its socket; [`EbpfError::NoSuchInterface`],
    /// [`EbpfError::ForeignProgram`], [`EbpfError::NativeRefused`] (under [`XdpMode::Native`]) and the kernel's other
    /// reasons to refuse.
    pub fn attach(&mut self, interface: &str, mode: XdpMode) -> Result<Attached, EbpfError> {
        if let Some((queue, _)) = (0..).zip(&self.served).find(|(_, served)| !**served) {
            return Err(EbpfError::QueueWithoutSocket { queue });
        }
        attach(self.program()?, interface, mode)
    }

    /// What the program has done so far.
    ///
    /// # Errors
    /// The map's own.
    pub fn counters(&self) -> Result<ShieldCounters, EbpfError> {
        ShieldCounters::read(&self.counters)
    }

    /// What the program would do with `frame` (from the Ethernet header on, at least 14 bytes) if it arrived so, by
    /// BPF_PROG_TEST_RUN. The frame goes nowhere, but it is counted.
    ///
    /// # Errors
    /// The kernel's, if it cannot run the program on such a frame or arrival.
    pub fn judge(&self, frame: &[u8], arrival: Arrival) -> Result<XdpAction, EbpfError> {
        let context = judge::context(frame.len(), arrival);
        let options = TestRunOptions { data_in: Some(frame), ctx_in: Some(&context), ..TestRunOptions::new() };
        let result = self.program()?.test_run(options).map_err(EbpfError::program)?;
        Ok(XdpAction::from(result.return_value))
    }

    fn program(&self) -> Result<&Xdp, EbpfError> {
        let program = self.object.program("shield").ok_or(EbpfError::Missing("program `shield`"))?;
        program.try_into().map_err(EbpfError::program)
    }
}

fn take_map<M: TryFrom<Map, Error = MapError>>(object: &mut Ebpf, name: &'static str) -> Result<M, EbpfError> {
    let map = object.take_map(name).ok_or(EbpfError::Missing(name))?;
    M::try_from(map).map_err(|error| EbpfError::map(name, error))
}

// The thread that changes the owned set need not be the one that loaded or attached.
const fn movable<T: Send + Sync>() {}
const _: () = movable::<Shield>();
const _: () = movable::<Attached>();
