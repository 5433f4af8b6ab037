//! Discard and chargen on the kernel's TCP: the one to beat.

use super::{CHUNK, Way};
use crate::affinity::pin;
use anyhow::{Context, Result};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use synward_lab::Host;

/// A running server of one service, with a thread for each connection. It takes no more connections once it is dropped, and
/// those that it has end with their clients.
#[derive(Debug)]
pub struct BulkServer {
    stopped: Arc<AtomicBool>,
    address: SocketAddr,
    host: Option<Host>,
}

impl BulkServer {
    /// Starts it on `address` of `host`, on the port of its service, and on these `cores`.
    ///
    /// # Errors
    /// The port is taken.
    pub fn start(host: &Host, address: IpAddr, way: Way, cores: &[usize]) -> Result<Self> {
        let at = SocketAddr::new(address, way.port());
        let listener = host.enter(|| TcpListener::bind(at))?.with_context(|| at.to_string())?;
        let (stopped, cores) = (Arc::new(AtomicBool::new(false)), cores.to_vec());
        let stop = Arc::clone(&stopped);
        thread::Builder::new().name("bulk-server".into()).spawn(move || accept(&listener, way, &cores, &stop))?;
        Ok(Self { stopped, address: at, host: Some(host.clone()) })
    }

    /// The same on the loopback of the calling thread's namespace, on any port.
    #[cfg(test)]
    pub(super) fn start_here(way: Way) -> Result<(Self, SocketAddr)> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let stopped = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopped);
        thread::spawn(move || accept(&listener, way, &[0], &stop));
        Ok((Self { stopped, address, host: None }, address))
    }
}

impl Drop for BulkServer {
    fn drop(&mut self) {
        self.stopped.store(true, Relaxed);
        // Has the thread look. Where that fails, the namespace is gone, and with it whoever could connect.
        let address = self.address;
        let _ = match &self.host {
            Some(host) => host.enter(|| TcpStream::connect(address).map(drop)).ok(),
            None => Some(TcpStream::connect(address).map(drop)),
        };
    }
}

fn accept(listener: &TcpListener, way: Way, cores: &[usize], stopped: &AtomicBool) {
    // The threads of connections inherit it. What cannot be pinned runs anywhere, as the one who measures sees.
    let _ = pin(cores);
    for stream in listener.incoming().flatten() {
        if stopped.load(Relaxed) {
            return;
        }
        thread::spawn(move || serve(stream, way));
    }
}

/// Until the client has enough of it.
fn serve(mut stream: TcpStream, way: Way) {
    let mut chunk = vec![0; CHUNK];
    loop {
        let moved = match way {
            Way::Send => stream.write(&chunk),
            Way::Receive => stream.read(&mut chunk),
        };
        if matches!(moved, Ok(0) | Err(_)) {
            return;
        }
    }
}
