//! What stands behind the XDP programs of the interfaces: a guard that decides when the shield of a listener goes up and down,
//! keeps the lists of prefixes, and answers for all of it; and what programs and poll loops know of each other.

mod cookie_keys;
mod engine_shield;
mod guard;
mod hopeless;
mod meter;
mod orders;
pub mod policy;
mod prefixes;
mod queue_watch;
mod watched;

pub use cookie_keys::CookieKeys;
pub use engine_shield::EngineShield;
pub use guard::{Guard, GuardPlan, Program};
pub use orders::{Refused, ShieldHandle};
pub use prefixes::Backend;
pub use watched::ListenerPlan;
