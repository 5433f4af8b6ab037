//! Socket options.

use std::time::Duration;
use synward_engine::EngineConfig;

/// The options of a socket.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// SO_REUSEADDR.
    pub(crate) reuse_address: bool,
    /// SO_LINGER.
    pub(crate) linger: Option<Duration>,
    /// SO_RCVTIMEO.
    pub(crate) receive_timeout: Option<Duration>,
    /// SO_SNDTIMEO.
    pub(crate) send_timeout: Option<Duration>,
    /// SO_RCVLOWAT.
    pub(crate) low_water: usize,
}

impl Options {
    /// Those of a new socket.
    pub(crate) fn new(_config: &EngineConfig) -> Self {
        Self { reuse_address: false, linger: None, receive_timeout: None, send_timeout: None, low_water: 1 }
    }

    /// Those of a connection that a listener with these accepts: all of them.
    pub(crate) fn inherited(&self) -> Self {
        self.clone()
    }

    /// Bytes that must be there before a socket counts as readable.
    pub(crate) fn least_to_read(&self) -> usize {
        self.low_water
    }
}
