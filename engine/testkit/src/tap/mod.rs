//! The wire as a process: who holds the queues of two TAP devices carries their frames, and does to them what networks do. What
//! is at the ends is real: AF_XDP, the XDP program in the driver, the kernel's own TCP.
//!
//! **What a seed reproduces.** Each direction draws from a source of its own, in the order in which its TCP frames were sent: the
//! n-th one of a direction has the same accidents in every run of a seed, with the bit that is flipped counted from a frame of the
//! same length. Queues are drawn in the order of delivery. **What it does not**: which frame is the n-th. The ends run in real
//! time, and there the scheduler decides what is acknowledged singly, what is sent again, and which of two connections comes first.
//! So a seed replays the weather and not the conversation; a failure leaves a capture of what was said ([`EndReport::save`]).
//!
//! What is not TCP (the kernels' announcements of group memberships, which come whenever they like) passes unharmed and draws
//! nothing.

mod capture;
mod inspector;
mod report;
mod steering;
mod wire;

pub use report::{EndReport, WireReport};
pub use steering::Steering;
pub use wire::{End, EndPlan, Wire};
