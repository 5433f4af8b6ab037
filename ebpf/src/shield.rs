//! The shield: loaded, told what is ours and which socket serves which queue, attached.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::Duration;

use aya::maps::{Array, Map, MapData, MapError, PerCpuArray, XskMap};
use aya::programs::{TestRun, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader, include_bytes_aligned};

use crate::attach::attach;
use crate::error::errno;
use crate::judge::{self, Arrival, XdpAction};
use crate::limits::LimitsInForce;
use crate::listeners::{self, Listeners};
use crate::mapped::{Mapped, Shared};
use crate::maps::{COOKIE_KEYS, CookieKey, Settings};
use crate::owned_set::OwnedSet;
use crate::prefix_list::{CoverKeys, PrefixList};
use crate::samples::Samples;
use crate::{
    Attached, CookieOffer, EbpfError, Fragments, Heartbeats, KnownFlows, Limits, ListenerCounts, ListenerId,
    ListenerStates, OnStall, Owned, Protocol, Sample, ShieldCounters, XdpMode,
};

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
    /// How many flows are to be known at once. The filter is sized for half load, about four bytes a flow; with more, buckets
    /// fill up, and those that are full pass everything.
    pub flows: u32,
    /// Whether a SYN may carry the unfinished checksum that a sending kernel leaves on a virtual device (the sum of the
    /// pseudo-header).
    pub unfinished_checksums: bool,
    /// For how many ticks of 16 s a cookie key is in force; at least one.
    pub ticks_per_key: u32,
    /// How many prefixes can be listed at once, of both families together. Only those that are take memory.
    pub prefixes: u32,
}

impl Default for ShieldConfig {
    /// One queue; room for more ports than any host has; fragments dropped; 65,536 flows; whole checksums; a key for ten
    /// minutes; more prefixes than most lists have.
    fn default() -> Self {
        Self {
            queues: 1,
            owned_capacity: 65_536,
            fragments: Fragments::Drop,
            flows: 65_536,
            unfinished_checksums: false,
            ticks_per_key: 37,
            prefixes: 262_144,
        }
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
    /// What is in `settings`.
    set: Settings,
    counters: PerCpuArray<MapData, u64>,
    listeners: Listeners,
    flows: Arc<KnownFlows>,
    heartbeats: Arc<Heartbeats>,
    cookie_keys: Array<MapData, CookieKey>,
    prefix_list: PrefixList,
    limits: Array<MapData, LimitsInForce>,
    samples: Samples,
    /// Which queues have been given a socket; the kernel does not tell.
    served: Vec<bool>,
}

impl Shield {
    /// Loads the program and its maps. Nothing is owned, no queue has a socket, and no interface is touched yet.
    ///
    /// # Errors
    /// [`EbpfError::NotPermitted`], or the kernel's reason to refuse.
    pub fn load(config: &ShieldConfig) -> Result<Self, EbpfError> {
        let (buckets, flow_keys) = (KnownFlows::buckets_for(config.flows), random_keys()?);
        let (cover_keys, bucket_keys) = (CoverKeys::new(random_keys()?), random_keys::<4>()?.map(|key| key | 1));
        let rings = Samples::rings()?;
        let mut object = EbpfLoader::new()
            .map_max_entries("sockets", config.queues)
            .map_max_entries("heartbeats", config.queues)
            .map_max_entries("waiting_since", config.queues)
            .map_max_entries("queue_replies", config.queues)
            .map_max_entries("samples", rings)
            .map_max_entries("owned_ports", config.owned_capacity)
            .map_max_entries("owned_addresses", config.owned_capacity)
            .map_max_entries("flows", buckets)
            .map_max_entries("listed_ipv4", PrefixList::trie_entries(config.prefixes))
            .map_max_entries("listed_ipv6", PrefixList::trie_entries(config.prefixes))
            .override_global("flow_bucket_mask", &(buckets - 1), true)
            .override_global("flow_keys", &flow_keys[..], true)
            .override_global("cover_keys", &cover_keys.words()[..], true)
            .override_global("bucket_keys", &bucket_keys[..], true)
            .override_global("ticks_per_key", &config.ticks_per_key.max(1), true)
            .override_global("allow_unfinished_checksums", &u32::from(config.unfinished_checksums), true)
            .load(include_bytes_aligned!(concat!(env!("OUT_DIR"), "/shield.bpf.o")))
            .map_err(EbpfError::load)?;
        let program = object.program_mut("shield").ok_or(EbpfError::Missing("program `shield`"))?;
        let program: &mut Xdp = program.try_into().map_err(EbpfError::program)?;
        program.load().map_err(EbpfError::program)?;
        let flows = map_array(&object, "flows", buckets)?;
        let places = map_array(&object, "listeners", listeners::PLACES)?;
        let mut shield = Self {
            config: *config,
            sockets: take_map(&mut object, "sockets")?,
            owned: OwnedSet::new(
                take_map(&mut object, "owned_ports")?,
                take_map(&mut object, "owned_addresses")?,
                config.owned_capacity,
            ),
            settings: take_map(&mut object, "settings")?,
            set: Settings { pass_fragments: 0, pass_stalled: 0, stall_limit: 0, owned_generation: 1 },
            counters: take_map(&mut object, "counters")?,
            listeners: Listeners::new(places, take_map(&mut object, "listener_counts")?),
            flows: Arc::new(KnownFlows::new(flows, flow_keys)),
            heartbeats: Arc::new(Heartbeats::new(map_array(&object, "heartbeats", config.queues)?)),
            cookie_keys: take_map(&mut object, "cookie_keys")?,
            prefix_list: PrefixList::take(&mut object, config.prefixes, cover_keys)?,
            limits: take_map(&mut object, "limits")?,
            samples: Samples::take(&object, rings)?,
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
        self.changing_owned(|owned_set| owned_set.own(owned, listeners::UNGUARDED))
    }

    /// Takes the port from the kernel as [`own`](Self::own) does, and guards it: nonsense is refused at once; while its shield is
    /// [up](ListenerStates::set_up), SYNs are answered with cookies that offer what `offer` says, and besides them only segments
    /// of known flows and those that bring a cookie home reach the engine.
    ///
    /// # Errors
    /// [`EbpfError::PortTaken`], [`EbpfError::TooManyListeners`], and those of `own`; nothing has changed then.
    pub fn own_listener(&mut self, owned: Owned, offer: &CookieOffer) -> Result<ListenerId, EbpfError> {
        let listener = self.listeners.add(offer)?;
        let outcome = match self.changing_owned(|owned_set| owned_set.own(owned, listener.0)) {
            Ok(true) => return Ok(listener),
            Ok(false) => EbpfError::PortTaken { address: owned.address, port: owned.port },
            Err(error) => error,
        };
        self.listeners.remove(listener.0);
        Err(outcome)
    }

    /// Gives the port back to the kernel. False if it was not owned.
    ///
    /// # Errors
    /// The map's own.
    pub fn disown(&mut self, owned: Owned) -> Result<bool, EbpfError> {
        let listener = self.changing_owned(|owned_set| owned_set.disown(owned))?;
        if let Some(place) = listener {
            self.listeners.remove(place);
        }
        Ok(listener.is_some())
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
        self.changing_owned(|owned_set| owned_set.own_range(protocol, address, ports))
    }

    /// Gives the range at `address` back to the kernel, but for ports of it that are owned by themselves. False if there
    /// was none.
    ///
    /// # Errors
    /// The map's own.
    pub fn disown_range(&mut self, protocol: Protocol, address: IpAddr) -> Result<bool, EbpfError> {
        self.changing_owned(|owned_set| owned_set.disown_range(protocol, address))
    }

    /// Changes what becomes of fragments, from now on.
    ///
    /// # Errors
    /// The map's own.
    pub fn set_fragments(&mut self, fragments: Fragments) -> Result<(), EbpfError> {
        self.change_settings(Settings { pass_fragments: u32::from(fragments == Fragments::Pass), ..self.set })?;
        self.config.fragments = fragments;
        Ok(())
    }

    /// From now on, a poll loop that has not [turned](Heartbeats::beat) for `limit` while a frame waits for it counts as stalled,
    /// and no frame is handed to it until it turns again. `None`: none ever does.
    ///
    /// # Errors
    /// The map's own.
    pub fn set_stall(&mut self, limit: Option<Duration>, action: OnStall) -> Result<(), EbpfError> {
        let limit = limit.map_or(0, |limit| u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX).max(1));
        let pass_stalled = u32::from(action == OnStall::Pass);
        self.change_settings(Settings { pass_stalled, stall_limit: limit, ..self.set })
    }

    /// Changes what is owned; then the program forgets what it remembers of it.
    fn changing_owned<T>(
        &mut self,
        change: impl FnOnce(&mut OwnedSet) -> Result<T, EbpfError>,
    ) -> Result<T, EbpfError> {
        let outcome = change(&mut self.owned)?;
        self.change_settings(Settings { owned_generation: self.set.owned_generation + 1, ..self.set })?;
        Ok(outcome)
    }

    fn change_settings(&mut self, settings: Settings) -> Result<(), EbpfError> {
        self.settings.set(0, settings, 0).map_err(|error| EbpfError::map("settings", error))?;
        self.set = settings;
        Ok(())
    }

    /// Publishes the cookie key of an epoch: a tick of 16 s belongs to the epoch tick / `ticks_per_key`. A cookie may be minted in
    /// the present epoch and checked in the next, so those of the last, the present and the coming one are wanted; without its
    /// key, a SYN goes to the engine. No key that is in use changes, for each has a place of its own.
    ///
    /// # Errors
    /// The map's own.
    pub fn set_cookie_key(&mut self, epoch: u32, key: &[u8; 16]) -> Result<(), EbpfError> {
        let place = epoch % COOKIE_KEYS;
        self.cookie_keys.set(place, CookieKey::new(epoch, key), 0).map_err(|error| EbpfError::map("cookie_keys", error))
    }

    /// The flows that pass while a shield is up.
    pub fn flows(&self) -> Arc<KnownFlows> {
        Arc::clone(&self.flows)
    }

    /// The state of guarded listeners.
    pub fn listeners(&self) -> Arc<ListenerStates> {
        self.listeners.states()
    }

    /// The signs of life of the poll loops.
    pub fn heartbeats(&self) -> Arc<Heartbeats> {
        Arc::clone(&self.heartbeats)
    }

    /// What the program has counted at a guarded listener, since the program was loaded or the listener's place was another's.
    ///
    /// # Errors
    /// The map's own.
    pub fn listener_counts(&self, listener: ListenerId) -> Result<ListenerCounts, EbpfError> {
        self.listeners.counts(listener)
    }

    /// The clients of guarded listeners that are dropped, or let past the limits.
    pub fn prefix_list(&mut self) -> &mut PrefixList {
        &mut self.prefix_list
    }

    /// Limits the SYNs and the unproved replies of guarded listeners so, from now on. At first, nothing is limited.
    ///
    /// # Errors
    /// The map's own.
    pub fn set_limits(&mut self, limits: &Limits) -> Result<(), EbpfError> {
        let in_force = LimitsInForce::new(limits, self.config.queues);
        self.limits.set(0, in_force, 0).map_err(|error| EbpfError::map("limits", error))
    }

    /// Samples of those who sent to guarded listeners since the last call: who was refused, who was answered with a cookie, and
    /// who brought one home. Without a system call; what is not taken in time is written over, and counted among what is.
    pub fn take_samples(&mut self) -> Vec<Sample> {
        self.samples.take_new()
    }

    /// Attaches the program to the interface called `interface`, in the network namespace of this thread. The attachment
    /// lives as long as the returned value, whether or not the shield does.
    ///
    /// # Errors
    /// [`EbpfError::QueueWithoutSocket`] before every queue has its socket; [`EbpfError::NoSuchInterface`],
    /// [`EbpfError::ForeignProgram`], [`EbpfError::NativeRefused`] (under [`XdpMode::Native`]) and the kernel's other
    /// reasons to refuse.
    pub fn attach(&mut self, interface: &str, mode: XdpMode) -> Result<Attached, EbpfError> {
        self.check_sockets()?;
        attach(self.program()?, interface, mode)
    }

    /// Takes the place of the shield that is `attached`, at once: each frame meets the one or the other, and none is lost. The
    /// sockets of the other go on until they are closed; what it knows of flows, listeners and lists, this one must know already.
    ///
    /// # Errors
    /// [`EbpfError::QueueWithoutSocket`] before every queue has its socket, and the kernel's reasons to refuse; the other program
    /// is in force then.
    pub fn replace(&mut self, attached: &mut Attached) -> Result<(), EbpfError> {
        self.check_sockets()?;
        attached.replace(self.program()?)
    }

    fn check_sockets(&self) -> Result<(), EbpfError> {
        match (0..).zip(&self.served).find(|(_, served)| !**served) {
            Some((queue, _)) => Err(EbpfError::QueueWithoutSocket { queue }),
            None => Ok(()),
        }
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
        Ok(self.run(frame, arrival)?.0)
    }

    /// As [`judge`](Self::judge), and the frame as the program leaves it.
    ///
    /// # Errors
    /// As [`judge`](Self::judge).
    pub fn run(&self, frame: &[u8], arrival: Arrival) -> Result<(XdpAction, Vec<u8>), EbpfError> {
        let context = judge::context(frame.len(), arrival);
        let mut out = vec![0; frame.len()];
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ctx_in: Some(&context),
            ..TestRunOptions::new()
        };
        let result = self.program()?.test_run(options).map_err(EbpfError::program)?;
        out.truncate(result.data_size_out as usize);
        Ok((XdpAction::from(result.return_value), out))
    }

    fn program(&self) -> Result<&Xdp, EbpfError> {
        let program = self.object.program("shield").ok_or(EbpfError::Missing("program `shield`"))?;
        program.try_into().map_err(EbpfError::program)
    }
}

/// Takes a map out of the object.
pub(crate) fn take_map<M: TryFrom<Map, Error = MapError>>(
    object: &mut Ebpf,
    name: &'static str,
) -> Result<M, EbpfError> {
    let map = object.take_map(name).ok_or(EbpfError::Missing(name))?;
    M::try_from(map).map_err(|error| EbpfError::map(name, error))
}

// The thread that changes the owned set need not be the one that loaded or attached.
const fn movable<T: Send + Sync>() {}
const _: () = movable::<Shield>();
const _: () = movable::<Attached>();

/// Maps an array of the object into memory.
pub(crate) fn map_array<T: Shared>(object: &Ebpf, name: &'static str, len: u32) -> Result<Mapped<T>, EbpfError> {
    let Some(Map::Array(map)) = object.map(name) else { return Err(EbpfError::Missing(name)) };
    Mapped::new(map.fd(), len as usize).map_err(|source| EbpfError::Mapping { map: name, source })
}

/// Keys that nobody else knows.
fn random_keys<const COUNT: usize>() -> Result<[u64; COUNT], EbpfError> {
    let mut keys = [0; COUNT];
    for key in &mut keys {
        *key = getrandom::u64().map_err(|error| EbpfError::Entropy(error.to_string()))?;
    }
    Ok(keys)
}
