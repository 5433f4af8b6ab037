//! A small TCP proxy on the kernel's TCP: HAProxy's stand-in.

use super::serving::Serving;
use crate::kernel_server::accept;
use anyhow::{Result, ensure};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use synward_lab::Host;
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;

/// A running relay.
#[derive(Debug)]
pub struct Relay {
    _serving: Serving,
}

impl Relay {
    /// Starts it on `port` of `host`, on these `cores` (all, if there are none), in front of `backends`, which get connections
    /// in turn.
    ///
    /// # Errors
    /// No backends; the port is taken.
    pub fn start(host: &Host, port: u16, backends: &[SocketAddr], cores: &[usize]) -> Result<Self> {
        ensure!(!backends.is_empty(), "a proxy needs at least one backend");
        let turns = Arc::new(Turns { backends: backends.to_vec(), next: AtomicUsize::new(0) });
        let serving = Serving::start(host, port, cores, move |listener| {
            accept(listener, move |client| relay(client, turns.next()))
        })?;
        Ok(Self { _serving: serving })
    }
}

/// Whose turn it is.
#[derive(Debug)]
struct Turns {
    backends: Vec<SocketAddr>,
    next: AtomicUsize,
}

impl Turns {
    fn next(&self) -> SocketAddr {
        self.backends[self.next.fetch_add(1, Relaxed) % self.backends.len()]
    }
}

async fn relay(mut client: TcpStream, backend: SocketAddr) -> io::Result<()> {
    let mut server = TcpStream::connect(backend).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}
