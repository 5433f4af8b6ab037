//! A proxy that is replaced when it panics: its clients are reset, and those who come next are served as before.

use super::{ListenError, Proxy};
use crate::config::Config;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use synward_engine::SocketCore;
use synward_proto::Instant;

/// Makes a proxy that listens nowhere yet: the first of a worker, and those that follow a panic.
pub type Make = Box<dyn FnMut() -> Proxy + Send>;

/// One worker's proxy. A panic inside of it ends neither the worker's thread nor the poll loop that it may be riding on.
pub struct Guarded {
    proxy: Proxy,
    make: Make,
    config: Arc<Config>,
    /// Whether it takes clients; not after [`drain`](Self::drain).
    listens: bool,
}

impl Guarded {
    /// Makes the first proxy, and listens on every address of `config`.
    ///
    /// # Errors
    /// As [`Proxy::listen`].
    pub fn listen(mut make: Make, core: &mut SocketCore, config: Arc<Config>) -> Result<Self, ListenError> {
        let mut proxy = make();
        proxy.listen(core, &config)?;
        Ok(Self { proxy, make, config, listens: true })
    }

    /// [`Proxy::turn`]. After a panic it is due again at once.
    pub fn turn(&mut self, core: &mut SocketCore, now: Instant) -> Option<Instant> {
        // What a panic leaves half done is thrown away, here and in the core: no one sees it.
        match catch_unwind(AssertUnwindSafe(|| self.proxy.turn(core, now))) {
            Ok(due) => due,
            Err(_) => {
                self.replace(core);
                Some(now)
            }
        }
    }

    /// [`Proxy::connections`].
    pub fn connections(&self) -> usize {
        self.proxy.connections()
    }

    /// [`Proxy::drain`].
    pub fn drain(&mut self, core: &mut SocketCore) {
        self.listens = false;
        self.proxy.drain(core);
    }

    /// [`Proxy::abort_all`].
    pub fn abort_all(&mut self, core: &mut SocketCore) {
        self.proxy.abort_all(core);
    }

    fn replace(&mut self, core: &mut SocketCore) {
        tracing::error!(
            clients = self.proxy.connections(),
            "the proxy of a worker panicked: its clients are reset, and another takes its place"
        );
        core.let_go();
        self.proxy = (self.make)();
        self.proxy.stats.panicked();
        if self.listens
            && let Err(error) = self.proxy.listen(core, &self.config)
        {
            tracing::error!("the worker takes no more clients: {error}");
        }
    }
}
