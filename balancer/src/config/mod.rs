//! The configuration of the front end: a TOML file, checked whole before anything is touched.

mod mistake;
mod settings;

pub use mistake::{Mistake, Mistakes};
pub use settings::{
    BackendConfig, Backoff, Balance, Config, EngineSettings, InterfaceConfig, ListenerConfig, PoolConfig, Queues,
    ShutdownConfig,
};
