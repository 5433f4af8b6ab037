//! Frames in, frames out.
//!
//! A [`Port`] is one queue of one interface. Frames are owned, move-only values taken from a pool of fixed size; rings
//! take and give them by value; a [`Ledger`] says at any time where each of them is. Nothing here knows TCP.

mod frame;
mod frame_pool;
mod memory_port;
mod port;
mod umem;
mod xsk_port;

pub use frame::Frame;
pub use frame_pool::{FrameBudget, Ledger};
pub use memory_port::{MemoryPort, MemoryPortConfig};
pub use port::{Mode, Modes, Port, PortError, PortStatus};
pub use xsk_port::{XskConfig, XskPort};
