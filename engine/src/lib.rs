//! One poll loop per core: connections, timers, hand-over to workers, sockets.
//!
//! [`build()`] joins a [`Port`](synward_nic::Port) and a configuration to three ends: the [`PollLoop`] that a pinned
//! thread drives, the [`SocketCore`] that one worker thread holds, and the [`Observer`] that anyone may ask. The first two
//! share two rings and no lock; the third reads atomics and a bounded mailbox.
//!
//! ```no_run
//! use std::net::SocketAddr;
//! use synward_engine::{BlockingSockets, EngineConfig, ListenConfig, build};
//! use synward_nic::Port;
//!
//! fn echo(port: impl Port + Send + 'static) -> Result<(), Box<dyn std::error::Error>> {
//!     let engine = build(EngineConfig::default(), port)?;
//!     let poll_loop = engine.poll_loop;
//!     std::thread::spawn(move || poll_loop.run()); // until `poll_loop.stopper().stop()`
//!
//!     let mut sockets = BlockingSockets::new(engine.sockets);
//!     let local: SocketAddr = "192.0.2.1:7".parse()?;
//!     let listener = sockets.core().listen(ListenConfig::new(local.into()))?;
//!     loop {
//!         let client = sockets.accept(listener, None)?.socket;
//!         let mut bytes = [0; 4096];
//!         loop {
//!             match sockets.recv(client, &mut bytes, None)? {
//!                 0 => break sockets.core().close(client)?,
//!                 n => sockets.send_all(client, &bytes[..n], None)?,
//!             }
//!         }
//!     }
//! }
//! ```
//!
//! A simulation needs no thread: it calls [`PollLoop::poll_once`] with a time of its own and the [`SocketCore`] in turn.
//! Given equal [`Secrets`], times and frames, equal frames come out.

mod accept_queue;
mod affinity;
mod answers;
mod apply;
mod arrival;
mod bell;
mod build;
mod clock;
mod config;
mod connections;
mod crossing;
mod demux;
mod ends;
mod eventfd;
mod handoff;
mod held;
mod interface_mtu;
mod link_watch;
mod listeners;
mod neighbours;
mod observe;
mod orphans;
mod outbox;
mod parking;
mod path_mtus;
mod poll_loop;
mod readiness;
mod ready;
mod received;
mod registry;
mod requests;
mod rss;
mod run;
mod shard;
mod shield_link;
mod socket;
mod socket_core;
mod socket_error;
mod socket_status;
mod socket_upkeep;
mod source_ports;
mod splice;
mod stats;
mod steering;
mod sync;
mod table_hash;
mod tally;
mod time_waits;
mod timer_wheel;
mod timers;
mod transmit;

pub use build::{Engine, Fleet, Interface, Queue, Workers, build, build_fleet};
pub use clock::monotonic;
pub use config::{BuildError, EngineConfig, ListenConfig, Secrets};
pub use neighbours::{NextHop, NextHops, NoNextHop};
pub use observe::{
    ConnectionRow, Gauges, ListenerRow, Listing, ModesInForce, ObserveError, Observer, Outcomes, Pressure, Snapshot,
};
pub use parking::{BlockingSockets, Sleep, Unparker};
pub use poll_loop::{PollLoop, Stop, Turn};
pub use readiness::{Interest, Ready, Source};
pub use rss::{HashedFields, Rss};
pub use run::RunError;
pub use shield_link::{SHIELD_GRAIN, Shield};
pub use socket::{Accepted, ConnectConfig, Delivery, ListenerId, ShardId, Shutdown, SocketId};
pub use socket_core::SocketCore;
pub use socket_error::SocketError;
pub use socket_status::{News, Progress, Status};
pub use splice::{SpliceEnd, SpliceReport};
pub use tally::Tally;
