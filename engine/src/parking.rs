//! Blocking calls: the socket core, and sleep in between.

use crate::ends::Side;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::{Accepted, ConnectConfig, ListenerId, SocketCore, SocketError, SocketId};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A [`SocketCore`] whose calls wait. Deadlines are the operating system's monotonic time; `None` waits for ever.
#[derive(Debug)]
pub struct BlockingSockets {
    core: SocketCore,
    unparked: Arc<AtomicBool>,
}

/// Ends a [`BlockingSockets::wait`] from another thread.
#[derive(Clone, Debug)]
pub struct Unparker {
    worker: Arc<Side>,
    unparked: Arc<AtomicBool>,
}

impl Unparker {
    /// Ends the wait that is going on, or the next one.
    pub fn unpark(&self) {
        self.unparked.store(true, Ordering::Release);
        self.worker.bell.force();
    }
}

/// Where the threads of a worker sleep that share its core under a lock: one of them at a time sleeps here, without the
/// lock, and the others wait for that one.
#[derive(Clone, Debug)]
pub struct Sleep {
    worker: Arc<Side>,
}

impl Sleep {
    /// Sleeps until a shard rings, [`end`](Self::end) is called, or `timeout` has passed (`None`: no limit), or a signal
    /// comes. Between [`SocketCore::doze`], when it says that there is nothing to do, and [`SocketCore::rise`].
    pub fn wait(&self, timeout: Option<Duration>) {
        self.worker.bell.eventfd().wait(timeout);
    }

    /// Ends the sleep that is going on, or the next one.
    pub fn end(&self) {
        self.worker.bell.force();
    }
}

impl SocketCore {
    /// Where this worker's threads sleep.
    pub fn sleep(&self) -> Sleep {
        Sleep { worker: Arc::clone(self.shards.side()) }
    }

    /// Says that this worker is about to sleep; false when the shards have left something to do, and it must not. Connections
    /// that wait for accept are not looked at: see [`arrivals`](Self::arrivals), and ask after this call.
    pub fn doze(&mut self) -> bool {
        self.shards.doze();
        !self.has_outside_work()
    }

    /// Says that this worker is awake.
    pub fn rise(&mut self) {
        self.shards.rise();
    }
}

/// What came of sleeping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Slept {
    /// Something may have happened.
    Woken,
    /// The deadline has passed.
    TimedOut,
}

impl BlockingSockets {
    /// Wraps a core.
    pub fn new(core: SocketCore) -> Self {
        Self { core, unparked: Arc::default() }
    }

    /// The core, for calls that do not wait.
    pub fn core(&mut self) -> &mut SocketCore {
        &mut self.core
    }

    /// Something that ends a wait from another thread.
    pub fn unparker(&self) -> Unparker {
        Unparker { worker: Arc::clone(self.core.shards.side()), unparked: Arc::clone(&self.unparked) }
    }

    /// Sleeps until the shard has something to say, someone unparks, or `timeout` has passed (`None`: no limit), and
    /// calls [`SocketCore::poll`]. For loops over [`SocketCore::next_ready`]; returns at once while a source is ready.
    pub fn wait(&mut self, timeout: Option<Duration>) {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let unparked = Arc::clone(&self.unparked);
        if self.core.poll() == 0 && !self.core.has_ready() {
            self.sleep(deadline, |core| unparked.load(Ordering::Acquire) || core.has_any_waiting());
            self.core.poll();
        }
        self.unparked.store(false, Ordering::Release);
    }

    /// As [`SocketCore::accept`], but waits for a connection.
    ///
    /// # Errors
    /// `TimedOut` when the deadline passes; those of the core but `WouldBlock`.
    pub fn accept(&mut self, listener: ListenerId, deadline: Option<Instant>) -> Result<Accepted, SocketError> {
        self.retry(deadline, |core| core.accept(listener), |core| core.has_waiting(listener))
    }

    /// As [`SocketCore::connect`], but waits until the connection is established or has failed.
    ///
    /// # Errors
    /// `TimedOut` when the deadline passes (the attempt is aborted); those of the core but `WouldBlock`.
    pub fn connect(&mut self, config: ConnectConfig, deadline: Option<Instant>) -> Result<SocketId, SocketError> {
        let socket = self.retry(deadline, |core| core.connect(config.clone()), |_| false)?;
        // Sending nothing succeeds as soon as sending anything could.
        match self.retry(deadline, |core| core.send(socket, &[]), |_| false) {
            Ok(_) => Ok(socket),
            Err(error) => {
                self.core.abort(socket)?;
                Err(error)
            }
        }
    }

    /// As [`SocketCore::recv`], but waits for at least one byte or end of file.
    ///
    /// # Errors
    /// `TimedOut` when the deadline passes; those of the core but `WouldBlock`.
    pub fn recv(
        &mut self,
        socket: SocketId,
        bytes: &mut [u8],
        deadline: Option<Instant>,
    ) -> Result<usize, SocketError> {
        self.retry(deadline, |core| core.recv(socket, bytes), |_| false)
    }

    /// Queues all of `bytes`, waiting for room as often as needed.
    ///
    /// # Errors
    /// `TimedOut` when the deadline passes (some bytes may have been queued); those of the core but `WouldBlock`.
    pub fn send_all(
        &mut self,
        socket: SocketId,
        mut bytes: &[u8],
        deadline: Option<Instant>,
    ) -> Result<(), SocketError> {
        while !bytes.is_empty() {
            let sent = self.retry(deadline, |core| core.send(socket, bytes), |_| false)?;
            bytes = &bytes[sent..];
        }
        Ok(())
    }

    /// Makes a call again and again until it does not block, sleeping in between unless `ready`.
    fn retry<T>(
        &mut self,
        deadline: Option<Instant>,
        mut call: impl FnMut(&mut SocketCore) -> Result<T, SocketError>,
        ready: impl Fn(&SocketCore) -> bool,
    ) -> Result<T, SocketError> {
        loop {
            match call(&mut self.core) {
                Err(SocketError::WouldBlock) => {}
                done => return done,
            }
            if self.core.poll() == 0 && self.sleep(deadline, &ready) == Slept::TimedOut {
                return Err(SocketError::TimedOut);
            }
        }
    }

    /// Sleeps until the shard rings or the deadline passes; not at all when there is news already, or `ready`.
    fn sleep(&mut self, deadline: Option<Instant>, ready: impl Fn(&SocketCore) -> bool) -> Slept {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Slept::TimedOut;
        }
        // The order matters: first say that this end sleeps, then look once more. See `Bell`.
        self.core.shards.doze();
        if !self.core.has_outside_work() && !ready(&self.core) {
            self.core.shards.side().bell.eventfd().wait(left);
        }
        self.core.shards.rise();
        Slept::Woken
    }
}
