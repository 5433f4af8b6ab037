//! What C calls.
//!
//! Each function passes on what its caller promised: a pointer is NULL or points to as much memory as the call says, for as
//! long as the call lasts, and nobody else touches it meanwhile.

#![expect(clippy::missing_safety_doc, reason = "the promise is one for all of them, and stands above")]

mod engine;
mod events;
mod options;
mod sockets;
mod step;
mod transfer;

pub use engine::*;
pub use events::*;
pub use options::*;
pub use sockets::*;
pub use step::*;
pub use transfer::*;
