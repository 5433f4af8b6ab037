//! An engine that a thread of its own turns, in real time.

use crate::errno::Errno;
use crate::frames::Frames;
use crate::interface;
use crate::network::Network;
use crate::stepped::{BUDGET, frame_size, no_engine, no_port};
use std::net::IpAddr;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use synward_engine::{EngineConfig, Observer, PollLoop, RunError, SocketCore, Stop, build};
use synward_nic::{MemoryPort, MemoryPortConfig, Port};
use synward_proto::Endpoint;

/// The threads of an engine.
pub(crate) struct Threaded {
    loops: Vec<(Stop, JoinHandle<Result<(), RunError>>)>,
}

/// What others have of an engine.
pub(crate) struct Ends {
    pub(crate) sockets: SocketCore,
    pub(crate) observer: Observer,
}

/// How long the loops may take until they know a listener.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who is to know a listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Known {
    /// Every loop.
    Everywhere,
    /// None.
    Nowhere,
}

/// Waits until those know the listener at `local` who are to.
///
/// # Errors
/// ENETDOWN when they do not answer.
pub(crate) fn await_listener(observer: &Observer, local: &Endpoint, known: Known) -> crate::errno::Result<()> {
    let (deadline, local) = (Instant::now() + PATIENCE, local.to_string());
    let wanted = match known {
        Known::Everywhere => observer.snapshots().count(),
        Known::Nowhere => 0,
    };
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let listed = observer.listeners().and_then(|listing| listing.collect(left));
        let listed = listed.map_err(|_| Errno(libc::ENETDOWN))?;
        if listed.iter().filter(|row| row.local == local).count() == wanted {
            return Ok(());
        }
    }
}

impl Threaded {
    /// An engine on frames that the caller brings and takes.
    ///
    /// # Errors
    /// When a setting is out of range, or there is no memory or no thread.
    pub(crate) fn on_frames(config: EngineConfig) -> Result<(Self, Ends, Frames), (Errno, String)> {
        let port = MemoryPortConfig { budget: BUDGET, frame_size: frame_size(config.mtu) };
        let (port, wire) = MemoryPort::with_wire(port).map_err(no_port)?;
        let engine = build(config, port).map_err(no_engine)?;
        let ends = Ends { sockets: engine.sockets, observer: engine.observer };
        Ok((Self::start([engine.poll_loop])?, ends, Frames::new(wire)))
    }

    /// An engine on an interface, at these addresses of it, or at all.
    ///
    /// # Errors
    /// When the interface cannot be served; it is left as it was.
    pub(crate) fn on_interface(
        name: &str,
        addresses: Vec<IpAddr>,
        config: EngineConfig,
    ) -> Result<(Self, Ends, Network), (Errno, String)> {
        let opened = interface::open(name, addresses, config)?;
        let threads = Self::start(opened.poll_loops)?;
        let ends = Ends { sockets: opened.sockets, observer: opened.observer };
        match opened.program.attach() {
            Ok(program) => Ok((threads, ends, Network::interface(program))),
            Err(error) => {
                threads.end();
                Err(error)
            }
        }
    }

    /// Starts the threads of these loops.
    fn start<P: Port + Send + 'static>(
        poll_loops: impl IntoIterator<Item = PollLoop<P>>,
    ) -> Result<Self, (Errno, String)> {
        let mut threads = Self { loops: Vec::new() };
        for (number, poll_loop) in poll_loops.into_iter().enumerate() {
            let stop = poll_loop.stopper();
            match std::thread::Builder::new().name(format!("synward-{number}")).spawn(move || poll_loop.run()) {
                Ok(thread) => threads.loops.push((stop, thread)),
                Err(error) => {
                    threads.end();
                    return Err((Errno(libc::EAGAIN), format!("a thread for the poll loop: {error}")));
                }
            }
        }
        Ok(threads)
    }

    /// Ends them, when they have done what was asked for by now.
    pub(crate) fn end(self) {
        self.loops.iter().for_each(|(stop, _)| stop.stop());
        for (_, thread) in self.loops {
            // Why it ended before, its sockets have told (ENETDOWN).
            let _ = thread.join();
        }
    }
}
