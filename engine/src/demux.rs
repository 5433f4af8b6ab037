//! Whose segment it is.

use crate::connections::Slot;
use crate::shard::Shard;
use synward_proto::Tuple;

/// Who takes a segment. Each but nobody is named by its index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Route {
    /// A connection.
    Connection(u32),
    /// An entry in TIME-WAIT.
    TimeWait(u32),
    /// A listener, half-open connections included.
    Listener(u32),
    /// Nobody.
    Nobody,
}

impl Shard {
    /// Finds who takes segments of `tuple`: a connection before a listener, as in Linux (`__inet_lookup`).
    pub(crate) fn route(&self, tuple: &Tuple) -> Route {
        match self.connections.find(tuple) {
            Some(Slot::Connection(index)) => Route::Connection(index),
            Some(Slot::TimeWait(index)) => Route::TimeWait(index),
            None => self.route_to_listener(tuple),
        }
    }

    /// Finds who takes segments of `tuple` when there is no connection.
    pub(crate) fn route_to_listener(&self, tuple: &Tuple) -> Route {
        self.listeners.find(&tuple.local).map_or(Route::Nobody, Route::Listener)
    }
}
