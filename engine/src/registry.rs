//! Who listens where: known to all workers of an engine, asked only when somebody begins or ends to listen.

use crate::accept_queue::Shared;
use crate::listeners::MAX_LISTENERS;
use crate::socket::ListenerId;
use crate::{ListenConfig, Pressure, Shield, SocketError};
use slab::Slab;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use synward_proto::Endpoint;

/// The listeners of an engine. A lock is good enough: no packet ever waits for it.
#[derive(Debug)]
pub(crate) struct Registry {
    register: Mutex<Register>,
    shields: Arc<[Arc<dyn Shield>]>,
}

#[derive(Debug, Default)]
struct Register {
    listeners: Slab<Registered>,
    next_generation: u32,
}

#[derive(Debug)]
struct Registered {
    generation: u32,
    local: Endpoint,
    /// Whether others may join.
    is_shared: bool,
    shared: Arc<Shared>,
    /// Workers that listen here.
    workers: u32,
}

impl Registry {
    /// Nobody listens yet, behind these shields.
    pub(crate) fn new(shields: Arc<[Arc<dyn Shield>]>) -> Self {
        Self { register: Mutex::default(), shields }
    }

    /// Registers one more worker at `config.local`; the listener's name and what all its workers share.
    ///
    /// # Errors
    /// `AddressInUse` when somebody listens there who does not share; `NoBuffers` when there are too many listeners.
    pub(crate) fn join(&self, config: &ListenConfig, somaxconn: u32) -> Result<(ListenerId, Arc<Shared>), SocketError> {
        let mut register = self.lock();
        let taken = register.listeners.iter_mut().find(|(_, registered)| registered.local == config.local);
        if let Some((index, registered)) = taken {
            if !registered.is_shared || !config.shared {
                return Err(SocketError::AddressInUse);
            }
            registered.workers += 1;
            let id = ListenerId { index: index as u32, generation: registered.generation };
            return Ok((id, Arc::clone(&registered.shared)));
        }
        if register.listeners.len() >= MAX_LISTENERS as usize {
            return Err(SocketError::NoBuffers);
        }
        register.next_generation = register.next_generation.wrapping_add(1);
        let generation = register.next_generation;
        let (local, is_shared) = (config.local, config.shared);
        let shared = Shared::new(local, config.backlog.min(somaxconn), Arc::clone(&self.shields));
        let registered = Registered { generation, local, is_shared, shared: Arc::clone(&shared), workers: 1 };
        let index = register.listeners.insert(registered) as u32;
        Ok((ListenerId { index, generation }, shared))
    }

    /// One worker listens there no more.
    pub(crate) fn leave(&self, listener: ListenerId) {
        let mut register = self.lock();
        let Some(registered) = register.listeners.get_mut(listener.index as usize) else { return };
        if registered.generation == listener.generation {
            registered.workers -= 1;
            if registered.workers == 0 {
                registered.shared.close();
                register.listeners.remove(listener.index as usize);
            }
        }
    }

    /// How the listener at `local` stands, if somebody listens there.
    pub(crate) fn pressure(&self, local: &Endpoint) -> Option<Pressure> {
        let register = self.lock();
        let (_, Registered { shared, .. }) =
            register.listeners.iter().find(|(_, registered)| registered.local == *local)?;
        Some(Pressure {
            last_cookie: shared.last_cookie(),
            // The limits of both queues are one number (see `EngineConfig::listener`).
            syn_queue_limit: shared.limit(),
            accept_queue: shared.len(),
            accept_queue_limit: shared.limit(),
        })
    }

    /// The register is whole between any two statements, so a worker that panicked with the lock held spoils nothing.
    fn lock(&self) -> MutexGuard<'_, Register> {
        self.register.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::Registry;
    use crate::{ListenConfig, SocketError};
    use std::sync::Arc;
    use synward_proto::Endpoint;

    fn at(port: u16, shared: bool) -> ListenConfig {
        let local = Endpoint::new([192, 0, 2, 1].into(), port);
        ListenConfig { backlog: 8, shared, ..ListenConfig::new(local) }
    }

    #[test]
    fn only_those_who_share_meet_and_the_last_to_leave_frees_the_address() {
        let registry = Registry::new(Arc::default());
        let (first, limit) = registry.join(&at(80, true), 4).expect("joins");
        let (second, same) = registry.join(&at(80, true), 4).expect("joins");
        assert_eq!(first, second);
        assert!(Arc::ptr_eq(&limit, &same) && limit.limit() == 4);
        assert_eq!(registry.join(&at(80, false), 4).err(), Some(SocketError::AddressInUse));
        let (other, _) = registry.join(&at(81, false), 4).expect("another port");
        assert_eq!(registry.join(&at(81, true), 4).err(), Some(SocketError::AddressInUse));
        assert_ne!(first.index, other.index);

        registry.leave(first);
        assert!(registry.join(&at(80, false), 4).is_err());
        registry.leave(second);
        let (anew, _) = registry.join(&at(80, false), 4).expect("free again");
        assert_ne!(anew, first, "a name is never used twice");
        registry.leave(first);
        assert!(registry.join(&at(80, false), 4).is_err(), "an old name frees nothing");
    }
}
