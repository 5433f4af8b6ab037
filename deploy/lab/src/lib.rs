//! A test bed of network namespaces joined by veth pairs, made and cleaned by netlink.
//!
//! Two shapes exist:
//!
//! * [`Pair`]: two namespaces and one veth pair between them. For tests of a driver, a program or the kernel as an oracle.
//! * [`Lab`]: the namespace of the front end, and clients and attackers with veth pairs of their own, all joined by a
//!   bridge in a namespace called `switch`.
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
//! Everything is gone when the value is dropped. What outlives its owner (kill -9) is recorded under
//! `/run/synward/lab` and removed by [`sweep`], which every `up` runs first.

#[cfg(not(target_os = "linux"))]
compile_error!("the lab is made of Linux network namespaces");

mod end;
mod error;
mod host;
mod lab;
mod pair;

pub use end::{End, Offloads};
pub use error::LabError;
pub use host::{Host, InterfaceStats};
pub use lab::{Lab, LabConfig};
pub use pair::{Pair, PairConfig};

/// Whether this process may build a lab: it holds `CAP_NET_ADMIN` and `CAP_SYS_ADMIN`.
///
/// Tests that need the lab ask this and report themselves as skipped, by name, where it is false.
#[must_use]
pub fn root_available() -> bool {
    todo!()
}

/// Removes every lab whose owner is dead, and returns their ids. Persistent labs stay.
///
/// # Errors
/// The first removal that failed; the others were still attempted.
pub fn sweep() -> Result<Vec<String>, LabError> {
    todo!()
}
