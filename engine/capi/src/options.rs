//! Socket options: what may be set on a socket before it has a connection, and what a connection has of it.

mod get;
mod set;
mod value;

use crate::settings::KEEPALIVE;
use std::mem::discriminant;
use std::time::Duration;
use synward_engine::EngineConfig;
use synward_proto::connection::{CongestionAlgorithm, Keepalive, SocketOption};

/// The options of a socket.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// SO_REUSEADDR.
    pub(crate) reuse_address: bool,
    /// SO_LINGER: how long `close` waits; none at all is a reset.
    pub(crate) linger: Option<Duration>,
    /// SO_RCVTIMEO.
    pub(crate) receive_timeout: Option<Duration>,
    /// SO_SNDTIMEO.
    pub(crate) send_timeout: Option<Duration>,
    /// SO_RCVLOWAT.
    low_water: usize,
    /// SO_KEEPALIVE.
    keepalive: bool,
    /// TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT, on or not.
    keepalive_times: Keepalive,
    /// What was set of those that the engine knows, one of each at most.
    set: Vec<SocketOption>,
    /// What holds for those that were not.
    defaults: Defaults,
}

/// What the engine was told when it was opened.
#[derive(Clone, Copy, Debug)]
struct Defaults {
    receive_buffer: u32,
    receive_buffer_max: u32,
    send_buffer: u32,
    nodelay: bool,
    quick_ack: bool,
    fin_wait_2: Duration,
    user_timeout: Option<Duration>,
    congestion: CongestionAlgorithm,
    hop_limit: u8,
}

impl Options {
    /// Those of a new socket.
    pub(crate) fn new(config: &EngineConfig) -> Self {
        Self {
            reuse_address: false,
            linger: None,
            receive_timeout: None,
            send_timeout: None,
            low_water: 1,
            keepalive: config.keepalive.is_some(),
            keepalive_times: config.keepalive.unwrap_or(KEEPALIVE),
            set: Vec::new(),
            defaults: Defaults {
                receive_buffer: config.receive_buffer,
                receive_buffer_max: config.receive_buffer_max.max(2),
                send_buffer: config.send_buffer,
                nodelay: !config.nagle,
                quick_ack: config.quick_acks,
                fin_wait_2: config.fin_wait_2,
                user_timeout: config.user_timeout,
                congestion: config.congestion,
                hop_limit: config.hop_limit,
            },
        }
    }

    /// Those of a connection that a listener with these accepts: all of them, as in Linux.
    pub(crate) fn inherited(&self) -> Self {
        self.clone()
    }

    /// Bytes that must be there before a socket counts as readable.
    pub(crate) fn least_to_read(&self) -> usize {
        self.low_water
    }

    /// What a listener or a connection is told when it is made.
    pub(crate) fn of_engine(&self) -> Vec<SocketOption> {
        self.set.clone()
    }

    /// Keeps a value in place of an earlier one.
    fn keep(&mut self, option: SocketOption) {
        self.set.retain(|kept| discriminant(kept) != discriminant(&option));
        self.set.push(option);
    }

    /// What was set, if anything was, of an option that `get` knows.
    fn find<T>(&self, get: impl Fn(&SocketOption) -> Option<T>) -> Option<T> {
        self.set.iter().find_map(get)
    }
}
