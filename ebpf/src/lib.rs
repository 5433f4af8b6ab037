//! The XDP program in front of the engine, and its loader.
//!
//! [`Shield`] takes from the kernel exactly the TCP segments that belong to the engine, and the ICMP errors about those that
//! the engine has sent, and hands them to the AF_XDP socket of the queue they arrived on; everything else stays with the
//! kernel. [`PassProgram`] passes everything: the
//! far end of a veth pair needs some program to receive at full speed.
//!
//! Programs are attached by `bpf_link` only, so that they are gone with the process that attached them. The kernel must
//! be 5.11 or newer (`bpf_link` for XDP, BPF memory no longer under RLIMIT_MEMLOCK); loading needs CAP_BPF and
//! CAP_NET_ADMIN.
//!
//! Interfaces are looked up in the network namespace of the calling thread.

mod attach;
mod counters;
mod error;
mod flow_bucket;
mod flows;
mod heartbeats;
mod interface;
mod judge;
mod limits;
mod link;
mod listeners;
mod loaded;
mod mapped;
mod maps;
mod owned_set;
mod pass;
mod prefix_list;
mod samples;
mod shield;
mod sync;
mod top_sources;

pub use attach::{Attached, AttachedMode, XdpMode};
pub use counters::{ShieldCounter, ShieldCounters};
pub use error::EbpfError;
pub use flows::KnownFlows;
pub use heartbeats::Heartbeats;
pub use interface::{Interface, XdpState};
pub use judge::{Arrival, XdpAction};
pub use limits::{Limits, Rate};
pub use listeners::{CookieOffer, ListenerCounts, ListenerId, ListenerStates};
pub use loaded::Loaded;
pub use maps::{Fragments, OnStall, Owned, Protocol};
pub use pass::PassProgram;
pub use prefix_list::{ListVerdict, Listed, Prefix, PrefixError, PrefixList};
pub use samples::{Sample, SampleKind};
pub use shield::{Shield, ShieldConfig};
pub use top_sources::{TopSource, TopSources};

/// The check of the build, for its tests.
#[cfg(test)]
#[path = "../build/kernel_floor.rs"]
mod kernel_floor;
