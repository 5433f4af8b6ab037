//! What can go wrong between us and the kernel.

use std::error::Error;
use std::io;
use std::net::IpAddr;

use crate::AttachedMode;

/// Why a program could not be loaded, attached or changed. The message says whose fault it is and what can be done.
#[derive(Debug, thiserror::Error)]
pub enum EbpfError {
    /// The process may not use BPF.
    #[error("{doing}: not permitted; it needs CAP_BPF and CAP_NET_ADMIN (run as root)")]
    NotPermitted {
        /// What was tried.
        doing: &'static str,
    },
    /// There is no such interface in the network namespace of this thread.
    #[error("interface {interface}: no such device in this network namespace")]
    NoSuchInterface {
        /// The name asked for.
        interface: String,
    },
    /// Somebody else's XDP program is attached; ours would displace it or be displaced.
    #[error(
        "interface {interface}: another XDP program (id {program_id}, {mode}) is attached; `ip link show dev {interface}` \
         shows it, `bpftool link` and `bpftool prog show id {program_id}` whose it is; stop its owner, or remove it with \
         `ip link set dev {interface} {switch} off`",
        switch = mode.ip_switch(),
    )]
    ForeignProgram {
        /// The interface.
        interface: String,
        /// The kernel's number of the program.
        program_id: u32,
        /// How it is attached.
        mode: AttachedMode,
    },
    /// The driver cannot run the program itself.
    #[error("interface {interface}: native XDP refused: {reason} ({source})")]
    NativeRefused {
        /// The interface.
        interface: String,
        /// What the error number means for XDP.
        reason: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel cannot run the program in its generic hook either.
    #[error("interface {interface}: cannot attach the XDP program by bpf_link: {source}")]
    AttachRefused {
        /// The interface.
        interface: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// After attaching, the kernel reports something else in force.
    #[error("interface {interface}: attached program {program_id} as {wanted}, but the kernel reports {found}")]
    NotInForce {
        /// The interface.
        interface: String,
        /// The program that we attached.
        program_id: u32,
        /// The mode that we asked for.
        wanted: AttachedMode,
        /// What the kernel says is attached.
        found: String,
    },
    /// Attaching before every queue has its socket would drop frames that are ours.
    #[error("queue {queue} has no socket yet; give every queue its socket before attaching")]
    QueueWithoutSocket {
        /// The first such queue.
        queue: u32,
    },
    /// The program was loaded for fewer queues.
    #[error("queue {queue} is out of range: the program was loaded for {queues} queues")]
    NoSuchQueue {
        /// The queue asked for.
        queue: u32,
        /// How many there are.
        queues: u32,
    },
    /// The descriptor is not one that a queue can be given.
    #[error("queue {queue}: the descriptor is not an AF_XDP socket with a receive ring")]
    NotAnXdpSocket {
        /// The queue.
        queue: u32,
    },
    /// Port zero cannot be owned.
    #[error("port 0 of {address} cannot be owned")]
    PortZero {
        /// The address it was asked for.
        address: IpAddr,
    },
    /// A range of ports that holds none.
    #[error("ports {first} to {last} of {address} cannot be owned: the range is empty")]
    EmptyPortRange {
        /// The address it was asked for.
        address: IpAddr,
        /// Its first port.
        first: u16,
        /// Its last port, below the first.
        last: u16,
    },
    /// Another range is owned at this address, and there is only one at each.
    #[error("ports {first} to {last} of {address} are owned as its range already; disown that range first")]
    PortRangeTaken {
        /// The address.
        address: IpAddr,
        /// The first port of the range that is owned.
        first: u16,
        /// Its last port.
        last: u16,
    },
    /// The table of guarded listeners is full.
    #[error(
        "{limit} listeners are guarded already, which is all that the program can; own further ports without a guard"
    )]
    TooManyListeners {
        /// How many there can be.
        limit: u32,
    },
    /// A port that is owned cannot be given a listener.
    #[error("port {port} of {address} is owned already; disown it first")]
    PortTaken {
        /// The address.
        address: IpAddr,
        /// The port.
        port: u16,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Entropy(String),
    /// The system does not say how many processors it may have.
    #[error("asking for the possible processors, {path}: {source}")]
    Processors {
        /// The file that says so.
        path: &'static str,
        /// Why it could not be read.
        source: io::Error,
    },
    /// An array map cannot be mapped.
    #[error("map `{map}` cannot be mapped into memory: {source}")]
    Mapping {
        /// The map.
        map: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The owned set is full.
    #[error("{capacity} ports or addresses are owned already, which is the capacity the program was loaded with")]
    OwnedSetFull {
        /// The capacity.
        capacity: u32,
    },
    /// The prefix list is full.
    #[error(
        "{capacity} prefixes are listed already, which is the capacity the program was loaded with; load it with more, or \
         list networks in place of the addresses in them"
    )]
    PrefixListFull {
        /// The capacity.
        capacity: u32,
    },
    /// A map refused an operation.
    #[error("map {map}: {source}")]
    Map {
        /// The map's name in the program.
        map: &'static str,
        /// The refusal.
        source: aya::maps::MapError,
    },
    /// The object could not be read, or the kernel refused it.
    #[error("loading the XDP program: {0}")]
    Load(#[source] aya::EbpfError),
    /// The kernel refused the program, or an operation on it.
    #[error("the XDP program: {0}")]
    Program(#[source] aya::programs::ProgramError),
    /// The object lacks a part that the loader expects: object and loader are of different builds.
    #[error("the XDP object has no {0}")]
    Missing(&'static str),
    /// The kernel could not be asked about interfaces.
    #[error("asking the kernel about interface {interface} over netlink: {source}")]
    Netlink {
        /// The interface.
        interface: String,
        /// What failed.
        source: io::Error,
    },
}

impl EbpfError {
    pub(crate) fn map(map: &'static str, source: aya::maps::MapError) -> Self {
        match errno(&source) {
            Some(libc::EPERM) => Self::NotPermitted { doing: "changing a BPF map" },
            _ => Self::Map { map, source },
        }
    }

    pub(crate) fn load(source: aya::EbpfError) -> Self {
        match errno(&source) {
            Some(libc::EPERM) => Self::NotPermitted { doing: "loading the XDP program" },
            _ => Self::Load(source),
        }
    }

    pub(crate) fn program(source: aya::programs::ProgramError) -> Self {
        match errno(&source) {
            Some(libc::EPERM) => Self::NotPermitted { doing: "loading the XDP program" },
            _ => Self::Program(source),
        }
    }
}

/// The system's error number behind `error`, if there is one.
pub(crate) fn errno(error: &(dyn Error + 'static)) -> Option<i32> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(number) = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return Some(number);
        }
        cause = error.source();
    }
    None
}
