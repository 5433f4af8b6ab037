//! An engine that a thread of its own turns, in real time.

use crate::errno::Errno;
use crate::frames::Frames;
use crate::stepped::{BUDGET, frame_size, no_engine, no_port};
use std::thread::JoinHandle;
use synward_engine::{EngineConfig, PollLoop, RunError, SocketCore, Stop, build};
use synward_nic::{MemoryPort, MemoryPortConfig, Port};

/// The threads of an engine.
pub(crate) struct Threaded {
    loops: Vec<(Stop, JoinHandle<Result<(), RunError>>)>,
}

impl Threaded {
    /// An engine on frames that the caller brings and takes.
    ///
    /// # Errors
    /// When a setting is out of range, or there is no memory or no thread.
    pub(crate) fn on_frames(config: EngineConfig) -> Result<(Self, SocketCore, Frames), (Errno, String)> {
        let port = MemoryPortConfig { budget: BUDGET, frame_size: frame_size(config.mtu) };
        let (port, wire) = MemoryPort::with_wire(port).map_err(no_port)?;
        let engine = build(config, port).map_err(no_engine)?;
        Ok((Self::start([engine.poll_loop])?, engine.sockets, Frames::new(wire)))
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
