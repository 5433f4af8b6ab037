//! Frames in, frames out.
//!
//! A [`Port`] is one queue of one interface. Frames are owned, move-only values taken from a pool of fixed size; rings
//! take and give them by value; a [`Ledger`] says at any time where each of them is. Nothing here knows TCP.
//!
//! ```
//! use std::collections::VecDeque;
//! use synward_nic::{MemoryPort, MemoryPortConfig, Port};
//!
//! let (mut port, mut wire) = MemoryPort::with_wire(MemoryPortConfig::default())?;
//! port.refill();
//! wire.push(b"ping");
//!
//! let mut frames = VecDeque::new();
//! port.rx_burst(&mut frames, 64);
//! for frame in &mut frames {
//!     frame.buffer_mut()[..6].copy_from_slice(b"answer");
//!     frame.set_len(6);
//! }
//! port.tx_burst(&mut frames);
//! port.reclaim();
//!
//! assert_eq!(wire.take().as_deref(), Some(&b"answer"[..]));
//! assert!(port.ledger().is_balanced());
//! # Ok::<(), synward_nic::PortError>(())
//! ```

mod frame;
mod frame_budget;
mod frame_pool;
mod frame_return;
mod ledger;
mod memory_port;
mod port;
mod queues;
mod sync;
mod umem;
mod xsk_config;
mod xsk_port;
mod xsk_ring;
mod zero_copy;

pub use frame::{Frame, LentFrame};
pub use frame_budget::FrameBudget;
pub use ledger::Ledger;
pub use memory_port::{MemoryFaults, MemoryFeed, MemoryPort, MemoryPortConfig, MemoryWire};
pub use port::{Mode, Modes, Port, PortError, PortStatistics, PortStatus};
pub use queues::receive_queues;
pub use xsk_config::{BusyPoll, ModeDemand, XskConfig};
pub use xsk_port::XskPort;
