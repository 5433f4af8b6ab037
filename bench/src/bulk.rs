//! Bulk: as many bytes as go through connections of the kernel's TCP, one way.
//!
//! The other side is a server of discard (RFC 863) or of chargen (RFC 864), of ours or of the kernel: see [`BulkServer`].

mod progress;
mod server;

use crate::affinity::pin;
use anyhow::{Context, Result, ensure};
use progress::acknowledged;
use serde::Serialize;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

pub use server::BulkServer;

/// Bytes of one call to the kernel.
const CHUNK: usize = 64 * 1024;
/// How long a connection may take to open.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which way the bytes go, seen from the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// The server sends: chargen.
    Send,
    /// The server receives: discard.
    Receive,
}

impl Way {
    /// The port of the service.
    pub const fn port(self) -> u16 {
        match self {
            Self::Send => 19,
            Self::Receive => 9,
        }
    }
}

/// A run of bulk.
#[derive(Clone, Copy, Debug)]
pub struct Bulk<'a> {
    /// The server.
    pub target: SocketAddr,
    /// Which way the bytes go.
    pub way: Way,
    /// Connections at once.
    pub streams: usize,
    /// How long bytes flow before they are counted.
    pub warm_up: Duration,
    /// How long they are counted.
    pub time: Duration,
    /// The cores for the threads, one of which each connection has.
    pub cores: &'a [usize],
}

/// What went through.
#[derive(Clone, Copy, Debug)]
pub struct BulkOutcome<T> {
    /// Bytes that the application has read, or whose receipt the server has acknowledged.
    pub bytes: u64,
    /// How long they were counted.
    pub time: Duration,
    /// What was seen at the start and the end of that time.
    pub seen: [T; 2],
}

impl<T> BulkOutcome<T> {
    /// Gigabits a second.
    pub fn goodput(&self) -> f64 {
        self.bytes as f64 * 8.0 / 1e9 / self.time.as_secs_f64()
    }
}

impl Bulk<'_> {
    /// Runs in the calling thread's network namespace, and calls `look` when counting begins and when it ends.
    ///
    /// # Errors
    /// A connection cannot be opened, or ends before the run does; `look` fails.
    pub fn run<T>(&self, mut look: impl FnMut() -> Result<T>) -> Result<BulkOutcome<T>> {
        let connect = |_| TcpStream::connect_timeout(&self.target, PATIENCE).with_context(|| self.target.to_string());
        let streams = (0..self.streams).map(connect).collect::<Result<Vec<_>>>()?;
        let read = AtomicU64::new(0);
        thread::scope(|scope| {
            let moving: Vec<_> = streams.iter().map(|stream| scope.spawn(|| self.transfer(stream, &read))).collect();
            let progress = || match self.way {
                Way::Send => Ok(read.load(Relaxed)),
                Way::Receive => streams.iter().map(acknowledged).sum::<Result<u64>>(),
            };
            let outcome = self.count(progress, &mut look);
            let stalled = moving.iter().any(thread::ScopedJoinHandle::is_finished);
            for stream in &streams {
                // Ends the transfers. One that has failed says so itself.
                let _ = stream.shutdown(Shutdown::Both);
            }
            for transfer in moving {
                transfer.join().map_err(|_| anyhow::anyhow!("a transfer panicked"))??;
            }
            ensure!(!stalled, "a connection to {} ended by itself", self.target);
            outcome
        })
    }

    fn count<T>(
        &self,
        progress: impl Fn() -> Result<u64>,
        look: &mut impl FnMut() -> Result<T>,
    ) -> Result<BulkOutcome<T>> {
        thread::sleep(self.warm_up);
        let (start, before, first) = (Instant::now(), progress()?, look()?);
        thread::sleep(self.time);
        let (after, time, second) = (progress()?, start.elapsed(), look()?);
        Ok(BulkOutcome { bytes: after - before, time, seen: [first, second] })
    }

    /// Moves bytes until the connection ends.
    fn transfer(&self, mut stream: &TcpStream, read: &AtomicU64) -> Result<()> {
        pin(self.cores)?;
        let mut chunk = vec![0; CHUNK];
        loop {
            let moved = match self.way {
                Way::Send => stream.read(&mut chunk),
                Way::Receive => stream.write(&chunk),
            };
            match moved {
                Ok(0) | Err(_) => return Ok(()),
                Ok(bytes) => read.fetch_add(bytes as u64, Relaxed),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_the_way_that_is_asked_for() {
        for way in [Way::Send, Way::Receive] {
            let (_server, target) = BulkServer::start_here(way).expect("a server");
            let bulk =
                Bulk { target, way, streams: 3, warm_up: Duration::ZERO, time: Duration::from_millis(50), cores: &[0] };
            let mut looks = 0;
            let outcome = bulk.run(|| {
                looks += 1;
                Ok(looks)
            });
            let outcome = outcome.expect("a run");
            assert!(outcome.bytes > 0 && outcome.goodput() > 0.0, "{way:?}: {outcome:?}");
            assert_eq!(outcome.seen, [1, 2]);
        }
    }

    #[test]
    fn a_connection_that_ends_by_itself_fails_the_run() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let target = listener.local_addr().expect("its address");
        let closing = thread::spawn(move || drop(listener.accept()));
        let time = Duration::from_millis(50);
        let bulk = Bulk { target, way: Way::Send, streams: 1, warm_up: time, time, cores: &[0] };
        let error = bulk.run(|| Ok(())).expect_err("it ended").to_string();
        assert!(error.contains("ended by itself"), "{error}");
        closing.join().expect("no panic");
    }
}
