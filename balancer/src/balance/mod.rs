//! Which backend a connection goes to: pure policies and the health of a pool's backends. No clock, no I/O.

/// Backends in one pool, at most.
pub const MAX_BACKENDS: usize = 256;
