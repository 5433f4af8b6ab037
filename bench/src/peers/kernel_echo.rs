//! Echo (RFC 862) on the kernel's TCP.

use super::serving::Serving;
use crate::kernel_server::{accept, answer_echo};
use anyhow::Result;
use synward_lab::Host;

/// A running echo server.
#[derive(Debug)]
pub struct KernelEcho {
    _serving: Serving,
}

impl KernelEcho {
    /// Starts it on `port` of `host`, on these `cores` (all, if there are none), with one thread.
    ///
    /// # Errors
    /// The port is taken.
    pub fn start(host: &Host, port: u16, cores: &[usize]) -> Result<Self> {
        let serving = Serving::start(host, port, cores, |listener| accept(listener, answer_echo))?;
        Ok(Self { _serving: serving })
    }
}
