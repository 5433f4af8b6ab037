//! One client, and how far it has come.

use super::relay::Relay;
use super::ways::Sources;
use crate::balance::{BackendIndex, TriedSet};
use synward_engine::{Accepted, SocketId};
use synward_proto::{Instant, Tuple};

/// A client.
#[derive(Debug)]
pub(super) struct Session {
    /// The index of its listener.
    pub(super) listener: usize,
    pub(super) client: SocketId,
    /// Its connection, as seen from here.
    pub(super) tuple: Tuple,
    /// The backends that it has been to.
    pub(super) tried: TriedSet,
    pub(super) stage: Stage,
    /// Until when all backends are tried again; set when the way to one was missing, or its answer.
    pub(super) patient_until: Option<Instant>,
    /// Under which it stands among the deadlines.
    pub(super) deadline: Option<Instant>,
}

/// How far it has come.
#[derive(Debug)]
pub(super) enum Stage {
    /// A backend is being looked for; or, where no attempt is made, all will be tried again.
    Connecting(Option<Attempt>),
    /// The worker carries bytes between it and its backend.
    Relayed(Relay),
    /// Its shard carries bytes between it and this backend.
    Spliced(BackendIndex),
}

/// An attempt to reach a backend.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub(super) backend: BackendIndex,
    /// None while there is no room for the request.
    pub(super) socket: Option<SocketId>,
    /// The source addresses that it may use, and has used.
    pub(super) sources: Sources,
}

impl Session {
    /// A client that was accepted just now.
    pub(super) fn new(listener: usize, Accepted { socket, local, peer }: Accepted) -> Self {
        Self {
            listener,
            client: socket,
            tuple: Tuple { local, remote: peer },
            tried: TriedSet::default(),
            stage: Stage::Connecting(None),
            patient_until: None,
            deadline: None,
        }
    }
}

impl Stage {
    /// The socket towards the backend, if there is one.
    pub(super) fn backend_socket(&self) -> Option<SocketId> {
        match self {
            Self::Connecting(attempt) => attempt.as_ref().and_then(|attempt| attempt.socket),
            Self::Relayed(relay) => Some(relay.backend_socket()),
            Self::Spliced(_) => None,
        }
    }
}
