//! A test bed of network namespaces joined by veth pairs, made and cleaned by netlink.
//!
//! Four shapes exist:
//!
//! * [`Pair`]: two namespaces and one veth pair between them. For tests of a driver, of a program, and of the kernel as an
//!   oracle.
//! * [`RoutedPair`]: the same with a router between them, which can lose packets either way, and which tells of those that are
//!   too large for the second link.
//! * [`TapPair`]: two namespaces with a TAP device in each, whose queues the caller holds: the caller is the wire.
//! * [`Lab`]: the namespace of the front end, and clients, attackers and backends with veth pairs of their own, joined by
//!   bridges in a namespace called `switch`: by one, or by one for each role ([`FrontWiring`]).
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use synward_lab::{Lab, LabConfig};
//! let lab = Lab::up(&LabConfig::default())?;
//! let url = format!("http://{}/", lab.front().ipv4());
//! let fetched = lab.clients()[0].command("curl").arg(url).output()?;
//! # Ok(()) }
//! ```
//!
//! Everything is gone when the value is dropped, and on Ctrl-C if the binary calls [`take_down_on_signals`]. What outlives
//! its owner (kill -9) is on record under `/run/synward/lab` and removed by [`sweep`], which every `up` runs first.

#[cfg(not(target_os = "linux"))]
compile_error!("the lab is made of Linux network namespaces");

mod address;
mod bed;
mod counters;
mod end;
mod error;
mod ethtool;
mod host;
mod interface;
mod lab;
mod link;
mod loss;
mod namespace;
mod netlink;
mod packet;
mod pair;
pub mod plan;
mod process;
mod role;
mod routed;
mod signals;
mod state;
mod tap;
mod tap_pair;
mod topology;
mod xdp;

pub use bed::{sweep, take_down};
pub use end::{End, Offloads};
pub use error::LabError;
pub use host::Host;
pub use interface::{Interface, InterfaceStats};
pub use lab::{FrontWiring, Lab, LabConfig};
pub use packet::{PacketSocket, send_frame};
pub use pair::{Pair, PairConfig};
pub use process::{Owner, root_available};
pub use role::{MOST_FAR_HOSTS, Role, SPOOFED_V4, SPOOFED_V6};
pub use routed::{RoutedPair, RoutedPairConfig};
pub use signals::take_down_on_signals;
pub use state::{Record, list};
pub use tap_pair::{TapPair, TapPairConfig, TapQueues};
