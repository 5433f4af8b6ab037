//! The applications at both ends, and what becomes of each connection.

use super::attackers::{FORGED, is_zombie};
use super::machine::Machine;
use super::options::{Options, Plan};
use super::talker::{End, Flow, Talker};
use super::watcher::Watcher;
use crate::engine::LINK;
use std::time::Duration;
use synward_engine::{
    Accepted, ConnectConfig, ListenConfig, ListenerId, Progress, SocketCore, SocketError, SocketId, Source,
};
use synward_proto::Endpoint;
use synward_proto::segment::Link;

/// How long the server bears a guest that says nothing sensible.
const GUEST_TIME: Duration = Duration::from_secs(20);
/// How soon the client tries again to open a connection for whose request there was no room.
const FULL_PATIENCE: Duration = Duration::from_millis(10);
/// What it sends to such a guest.
const GUEST_BYTES: usize = 20_000;

/// The client's application.
#[derive(Default)]
pub(super) struct Client {
    /// By plan, those that were begun.
    pub talkers: Vec<Option<Talker>>,
    /// Not before this does it try again to open one: there was no room for the request.
    again_at: Duration,
}

/// A connection of a plan at the server.
pub(super) struct Served {
    pub plan: usize,
    worker: usize,
    /// Its worker, which has heard of it since, knows it to be there.
    alive: bool,
    pub talker: Talker,
}

/// A connection whose plan is not known: it says so first.
#[derive(Debug)]
struct Newcomer {
    worker: usize,
    socket: SocketId,
    peer: Endpoint,
    tag: Vec<u8>,
}

/// A connection of nobody who was invited.
#[derive(Debug)]
struct Guest {
    worker: usize,
    socket: SocketId,
    until: Duration,
}

/// The server's application.
pub(super) struct Server {
    local: Endpoint,
    listeners: Vec<ListenerId>,
    next_accept: Duration,
    /// By worker: connections wait.
    told: Vec<bool>,
    pub served: Vec<Served>,
    newcomers: Vec<Newcomer>,
    guests: Vec<Guest>,
    /// Connections accepted a second time, by a cookie that came twice.
    pub ghosts: u32,
    /// Connections of zombies.
    pub guests_seen: u32,
    /// Connections accepted from somebody who guessed.
    pub guessed: u32,
}

impl Client {
    /// Opens the connections whose time has come and whose port is free.
    pub fn open(&mut self, now: Duration, options: &Options, machine: &mut Machine) -> Result<u32, String> {
        let Some(sockets) = machine.running(0).filter(|_| now >= self.again_at) else { return Ok(0) };
        self.talkers.resize_with(options.plans.len(), || None);
        let mut opened = 0;
        for (number, plan) in options.plans.iter().enumerate() {
            if plan.at > now || self.talkers[number].is_some() || !self.is_free(options, number) {
                continue;
            }
            let link = Link { local: LINK.remote, remote: LINK.local, ..Link::default() };
            let local = Endpoint::new(options.client_address(), plan.port);
            match sockets.connect(ConnectConfig::new(local, options.server_end(), link)) {
                Ok(socket) => self.talkers[number] = Some(Talker::new(socket, plan.up, plan.down, plan.client)),
                Err(SocketError::WouldBlock) => {
                    self.again_at = now + FULL_PATIENCE;
                    break;
                }
                Err(error) => return Err(format!("connect: {error}")),
            }
            opened += 1;
        }
        Ok(opened)
    }

    /// When it opens the next connection.
    pub fn next_open(&self, options: &Options, now: Duration) -> Option<Duration> {
        let to_come = |number: &usize| self.talkers.get(*number).is_none_or(Option::is_none);
        let numbers = (0..options.plans.len()).filter(to_come).filter(|number| self.is_free(options, *number));
        numbers.map(|number| options.plans[number].at.max(now).max(self.again_at)).min()
    }

    /// Whether no plan before this one uses its port any more.
    fn is_free(&self, options: &Options, number: usize) -> bool {
        let earlier = options.plans[..number].iter().zip(&self.talkers);
        let mut same = earlier.filter(|(plan, _)| plan.port != 0 && plan.port == options.plans[number].port);
        same.all(|(_, talker)| talker.as_ref().is_some_and(|talker| talker.end.is_some()))
    }

    /// All that run look at their sockets.
    pub fn look(&mut self, now: Duration, machine: &mut Machine) -> Result<(), String> {
        let Some(sockets) = machine.running(0) else { return Ok(()) };
        while let Some((source, _)) = sockets.next_ready() {
            let Source::Socket(socket) = source else { continue };
            self.talkers.iter_mut().flatten().filter(|talker| talker.socket == socket).for_each(Talker::tell);
        }
        self.talkers.iter_mut().flatten().try_for_each(|talker| talker.look(now, sockets))
    }

    /// Its host has crashed, and knows none of them any more.
    pub fn lose_all(&mut self) {
        let open = self.talkers.iter_mut().flatten().filter(|talker| talker.end.is_none());
        open.for_each(|talker| talker.end = Some(End::Abandoned));
    }

    /// Whether every plan was begun and has ended.
    pub fn is_done(&self, plans: &[Plan]) -> bool {
        let ended = |talker: &Option<Talker>| talker.as_ref().is_some_and(|talker| talker.end.is_some());
        self.talkers.len() == plans.len() && self.talkers.iter().all(ended)
    }
}

impl Server {
    pub fn new(options: &Options, machine: &mut Machine) -> Result<Self, String> {
        let local = options.server_end();
        let config = ListenConfig { backlog: options.backlog, shared: true, ..ListenConfig::new(local) };
        let listeners = machine.listen(&config).map_err(|error| format!("listen: {error}"))?;
        Ok(Self {
            local,
            told: vec![false; listeners.len()],
            listeners,
            next_accept: Duration::ZERO,
            served: Vec::new(),
            newcomers: Vec::new(),
            guests: Vec::new(),
            ghosts: 0,
            guests_seen: 0,
            guessed: 0,
        })
    }

    /// Its host has crashed: it is another one that listens, and knows none of the connections.
    pub fn start_again(&mut self, options: &Options, machine: &mut Machine) -> Result<(), String> {
        (0..self.listeners.len()).for_each(|worker| self.lose_worker(worker));
        let Self { listeners, told, next_accept, .. } = Self::new(options, machine)?;
        (self.listeners, self.told, self.next_accept) = (listeners, told, next_accept);
        Ok(())
    }

    /// Where it listens.
    pub fn local(&self) -> &Endpoint {
        &self.local
    }

    /// When it looks for connections again, if it does so by the clock.
    pub fn next_look(&self, options: &Options) -> Option<Duration> {
        let accepts = (!options.acceptance.pause.is_zero()).then_some(self.next_accept);
        accepts.into_iter().chain(self.guests.iter().map(|guest| guest.until)).min()
    }

    /// All workers that run take connections and look at their sockets.
    pub fn look(
        &mut self,
        now: Duration,
        options: &Options,
        machine: &mut Machine,
        watcher: &mut Watcher,
        client: &Client,
    ) -> Result<(), String> {
        let accepts = now >= self.next_accept;
        if accepts {
            self.next_accept = now + options.acceptance.pause;
        }
        self.see_who_is_alive(machine);
        for worker in 0..self.listeners.len() {
            let Some(sockets) = machine.running(worker) else { continue };
            self.hear(worker, sockets);
            if accepts && (!options.acceptance.when_told || std::mem::take(&mut self.told[worker])) {
                self.accept_all(now, worker, options, sockets, watcher)?;
            }
            self.meet(worker, options, sockets, client)?;
            let own = self.served.iter_mut().filter(|served| served.worker == worker);
            own.map(|served| &mut served.talker).try_for_each(|talker| talker.look(now, sockets))?;
            self.part_with_guests(now, worker, sockets);
        }
        Ok(())
    }

    /// Which connections their workers know to be there.
    fn see_who_is_alive(&mut self, machine: &mut Machine) {
        for served in &mut self.served {
            let status = machine.running(served.worker).map(|sockets| sockets.status(served.talker.socket));
            let is_open = status.is_some_and(|status| status.is_ok_and(|status| status.progress == Progress::Open));
            served.alive = served.talker.end.is_none() && is_open;
        }
    }

    fn hear(&mut self, worker: usize, sockets: &mut SocketCore) {
        while let Some((source, _)) = sockets.next_ready() {
            match source {
                Source::Listener(_) => self.told[worker] = true,
                Source::Socket(socket) => {
                    let own = self.served.iter_mut().filter(|served| served.worker == worker);
                    own.map(|served| &mut served.talker)
                        .filter(|talker| talker.socket == socket)
                        .for_each(Talker::tell);
                }
            }
        }
    }

    fn accept_all(
        &mut self,
        now: Duration,
        worker: usize,
        options: &Options,
        sockets: &mut SocketCore,
        watcher: &mut Watcher,
    ) -> Result<(), String> {
        loop {
            match sockets.accept(self.listeners[worker]) {
                Ok(accepted) => self.welcome(now, worker, options, sockets, watcher, accepted)?,
                Err(SocketError::WouldBlock | SocketError::NoBuffers) => return Ok(()),
                Err(error) => return Err(format!("accept: {error}")),
            }
        }
    }

    fn welcome(
        &mut self,
        now: Duration,
        worker: usize,
        options: &Options,
        sockets: &mut SocketCore,
        watcher: &mut Watcher,
        accepted: Accepted,
    ) -> Result<(), String> {
        let Accepted { socket, local: _, peer } = accepted;
        let is_client = peer.addr == options.client_address();
        let has_completed = watcher.take_completion(&peer);
        if !has_completed {
            // One guess in 2^25 is a valid cookie (DESIGN: SYN cookies): never two in a run.
            self.guessed += 1;
            if options.server.config.syncookies == 0 || self.guessed > 1 {
                return Err(format!("accepted {peer}, who never completed a handshake"));
            }
        }
        let plans =
            options.plans.iter().enumerate().filter(|(_, plan)| is_client && options.may_come_from(plan, peer.port));
        let plans: Vec<usize> = plans.map(|(number, _)| number).collect();
        match plans[..] {
            [] if is_client && has_completed => Err(format!("accepted {peer}, whom nobody opened")),
            [] => {
                debug_assert!(self.guessed > 0 || is_zombie(options, &peer));
                self.guests_seen += 1;
                // Whatever it takes of them.
                let _ = sockets.send(socket, &[0x77; GUEST_BYTES]);
                self.guests.push(Guest { worker, socket, until: now + GUEST_TIME });
                Ok(())
            }
            [plan] if options.plans[plan].up.tag.is_none() => self.serve(worker, options, sockets, socket, plan, false),
            _ => {
                self.newcomers.push(Newcomer { worker, socket, peer, tag: Vec::new() });
                Ok(())
            }
        }
    }

    /// A connection whose plan is known.
    fn serve(
        &mut self,
        worker: usize,
        options: &Options,
        sockets: &mut SocketCore,
        socket: SocketId,
        plan: usize,
        introduced: bool,
    ) -> Result<(), String> {
        if let Some(served) = self.served.iter().find(|served| served.plan == plan) {
            // A cookie cannot know that it was used: its ACK, doubled by the network and late, opens what is long closed.
            if options.server.config.syncookies == 0 || served.alive {
                return Err(format!("accepted plan {plan} twice, {:?}", served.talker.end));
            }
            self.ghosts += 1;
            return sockets.abort(socket).map_err(|error| format!("abort: {error}"));
        }
        let Plan { up, down, server, .. } = options.plans[plan];
        let new = if introduced { Talker::resume } else { Talker::new };
        self.served.push(Served { plan, worker, alive: false, talker: new(socket, down, up, server) });
        Ok(())
    }

    /// Newcomers say who they are.
    fn meet(
        &mut self,
        worker: usize,
        options: &Options,
        sockets: &mut SocketCore,
        client: &Client,
    ) -> Result<(), String> {
        for mut newcomer in std::mem::take(&mut self.newcomers) {
            if newcomer.worker != worker {
                self.newcomers.push(newcomer);
                continue;
            }
            let mut bytes = [0; Flow::TAG as usize];
            let missing = bytes.len() - newcomer.tag.len();
            match sockets.recv(newcomer.socket, &mut bytes[..missing]) {
                Ok(0) => close(sockets, newcomer.socket)?,
                Ok(length) => {
                    newcomer.tag.extend_from_slice(&bytes[..length]);
                    self.place(newcomer, options, sockets, client)?;
                }
                Err(SocketError::WouldBlock) => self.newcomers.push(newcomer),
                Err(_) => close(sockets, newcomer.socket)?,
            }
        }
        Ok(())
    }

    /// A newcomer has said something.
    fn place(
        &mut self,
        newcomer: Newcomer,
        options: &Options,
        sockets: &mut SocketCore,
        client: &Client,
    ) -> Result<(), String> {
        let Ok(tag) = <[u8; 4]>::try_from(&newcomer.tag[..]) else {
            self.newcomers.push(newcomer);
            return Ok(());
        };
        if tag == [FORGED; 4] && options.server.config.syncookies > 0 {
            // The numbers of a cookie's connection, once more: see `serve`.
            self.ghosts += 1;
            return sockets.abort(newcomer.socket).map_err(|error| format!("abort: {error}"));
        }
        let plan = u32::from_be_bytes(tag) as usize;
        let opened = client.talkers.get(plan).is_some_and(Option::is_some);
        if !opened || !options.may_come_from(&options.plans[plan], newcomer.peer.port) {
            return Err(format!("{} says that it is plan {plan}", newcomer.peer));
        }
        self.serve(newcomer.worker, options, sockets, newcomer.socket, plan, true)
    }

    fn part_with_guests(&mut self, now: Duration, worker: usize, sockets: &mut SocketCore) {
        self.guests.retain(|guest| {
            // One whose place was needed takes a socket of the worker's until it is closed.
            let mut is_gone = || sockets.status(guest.socket).is_ok_and(|status| status.failure.is_some());
            let over = guest.worker == worker && (guest.until <= now || is_gone());
            if over {
                // The engine may have ended it already.
                let _ = sockets.close(guest.socket);
            }
            !over
        });
    }

    /// A worker has ended, and with it what it had.
    pub fn lose_worker(&mut self, worker: usize) {
        self.newcomers.retain(|newcomer| newcomer.worker != worker);
        self.guests.retain(|guest| guest.worker != worker);
        let own = self.served.iter_mut().filter(|served| served.worker == worker && served.talker.end.is_none());
        own.for_each(|served| served.talker.end = Some(End::Abandoned));
    }

    /// Whether nothing is open.
    pub fn is_done(&self) -> bool {
        self.newcomers.is_empty()
            && self.guests.is_empty()
            && self.served.iter().all(|served| served.talker.end.is_some())
    }

    /// Connections of which no talker tells.
    pub fn describe_others(&self) -> String {
        format!("newcomers {:?}, guests {:?}\n", self.newcomers, self.guests)
    }

    /// The worker of a connection.
    fn sockets_of<'a>(served: &Served, machine: &'a mut Machine) -> Option<&'a mut SocketCore> {
        machine.running(served.worker)
    }

    /// Both close what is finished. A patient application waits until its peer has everything, too: what is closed before is given up
    /// after a few retransmissions (Linux: `tcp_orphan_retries`).
    pub fn close(
        &mut self,
        client: &mut Client,
        patient: bool,
        machines: (&mut Machine, &mut Machine),
    ) -> Result<(), String> {
        let (server_machine, client_machine) = machines;
        for served in &mut self.served {
            let Some(Some(dialled)) = client.talkers.get_mut(served.plan) else { continue };
            let (has_server, has_client) = (served.talker.has_received(), dialled.has_received());
            if (has_client || !patient)
                && let Some(sockets) = Self::sockets_of(served, server_machine)
            {
                served.talker.close(sockets)?;
            }
            if (has_server || !patient)
                && let Some(sockets) = client_machine.running(0)
            {
                dialled.close(sockets)?;
            }
        }
        Ok(())
    }
}

fn close(sockets: &mut SocketCore, socket: SocketId) -> Result<(), String> {
    sockets.close(socket).map_err(|error| format!("close: {error}"))
}
