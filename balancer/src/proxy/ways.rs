//! How backends are reached: through which interface, from which address, and by which of its shards.

use std::net::IpAddr;
use synward_engine::{NoNextHop, ShardId};
use synward_proto::Link;

/// Knows the next hops of backends.
pub trait Routes {
    /// How a backend is reached now. Asked for every connection, on the packet path: it must not wait.
    ///
    /// # Errors
    /// Why it cannot be reached now.
    fn route(&self, backend: IpAddr) -> Result<Route, NoRoute>;
}

/// How a backend is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    /// The index of the interface among those of the engine.
    pub interface: usize,
    /// The address to connect from where the interface has none of its own for it.
    pub source: IpAddr,
    /// The way to the next hop.
    pub link: Link,
}

/// Why a backend cannot be reached now.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoRoute {
    /// There is no next hop.
    #[error(transparent)]
    NextHop(#[from] NoNextHop),
    /// The next hop is on an interface of which the engine has no queues.
    #[error("{backend}: the route leads over {interface}, which has no [[interface]] of its own")]
    NotServed {
        /// The backend.
        backend: IpAddr,
        /// The name of the interface.
        interface: String,
    },
}

impl NoRoute {
    /// Whether it is to be expected that there soon is a way: the kernel takes routes away with a link and is told again of
    /// them with it, and looks for a neighbour for a while.
    pub(super) const fn may_pass(&self) -> bool {
        matches!(self, Self::NextHop(NoNextHop::NoRoute { .. } | NoNextHop::Unresolved { .. }))
    }
}

/// An interface of the engine, as connections to backends use it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackendInterface {
    /// Its shards (one of [`Fleet::shards`](synward_engine::Fleet)).
    pub shards: Vec<ShardId>,
    /// The addresses to connect from, in turn; without any of a backend's family, what the route says.
    pub source_addresses: Vec<IpAddr>,
}

/// All ways to backends, and whose turn it is.
pub struct Ways {
    routes: Box<dyn Routes + Send>,
    interfaces: Box<[InTurn]>,
}

/// An interface whose shards and addresses are used in turn.
struct InTurn {
    shards: Box<[ShardId]>,
    next_shard: usize,
    v4: Box<[IpAddr]>,
    v6: Box<[IpAddr]>,
    next_source: usize,
}

/// The source addresses that an attempt may use: those of its interface, each once, from one whose turn it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Sources {
    first: usize,
    used: usize,
}

/// Where an attempt starts from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Start {
    pub(super) shard: ShardId,
    pub(super) source: IpAddr,
    pub(super) link: Link,
}

impl Ways {
    /// Ways over the interfaces of an engine, in the engine's order.
    pub fn new(routes: Box<dyn Routes + Send>, interfaces: Vec<BackendInterface>) -> Self {
        Self { routes, interfaces: interfaces.into_iter().map(InTurn::new).collect() }
    }

    /// Where a connection to `backend` starts from when its client is of the shard `near`: that one if it is of the backend's
    /// interface, else its shards in turn. `None` when every source has been used.
    ///
    /// # Errors
    /// The backend cannot be reached now.
    pub(super) fn start(
        &mut self,
        backend: IpAddr,
        near: Option<ShardId>,
        sources: &mut Sources,
    ) -> Result<Option<Start>, NoRoute> {
        let Route { interface, source, link } = self.routes.route(backend)?;
        let not_served = || NoRoute::NotServed { backend, interface: format!("interface {interface}") };
        let interface = self.interfaces.get_mut(interface).ok_or_else(not_served)?;
        if sources.used == 0 {
            interface.next_source = interface.next_source.wrapping_add(1);
            sources.first = interface.next_source;
        }
        let own = if backend.is_ipv4() { &interface.v4 } else { &interface.v6 };
        let source = match own.len() {
            0 if sources.used == 0 => source,
            count if sources.used < count => own[sources.first.wrapping_add(sources.used) % count],
            _ => return Ok(None),
        };
        sources.used += 1;
        let shard = interface.shard(near).ok_or_else(not_served)?;
        Ok(Some(Start { shard, source, link }))
    }
}

impl InTurn {
    fn new(BackendInterface { shards, source_addresses }: BackendInterface) -> Self {
        let (v4, v6): (Vec<_>, Vec<_>) = source_addresses.into_iter().partition(IpAddr::is_ipv4);
        Self { shards: shards.into(), next_shard: 0, v4: v4.into(), v6: v6.into(), next_source: 0 }
    }

    fn shard(&mut self, near: Option<ShardId>) -> Option<ShardId> {
        let is_near = |&&shard: &&ShardId| Some(shard) == near;
        if let Some(&shard) = self.shards.iter().find(is_near) {
            return Some(shard);
        }
        self.next_shard = self.next_shard.wrapping_add(1);
        self.shards.get(self.next_shard.checked_rem(self.shards.len())?).copied()
    }
}
