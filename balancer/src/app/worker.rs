//! Many connections served by readiness, on a thread of their own or on that of a poll loop.

use super::session::Session;
use std::collections::HashMap;
use std::io;
use std::time::Duration;
use synward_engine::{BlockingSockets, Interest, ListenerId, SocketCore, SocketError, SocketId, Source};

/// Bytes moved per step of one connection.
const STEP: usize = 64 * 1024;
/// Steps of one connection before the others have their turn.
const STEPS: usize = 16;

/// Makes the session of an accepted connection.
pub type Open = fn() -> Box<dyn Session + Send>;

/// A worker: listeners, and a session for each accepted connection.
pub struct Worker {
    listeners: HashMap<ListenerId, Open>,
    served: HashMap<SocketId, Served>,
    scratch: Box<[u8]>,
}

/// A connection that is being served.
struct Served {
    session: Box<dyn Session + Send>,
    /// Received, but not yet taken by the session.
    unread: Pending,
    /// Made by the session, but not yet taken by the socket.
    unsent: Pending,
    /// End of file was read.
    ended: bool,
}

/// Bytes on their way; empty most of the time, and then without memory.
#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    taken: usize,
}

impl Pending {
    fn rest(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    fn hold(&mut self, bytes: &[u8]) {
        *self = Self { bytes: bytes.to_vec(), taken: 0 };
    }

    fn take(&mut self, count: usize) {
        self.taken += count;
        if self.taken == self.bytes.len() {
            *self = Self::default();
        }
    }
}

/// What a connection can do after a step.
enum Step {
    /// More at once.
    Again,
    /// Nothing before one of these.
    Wait(Interest),
    /// The conversation is over.
    Over,
}

impl Default for Worker {
    /// A worker without listeners.
    fn default() -> Self {
        Self { listeners: HashMap::new(), served: HashMap::new(), scratch: vec![0; STEP].into() }
    }
}

impl Worker {
    /// Serves connections of `listener` with sessions that `open` makes.
    pub fn serve(&mut self, listener: ListenerId, open: Open) {
        self.listeners.insert(listener, open);
    }

    /// Serves until `stopped` says so or the network is gone; looks at least every `patience`.
    ///
    /// # Errors
    /// When the poll loop has ended.
    pub fn run(mut self, core: SocketCore, patience: Duration, stopped: impl Fn() -> bool) -> io::Result<()> {
        let mut sockets = BlockingSockets::new(core);
        while !stopped() {
            sockets.wait(Some(patience));
            self.serve_ready(sockets.core())?;
        }
        Ok(())
    }

    /// Gives every connection that is ready its turn, and never waits: what [`PollLoop::run_with`](synward_engine::PollLoop::run_with)
    /// calls.
    ///
    /// # Errors
    /// When the poll loop has ended.
    pub fn turn(&mut self, core: &mut SocketCore) -> io::Result<()> {
        core.poll();
        self.serve_ready(core)
    }

    fn serve_ready(&mut self, core: &mut SocketCore) -> io::Result<()> {
        while let Some((source, _)) = core.next_ready() {
            match source {
                Source::Listener(listener) => self.accept_all(core, listener)?,
                Source::Socket(socket) => self.drive(core, socket),
            }
        }
        Ok(())
    }

    fn accept_all(&mut self, core: &mut SocketCore, listener: ListenerId) -> io::Result<()> {
        let Some(&open) = self.listeners.get(&listener) else { return Ok(()) };
        loop {
            match core.accept(listener) {
                Ok(accepted) => {
                    let served = Served {
                        session: open(),
                        unread: Pending::default(),
                        unsent: Pending::default(),
                        ended: false,
                    };
                    self.served.insert(accepted.socket, served);
                    self.drive(core, accepted.socket);
                }
                Err(SocketError::WouldBlock) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn drive(&mut self, core: &mut SocketCore, socket: SocketId) {
        let Some(served) = self.served.get_mut(&socket) else { return };
        for _ in 0..STEPS {
            match served.step(core, socket, &mut self.scratch) {
                Ok(Step::Again) => {}
                Ok(Step::Wait(interest)) => {
                    // A socket that failed meanwhile says so at the next turn.
                    let _ = core.set_interest(socket, interest);
                    return;
                }
                Ok(Step::Over) | Err(_) => {
                    // Nothing is left to say to a socket that is gone already.
                    let _ = core.close(socket);
                    self.served.remove(&socket);
                    return;
                }
            }
        }
        // What it does next need not wait for anything from outside: an answer may be all that is left.
        let _ = core.set_interest(socket, Interest::BOTH);
    }
}

impl Served {
    fn step(&mut self, core: &mut SocketCore, socket: SocketId, scratch: &mut [u8]) -> Result<Step, SocketError> {
        if !self.unsent.rest().is_empty() {
            return match core.send(socket, self.unsent.rest()) {
                Ok(count) => {
                    self.unsent.take(count);
                    Ok(Step::Again)
                }
                Err(SocketError::WouldBlock) => Ok(Step::Wait(Interest::WRITE)),
                Err(error) => Err(error),
            };
        }
        let made = self.session.transmit(scratch);
        if made > 0 {
            let sent = match core.send(socket, &scratch[..made]) {
                Err(SocketError::WouldBlock) => 0,
                sent => sent?,
            };
            if sent < made {
                self.unsent.hold(&scratch[sent..made]);
            }
            return Ok(Step::Again);
        }
        if self.session.is_over() {
            return Ok(Step::Over);
        }
        self.read(core, socket, scratch)
    }

    fn read(&mut self, core: &mut SocketCore, socket: SocketId, scratch: &mut [u8]) -> Result<Step, SocketError> {
        if !self.unread.rest().is_empty() {
            let taken = self.session.receive(self.unread.rest());
            self.unread.take(taken);
            return Ok(Step::Again);
        }
        if self.ended {
            return Ok(Step::Over);
        }
        match core.recv(socket, scratch) {
            Ok(0) => {
                self.ended = true;
                self.session.receive_end();
            }
            Ok(count) => {
                let taken = self.session.receive(&scratch[..count]);
                if taken < count {
                    self.unread.hold(&scratch[taken..count]);
                }
            }
            Err(SocketError::WouldBlock) => return Ok(Step::Wait(Interest::READ)),
            Err(error) => return Err(error),
        }
        Ok(Step::Again)
    }
}

#[cfg(test)]
mod tests {
    use super::{STEPS, Session, Worker};
    use synward_engine::{ConnectConfig, Engine, EngineConfig, ListenConfig, Secrets, SocketCore, SocketId, build};
    use synward_nic::{MemoryPort, MemoryPortConfig};
    use synward_proto::segment::Link;
    use synward_proto::{Endpoint, Instant, MacAddr};
    use synward_testkit::engine::small_budget;

    /// Takes one byte at each step. The first says how many there are, and after the last comes the answer.
    #[derive(Default)]
    struct Slow {
        left: Option<u8>,
        answered: bool,
    }

    impl Session for Slow {
        fn receive(&mut self, bytes: &[u8]) -> usize {
            self.left = Some(self.left.unwrap_or(bytes[0]) - 1);
            1
        }

        fn receive_end(&mut self) {}

        fn transmit(&mut self, room: &mut [u8]) -> usize {
            if self.left != Some(0) || std::mem::replace(&mut self.answered, true) {
                return 0;
            }
            room[0] = b'!';
            1
        }

        fn is_over(&self) -> bool {
            self.answered
        }
    }

    fn engine(seed: u64, port: MemoryPort) -> Engine<MemoryPort> {
        let secrets = Some(Secrets::from_seed(seed));
        build(EngineConfig { max_connections: 8, max_time_waits: 8, secrets, ..EngineConfig::default() }, port)
            .expect("builds")
    }

    /// What comes of a conversation of so many bytes: the answer, and whether the end was read.
    fn converse(bytes: u8) -> (Vec<u8>, bool) {
        let config = MemoryPortConfig { budget: small_budget(), ..MemoryPortConfig::default() };
        let (near, far) = MemoryPort::pair(config, config).expect("memory");
        let (mut client, mut server) = (engine(1, near), engine(2, far));
        let local = Endpoint::new([192, 0, 2, 1].into(), 80);
        let mut worker = Worker::default();
        worker.serve(server.sockets.listen(ListenConfig::new(local)).expect("listens"), || Box::<Slow>::default());
        let link = Link { local: MacAddr([2, 0, 0, 0, 0, 1]), remote: MacAddr([2, 0, 0, 0, 0, 2]), ..Link::default() };
        let from = Endpoint::new([198, 51, 100, 1].into(), 40_000);
        let mut settle = |client: &mut Engine<MemoryPort>| {
            for _ in 0..50 {
                client.poll_loop.poll_once(Instant::from_millis(1_000));
                client.sockets.poll();
                server.poll_loop.poll_once(Instant::from_millis(1_000));
                worker.turn(&mut server.sockets).expect("runs");
            }
        };
        settle(&mut client);
        let socket = client.sockets.connect(ConnectConfig::new(from, local, link)).expect("connects");
        settle(&mut client);
        assert_eq!(client.sockets.send(socket, &vec![bytes; bytes.into()]), Ok(bytes.into()));
        settle(&mut client);
        read(&mut client.sockets, socket)
    }

    fn read(sockets: &mut SocketCore, socket: SocketId) -> (Vec<u8>, bool) {
        let (mut all, mut room) = (Vec::new(), [0; 16]);
        loop {
            match sockets.recv(socket, &mut room) {
                Ok(0) => return (all, true),
                Ok(count) => all.extend_from_slice(&room[..count]),
                Err(_) => return (all, false),
            }
        }
    }

    /// Also where the steps of a turn end between the last byte and the answer, or between the answer and the end.
    #[test]
    fn a_session_that_waits_for_nothing_goes_on_in_the_next_turn() {
        for bytes in 1..=2 * STEPS as u8 + 2 {
            assert_eq!(converse(bytes), (b"!".to_vec(), true), "{bytes} bytes");
        }
    }
}
