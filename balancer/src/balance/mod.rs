//! Which backend a connection goes to: policies and the health of a pool's backends. No clock, no I/O.
//!
//! A [`Pool`] is asked for a backend ([`Pool::pick`]) and told what came of it ([`Pool::succeeded`], [`Pool::refused`],
//! [`Pool::timed_out`] or [`Pool::abandoned`], and [`Pool::closed`] at the end). It leaves alone for a while what failed, and
//! shares out the rest by one of two policies: [`RoundRobin`] or [`Maglev`]. Nothing is allocated after it was made.

mod health;
mod maglev;
mod pool;
mod round_robin;
mod table_size;
#[cfg(test)]
mod tests;
mod tried;

pub use health::Health;
pub use maglev::Maglev;
pub use pool::{BackendStats, Pool};
pub use round_robin::RoundRobin;
pub use table_size::TableSize;
pub use tried::TriedSet;

/// Backends in one pool, at most: what a byte can number.
pub const MAX_BACKENDS: usize = 1 << u8::BITS;

/// A backend's place in its pool's [`backends`](crate::config::PoolConfig::backends).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BackendIndex(u8);

impl BackendIndex {
    /// The place `index`; `None` from [`MAX_BACKENDS`] on.
    pub fn new(index: usize) -> Option<Self> {
        u8::try_from(index).ok().map(Self)
    }

    /// The index into the pool's backends.
    pub fn get(self) -> usize {
        self.0.into()
    }

    /// The places of the first `count` backends, at most [`MAX_BACKENDS`].
    fn first(count: usize) -> impl Iterator<Item = Self> {
        (0..=u8::MAX).take(count).map(Self)
    }
}
