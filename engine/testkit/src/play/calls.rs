//! Socket calls and counters.

use super::{Mismatch, Player, Socket, mismatch};
use crate::script::{Accepted, Action, Bytes, Outcome, Reading, Taken};
use crate::target::{Io, Queue, Ready, Target};
use std::time::Duration;

impl<T: Target> Player<'_, T> {
    /// Does what the line says; where the target needs a moment longer than the line's time, it gets the tolerance of
    /// an event `step` after the one before.
    pub(super) fn call(&mut self, action: &Action, step: Duration) -> Result<(), Mismatch> {
        let deadline = self.now + self.target.tolerance(step).late;
        match action {
            Action::Inject(_) | Action::Icmp(_) | Action::Expect(_) | Action::Silence => Ok(()),
            Action::Mtu(mtu) => {
                self.log(format!("mtu {mtu}"));
                let came = self.target.set_mtu(*mtu);
                self.gives("mtu", &Outcome::Done(()), came)
            }
            Action::Listen { port, outcome } => {
                let came = self.target.listen(*port);
                self.gives(&format!("listen {port}"), outcome, came)
            }
            Action::Accept(outcome) => self.accept(outcome, deadline),
            Action::Connect { socket, peer, outcome } => self.connect(socket, *peer, outcome),
            Action::Connected { socket, outcome } => {
                let key = self.socket(socket)?.key;
                self.until(deadline, |player| player.connected(key, outcome))?;
                self.log(format!("connected ${socket}"));
                Ok(())
            }
            Action::Read { socket, outcome } => self.read(socket, outcome, deadline),
            Action::Write { socket, payload, outcome } => self.write(socket, payload, outcome),
            Action::Poll { socket, ready } => self.poll(socket, *ready, deadline),
            Action::Queued { socket, queue, bytes } => self.queued(socket, *queue, *bytes),
            Action::Info { socket, fields } => {
                fields.iter().try_for_each(|(field, wanted)| self.info(socket, field, *wanted))
            }
            Action::Set { socket, setting, outcome } => {
                let key = self.socket(socket)?.key;
                let came = self.target.set(key, *setting);
                self.gives(&format!("set ${socket} {setting:?}"), outcome, came)
            }
            Action::Shutdown { socket, direction } => {
                self.plain("shutdown", socket, |target, key| target.shutdown(key, *direction))
            }
            Action::Close { socket } => self.plain("close", socket, T::close),
            Action::Abort { socket } => self.plain("abort", socket, T::abort),
            Action::Counter { name, rise } => {
                self.until(deadline, |player| {
                    let value = player.target.counter(name);
                    player.risen(name, value, *rise)
                })?;
                self.mark(name, T::counter);
                self.log(format!("counter {name} +{rise}"));
                Ok(())
            }
            Action::Drop { reason, count } => {
                if let Some(value) = self.target.drops(reason) {
                    self.risen(reason, Some(value), *count)?;
                    self.mark(reason, T::drops);
                    self.log(format!("drop {reason} {count}"));
                }
                Ok(())
            }
            Action::HalfOpen(wanted) => {
                self.until(deadline, |player| match player.target.half_open() {
                    came if came == *wanted => Ok(()),
                    came => mismatch(format!("{wanted} half open"), format!("{came}")),
                })?;
                self.log(format!("half_open {wanted}"));
                Ok(())
            }
        }
    }

    /// Tries `attempt` until it succeeds, waiting cannot help or `deadline` has passed.
    fn until(
        &mut self,
        deadline: Duration,
        mut attempt: impl FnMut(&mut Self) -> Result<(), Mismatch>,
    ) -> Result<(), Mismatch> {
        loop {
            match attempt(self) {
                Ok(()) => return Ok(()),
                Err(mismatch) if self.target.now() >= deadline || !self.target.pause() => return Err(mismatch),
                Err(_) => {}
            }
        }
    }

    fn socket(&self, name: &str) -> Result<Socket, Mismatch> {
        let known = self.sockets.get(name).copied();
        known.map_or_else(|| mismatch(format!("a socket ${name}"), "the script has made none of that name"), Ok)
    }

    fn accept(&mut self, wanted: &Outcome<Accepted>, deadline: Duration) -> Result<(), Mismatch> {
        let mut came = self.target.accept();
        while came == Io::Blocks && *wanted != Outcome::Blocks && self.target.now() < deadline && self.target.pause() {
            came = self.target.accept();
        }
        match (wanted, came) {
            (Outcome::Blocks, Io::Blocks) => {
                self.log("accept blocks".into());
                Ok(())
            }
            (Outcome::Error(wanted), Io::Failed(came)) if *wanted == came => {
                self.log(format!("accept error {came}"));
                Ok(())
            }
            (Outcome::Done(Accepted { socket, from }), Io::Done((key, remote))) => {
                let peer = self.script.peers.iter().position(|peer| self.script.setup.remote(peer) == remote);
                let Some(peer) = peer else { return mismatch("a connection of a known peer", remote.to_string()) };
                if from.is_some_and(|from| from != peer) {
                    return mismatch("a connection of that peer", format!("one of {}", self.script.peers[peer].name));
                }
                self.sockets.insert(socket.clone(), Socket { key, peer, read: 0 });
                self.log(format!("accept ${socket} from {}", self.script.peers[peer].name));
                Ok(())
            }
            (wanted, came) => {
                mismatch(say(wanted, |_| "a connection".into()), came.map(|(_, remote)| remote).to_string())
            }
        }
    }

    fn connect(&mut self, socket: &str, peer: usize, wanted: &Outcome<()>) -> Result<(), Mismatch> {
        let setup = &self.script.setup;
        let ends = &self.script.peers[peer];
        let came = self.target.connect(setup.local(ends), setup.remote(ends));
        if let Io::Done(key) = came {
            self.sockets.insert(socket.to_owned(), Socket { key, peer, read: 0 });
        }
        self.gives(&format!("connect ${socket} to {}", ends.name), wanted, came.map(|_| ()))
    }

    /// Compares the outcome of a call that gives nothing but success.
    fn gives(&mut self, call: &str, wanted: &Outcome<()>, came: Io<()>) -> Result<(), Mismatch> {
        match (wanted, came) {
            (Outcome::Done(()), Io::Done(())) => self.log(call.to_owned()),
            (Outcome::Error(wanted), Io::Failed(came)) if *wanted == came => self.log(format!("{call} error {came}")),
            (Outcome::Blocks, Io::Blocks) => self.log(format!("{call} blocks")),
            (wanted, came) => {
                return mismatch(say(wanted, |()| "success".into()), came.map(|()| "success").to_string());
            }
        }
        Ok(())
    }

    fn poll(&mut self, name: &str, wanted: Ready, deadline: Duration) -> Result<(), Mismatch> {
        let key = self.socket(name)?.key;
        self.until(deadline, |player| match player.target.ready(key) {
            Io::Done(came) if came == wanted => Ok(()),
            Io::Done(came) => mismatch(wanted.to_string(), came.to_string()),
            came => mismatch(wanted.to_string(), came.to_string()),
        })?;
        self.log(format!("poll ${name} {wanted}"));
        Ok(())
    }

    fn queued(&mut self, name: &str, queue: Queue, wanted: u64) -> Result<(), Mismatch> {
        let key = self.socket(name)?.key;
        match self.target.queued(key, queue) {
            Io::Done(came) if came == wanted => {}
            came => return mismatch(format!("{wanted} bytes"), came.to_string()),
        }
        self.log(format!("{queue:?} queue of ${name}: {wanted}"));
        Ok(())
    }

    fn info(&mut self, name: &str, field: &str, wanted: u64) -> Result<(), Mismatch> {
        let key = self.socket(name)?.key;
        match self.target.info(key, field) {
            Io::Done(Some(came)) if came == wanted => {}
            Io::Done(None) => return mismatch(format!("a field {field}"), "the target has none"),
            came => return mismatch(format!("{field} {wanted}"), came.map(Option::unwrap_or_default).to_string()),
        }
        self.log(format!("info ${name} {field} {wanted}"));
        Ok(())
    }

    fn connected(&mut self, key: crate::target::SocketKey, wanted: &Outcome<()>) -> Result<(), Mismatch> {
        match (wanted, self.target.connected(key)) {
            (Outcome::Done(()), Io::Done(())) | (Outcome::Blocks, Io::Blocks) => Ok(()),
            (Outcome::Error(wanted), Io::Failed(came)) if *wanted == came => Ok(()),
            (wanted, came) => mismatch(say(wanted, |()| "a connection".into()), came.to_string()),
        }
    }

    fn read(&mut self, name: &str, wanted: &Outcome<Reading>, deadline: Duration) -> Result<(), Mismatch> {
        let socket = self.socket(name)?;
        let limit = match wanted {
            Outcome::Done(Reading::Data { len, .. }) => *len,
            Outcome::Done(Reading::Eof) | Outcome::Blocks | Outcome::Error(_) => 65_536,
        };
        let (bytes, end) = self.read_up_to(socket, limit, *wanted == Outcome::Blocks, deadline);
        if let Some(socket) = self.sockets.get_mut(name) {
            socket.read += bytes.len();
        }
        let expected = match wanted {
            Outcome::Done(Reading::Data { bytes: Some(bytes), .. }) => Some(bytes.clone()),
            Outcome::Done(Reading::Data { len, bytes: None }) => self.streams[socket.peer].sent(socket.read, *len),
            Outcome::Done(Reading::Eof) | Outcome::Blocks | Outcome::Error(_) => Some(Vec::new()),
        };
        let right_end = match (wanted, &end) {
            (Outcome::Done(Reading::Data { .. }), None)
            | (Outcome::Done(Reading::Eof), Some(Io::Done(())))
            | (Outcome::Blocks, Some(Io::Blocks)) => true,
            (Outcome::Error(wanted), Some(Io::Failed(came))) => wanted == came,
            _ => false,
        };
        if right_end && expected.as_deref() == Some(&bytes) {
            self.log(format!("read ${name} {}", say(wanted, |_| bytes.len().to_string())));
            return Ok(());
        }
        let end = match end {
            None => String::new(),
            Some(Io::Done(())) => ", then the end of file".into(),
            Some(end) => format!(", then {end}"),
        };
        let wanted = match expected {
            Some(bytes) if !bytes.is_empty() => show(&bytes),
            _ => say(wanted, |reading| match reading {
                Reading::Eof => "the end of file".into(),
                Reading::Data { len, .. } => format!("{len} bytes that went in"),
            }),
        };
        mismatch(wanted, format!("{}{end}", show(&bytes)))
    }

    /// Reads until `limit` bytes are there or something else than bytes comes; that is the second value.
    fn read_up_to(
        &mut self,
        socket: Socket,
        limit: usize,
        may_block: bool,
        deadline: Duration,
    ) -> (Vec<u8>, Option<Io<()>>) {
        let mut bytes = Vec::new();
        while bytes.len() < limit {
            match self.target.read(socket.key, limit - bytes.len()) {
                Io::Done(more) if !more.is_empty() => bytes.extend(more),
                Io::Blocks if !may_block && self.target.now() < deadline && self.target.pause() => {}
                end => return (bytes, Some(end.map(|_| ()))),
            }
        }
        (bytes, None)
    }

    fn write(&mut self, name: &str, payload: &Bytes, wanted: &Outcome<Taken>) -> Result<(), Mismatch> {
        let socket = self.socket(name)?;
        let bytes = self.streams[socket.peer].to_write(payload);
        let came = self.target.write(socket.key, &bytes);
        if let Io::Done(taken) = came {
            self.streams[socket.peer].wrote(&bytes[..taken.min(bytes.len())]);
        }
        let right = match (wanted, &came) {
            (Outcome::Done(Taken::All), Io::Done(taken)) => *taken == bytes.len(),
            (Outcome::Done(Taken::Some(wanted)), Io::Done(taken)) => wanted == taken,
            (Outcome::Blocks, Io::Blocks) => true,
            (Outcome::Error(wanted), Io::Failed(came)) => wanted == came,
            _ => false,
        };
        if !right {
            let wanted = say(wanted, |taken| match taken {
                Taken::All => format!("{} bytes taken", bytes.len()),
                Taken::Some(some) => format!("{some} bytes taken"),
            });
            return mismatch(wanted, came.to_string());
        }
        self.log(format!("write ${name}: {came}"));
        Ok(())
    }

    fn plain(
        &mut self,
        what: &str,
        name: &str,
        call: impl FnOnce(&mut T, crate::target::SocketKey) -> Io<()>,
    ) -> Result<(), Mismatch> {
        let socket = self.socket(name)?;
        self.log(format!("{what} ${name}"));
        match call(self.target, socket.key) {
            Io::Done(()) => Ok(()),
            came @ (Io::Blocks | Io::Failed(_)) => mismatch("success", came.to_string()),
        }
    }

    fn risen(&self, name: &str, value: Option<u64>, wanted: u64) -> Result<(), Mismatch> {
        let Some(value) = value else { return mismatch(format!("a counter {name}"), "the target has none") };
        let rise = value.saturating_sub(self.marks.get(name).copied().unwrap_or(0));
        if rise == wanted { Ok(()) } else { mismatch(format!("{name} +{wanted}"), format!("+{rise}")) }
    }

    fn mark(&mut self, name: &str, value: impl FnOnce(&mut T, &str) -> Option<u64>) {
        let value = value(self.target, name).unwrap_or(0);
        self.marks.insert(name.to_owned(), value);
    }
}

fn say<D>(wanted: &Outcome<D>, done: impl FnOnce(&D) -> String) -> String {
    match wanted {
        Outcome::Done(value) => done(value),
        Outcome::Blocks => "it would block".into(),
        Outcome::Error(name) => format!("error {name}"),
    }
}

fn show(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]);
    format!("{} bytes {text:?}{}", bytes.len(), if bytes.len() > 60 { "…" } else { "" })
}
