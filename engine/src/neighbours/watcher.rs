//! The way to every destination, looked up again whenever the kernel tells of a change.

use super::heard::Heard;
use super::kernel::Kernel;
use super::objects::{Neighbour, Route};
use super::{NextHop, NoNextHop};
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use synward_proto::Link;

/// What is known about a destination.
pub(super) type Outcome = Result<NextHop, NoNextHop>;

/// The destinations and their ways. Nothing is derived from the news themselves: they only say what to look up again, so
/// what is known cannot drift from what the kernel would do.
#[derive(Debug)]
pub(super) struct Watcher {
    kernel: Kernel,
    ways: BTreeMap<IpAddr, Way>,
}

/// The way to one destination.
#[derive(Debug)]
struct Way {
    /// Over which neighbour; `None` where there is no route.
    neighbour: Option<Neighbour>,
    /// Whether the kernel must be reminded of the neighbour.
    reminders: bool,
    outcome: Outcome,
}

impl Way {
    fn none(why: NoNextHop) -> Self {
        Self { neighbour: None, reminders: false, outcome: Err(why) }
    }
}

impl Watcher {
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self { kernel: Kernel::open()?, ways: BTreeMap::new() })
    }

    /// Begins to watch a destination, and says what is known about it; `None` when it is watched already.
    pub(super) fn add(&mut self, destination: IpAddr) -> io::Result<Option<Outcome>> {
        if self.ways.contains_key(&destination) {
            return Ok(None);
        }
        let way = look_up(&mut self.kernel, destination)
            .map_err(|error| io::Error::new(error.kind(), format!("the next hop of {destination}: {error}")))?;
        let outcome = way.outcome.clone();
        self.ways.insert(destination, way);
        Ok(Some(outcome))
    }

    /// Forgets a destination, and its neighbour unless another destination needs it.
    pub(super) fn remove(&mut self, destination: IpAddr) {
        if let Some(way) = self.ways.remove(&destination) {
            self.abandon(way.neighbour);
        }
    }

    /// Forgets all destinations.
    pub(super) fn clear(&mut self) {
        while let Some((_, way)) = self.ways.pop_first() {
            self.abandon(way.neighbour);
        }
    }

    /// Looks up what the news concern, and returns what has become of the destinations whose outcome changed.
    pub(super) fn refresh(&mut self, heard: &Heard) -> Vec<(IpAddr, Outcome)> {
        let concerned = self.ways.iter().filter(|&(&destination, way)| heard.concerns(destination, way.neighbour));
        let concerned: Vec<IpAddr> = concerned.map(|(&destination, _)| destination).collect();
        concerned.into_iter().filter_map(|destination| Some((destination, self.refresh_one(destination)?))).collect()
    }

    /// Whether some neighbour has to be asked for again and again.
    pub(super) fn needs_reminders(&self) -> bool {
        self.ways.values().any(|way| way.reminders)
    }

    /// Why some destinations cannot be reached now.
    pub(super) fn missing(&self) -> impl Iterator<Item = &NoNextHop> {
        self.ways.values().filter_map(|way| way.outcome.as_ref().err())
    }

    fn refresh_one(&mut self, destination: IpAddr) -> Option<Outcome> {
        let way = match look_up(&mut self.kernel, destination) {
            Ok(way) => way,
            Err(error) => {
                tracing::warn!(%destination, %error, "its next hop cannot be looked up");
                return None;
            }
        };
        let (neighbour, outcome) = (way.neighbour, way.outcome.clone());
        let before = self.ways.insert(destination, way)?;
        if before.neighbour != neighbour {
            self.abandon(before.neighbour);
        }
        (before.outcome != outcome).then_some(outcome)
    }

    fn abandon(&mut self, neighbour: Option<Neighbour>) {
        let Some(neighbour) = neighbour else { return };
        if self.ways.values().any(|way| way.neighbour == Some(neighbour)) {
            return;
        }
        if let Err(error) = self.kernel.release(neighbour) {
            tracing::warn!(address = %neighbour.address, %error, "the kernel keeps resolving a neighbour of no use");
        }
    }
}

fn look_up(kernel: &mut Kernel, destination: IpAddr) -> io::Result<Way> {
    if matches!(destination, IpAddr::V6(address) if address.is_unicast_link_local()) {
        return Ok(Way::none(NoNextHop::NoRoute { destination })); // nothing says on which link
    }
    let (index, gateway, source, route_mtu) = match kernel.route(destination)? {
        Route::Unicast { interface, gateway, source, mtu } => (interface, gateway, source, mtu),
        Route::Local => return Ok(Way::none(NoNextHop::Local { destination })),
        Route::None => return Ok(Way::none(NoNextHop::NoRoute { destination })),
    };
    let Some(interface) = kernel.interface(index)? else { return Ok(Way::none(NoNextHop::NoRoute { destination })) };
    let Some(local) = interface.mac else {
        return Ok(Way::none(NoNextHop::NotEthernet { destination, interface: interface.name }));
    };
    let neighbour = Neighbour { interface: index, address: gateway.unwrap_or(destination) };
    let entry = kernel.keep(neighbour)?;
    let outcome = match entry.and_then(|entry| entry.resolved()) {
        Some(remote) => Ok(NextHop {
            interface: index,
            mtu: interface.mtu_for(destination).min(route_mtu.unwrap_or(u32::MAX)),
            name: interface.name,
            source,
            link: Link { local, remote, outer: None, inner: None },
        }),
        None => Err(NoNextHop::Unresolved { destination, neighbour: neighbour.address, interface: interface.name }),
    };
    let reminders = entry.is_none_or(|entry| entry.wants_reminders());
    Ok(Way { neighbour: Some(neighbour), reminders, outcome })
}
