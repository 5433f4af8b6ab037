//! One run: a server and a client engine, a few connections, bytes both ways, everything closed.

use super::link::{HostileLink, Weather};
use super::rng::Rng;
use super::talker::{End, Flow, Talker, Temper};
use crate::engine::{Host, LINK};
use crate::pcap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;
use synward_engine::{ConnectConfig, EngineConfig, ListenConfig, ListenerId, Secrets, SocketError};
use synward_proto::Endpoint;
use synward_proto::connection::Keepalive;
use synward_proto::segment::Link;
use synward_proto::wire::ChecksumPolicy;

const FIRST_PORT: u16 = 50_000;
const BACKLOG: u32 = 4;
/// Without it, an end whose peer has given up would wait for ever.
const KEEPALIVE: Keepalive = Keepalive { idle: Duration::from_secs(60), interval: Duration::from_secs(10), probes: 9 };
/// Every run ends long before this, in virtual time and in steps.
const LIMIT: Duration = Duration::from_secs(4 * 3600);
const MAX_STEPS: u32 = 5_000_000;

/// What happened in a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// Connections opened by the client.
    pub opened: u32,
    /// Of these, those that carried every byte both ways and were closed by both ends.
    pub complete: u32,
    /// Connections accepted a second time, by a cookie that the network had doubled.
    pub ghosts: u32,
    /// Bytes that both applications received.
    pub bytes: u64,
    /// Frames that the link was given.
    pub frames: u64,
    /// Virtual time until both applications were done.
    pub took: Duration,
}

/// Runs the world of `seed`.
///
/// # Errors
/// The first broken promise: bytes lost, doubled or out of order; more half open or more waiting for accept than the
/// limits allow; a connection lost without a reason; a frame that is not home, or a connection that is left over, at the
/// end; no end.
pub fn simulate(seed: u64) -> Result<Outcome, String> {
    let mut world = World::draw(seed)?;
    let run = world.run();
    run.map_err(|problem| format!("seed {seed}: {problem}\n  {}", world.describe()))
}

/// Runs the world of `seed` and writes every frame, as it leaves its sender, to a pcap file.
///
/// # Errors
/// When the file cannot be written.
pub fn record(seed: u64, path: &Path) -> io::Result<()> {
    let Ok(mut world) = World::draw(seed) else { return Ok(()) };
    world.record = Some(Vec::new());
    // What went wrong is known already; here only the frames count.
    let _ = world.run();
    let frames = world.record.unwrap_or_default();
    pcap::write(path, frames.iter().map(|(at, frame)| (*at, frame.as_slice())))
}

/// A connection that the client will open.
#[derive(Debug)]
struct Plan {
    at: Duration,
    up: Flow,
    down: Flow,
    client: Temper,
    server: Temper,
}

struct World {
    now: Duration,
    syncookies: u8,
    patient: bool,
    weather: [Weather; 2],
    plans: Vec<Plan>,
    ends: (Endpoint, Endpoint),
    server: Host,
    listener: ListenerId,
    client: Host,
    up: HostileLink,
    down: HostileLink,
    /// The clients that were accepted, by number.
    accepted: Vec<usize>,
    servers: Vec<Talker>,
    clients: Vec<Talker>,
    outcome: Outcome,
    /// Every frame that was sent, when that is wanted.
    record: Option<Vec<(Duration, Vec<u8>)>>,
}

impl World {
    fn draw(seed: u64) -> Result<Self, String> {
        let mut rng = Rng::new(seed);
        let syncookies = rng.below(3) as u8;
        let patient = rng.chance(800);
        let ends = addresses(rng.chance(500));
        let weather = [Weather::draw(&mut rng), Weather::draw(&mut rng)];
        let count = 1 + rng.below(8);
        let mut plans: Vec<Plan> = (0..count).map(|_| draw_plan(&mut rng)).collect();
        plans.sort_by_key(|plan| plan.at);
        let mut server = Host::new(draw_config(&mut rng, syncookies)).map_err(|error| format!("{error:#}"))?;
        let client = Host::new(draw_config(&mut rng, syncookies)).map_err(|error| format!("{error:#}"))?;
        let sockets = server.sockets().ok_or("no sockets")?;
        let listen = ListenConfig { backlog: BACKLOG, ..ListenConfig::new(ends.0) };
        let listener = sockets.listen(listen).map_err(|error| format!("listen: {error}"))?;
        Ok(Self {
            now: Duration::ZERO,
            syncookies,
            patient,
            up: HostileLink::new(weather[0].clone(), rng.fork()),
            down: HostileLink::new(weather[1].clone(), rng.fork()),
            weather,
            plans,
            ends,
            server,
            listener,
            client,
            accepted: Vec::new(),
            servers: Vec::new(),
            clients: Vec::new(),
            outcome: Outcome::default(),
            record: None,
        })
    }

    fn describe(&self) -> String {
        let talkers = |name: &str, talkers: &[Talker]| -> String {
            talkers.iter().map(|talker| format!("\n  {name} {talker}")).collect()
        };
        format!(
            "at {:?}, {:?}, syncookies {}, patient {}\n  up {:?}\n  down {:?}{}{}",
            self.now,
            self.outcome,
            self.syncookies,
            self.patient,
            self.weather[0],
            self.weather[1],
            talkers("client", &self.clients),
            talkers("server", &self.servers)
        )
    }

    fn run(&mut self) -> Result<Outcome, String> {
        for _ in 0..MAX_STEPS {
            self.open()?;
            self.arrive();
            self.talk()?;
            self.depart();
            self.check_limits()?;
            match self.next_event() {
                Some(next) if self.is_done() || next > LIMIT => break,
                Some(next) => self.now = next.max(self.now + Duration::from_nanos(1)),
                None if self.is_done() => break,
                None => return Err("nothing more will happen, and the applications are not done".into()),
            }
        }
        if !self.is_done() {
            return Err("no end".into());
        }
        self.account()?;
        self.client.drain(self.now).map_err(|left| format!("client: {left}"))?;
        self.server.drain(self.now).map_err(|left| format!("server: {left}"))?;
        Ok(self.outcome)
    }

    /// Opens the connections whose time has come.
    fn open(&mut self) -> Result<(), String> {
        while let Some(plan) = self.plans.get(self.clients.len()).filter(|plan| plan.at <= self.now) {
            let link = Link { local: LINK.remote, remote: LINK.local, outer: None, inner: None };
            let local = Endpoint::new(self.ends.1.addr, FIRST_PORT + self.clients.len() as u16);
            let sockets = self.client.sockets().ok_or("no sockets")?;
            let socket = sockets
                .connect(ConnectConfig::new(local, self.ends.0, link))
                .map_err(|error| format!("connect: {error}"))?;
            self.clients.push(Talker::new(socket, plan.up, plan.down, plan.client));
            self.outcome.opened += 1;
        }
        Ok(())
    }

    /// Lets both applications look at their sockets, and both engines act on it.
    fn talk(&mut self) -> Result<(), String> {
        self.client.rest(self.now);
        self.server.rest(self.now);
        let sockets = self.server.sockets().ok_or("no sockets")?;
        loop {
            let accepted = match sockets.accept(self.listener) {
                Ok(accepted) => accepted,
                Err(SocketError::WouldBlock) => break,
                Err(error) => return Err(format!("accept: {error}")),
            };
            let number = usize::from(accepted.peer.port.wrapping_sub(FIRST_PORT));
            let plan = self.plans.get(number).filter(|_| number < self.clients.len());
            let plan = plan.ok_or_else(|| format!("accepted {}, whom nobody opened", accepted.peer))?;
            if self.accepted.contains(&number) {
                // A cookie cannot know that it was used: its ACK, doubled by the network and late, opens what is long closed.
                if self.syncookies == 0 {
                    return Err(format!("accepted {} twice", accepted.peer));
                }
                sockets.abort(accepted.socket).map_err(|error| format!("abort: {error}"))?;
                self.outcome.ghosts += 1;
                continue;
            }
            self.accepted.push(number);
            self.servers.push(Talker::new(accepted.socket, plan.down, plan.up, plan.server));
        }
        self.servers.iter_mut().try_for_each(|talker| talker.look(self.now, sockets))?;
        let sockets = self.client.sockets().ok_or("no sockets")?;
        self.clients.iter_mut().try_for_each(|talker| talker.look(self.now, sockets))?;
        self.close()?;
        self.client.rest(self.now);
        self.server.rest(self.now);
        Ok(())
    }

    /// Closes what is finished. A patient application waits until its peer has everything, too: what is closed before is
    /// given up after a few retransmissions (Linux: `tcp_orphan_retries`).
    fn close(&mut self) -> Result<(), String> {
        let (Some(at_server), Some(at_client)) = (self.server.sockets(), self.client.sockets()) else {
            return Err("no sockets".into());
        };
        for (server, number) in self.servers.iter_mut().zip(&self.accepted) {
            let Some(client) = self.clients.get_mut(*number) else { continue };
            let (has_server, has_client) = (server.has_received(), client.has_received());
            if has_client || !self.patient {
                server.close(at_server)?;
            }
            if has_server || !self.patient {
                client.close(at_client)?;
            }
        }
        Ok(())
    }

    /// Frames arrive. A port without room loses them, as a network card would.
    fn arrive(&mut self) {
        for (host, link) in [(&mut self.server, &mut self.up), (&mut self.client, &mut self.down)] {
            while let Some(frame) = link.receive(self.now) {
                host.receive(&frame);
            }
        }
    }

    /// Frames leave.
    fn depart(&mut self) {
        for (host, link) in [(&mut self.client, &mut self.up), (&mut self.server, &mut self.down)] {
            while let Some(frame) = host.take_sent() {
                self.outcome.frames += 1;
                if let Some(record) = &mut self.record {
                    record.push((self.now, frame.clone()));
                }
                link.send(self.now, frame);
            }
        }
    }

    fn check_limits(&self) -> Result<(), String> {
        let half_open = self.server.observer().snapshot().gauges.half_open;
        if half_open > u64::from(BACKLOG) + 1 {
            return Err(format!("{half_open} half open with a backlog of {BACKLOG}"));
        }
        Ok(())
    }

    /// When anything happens next.
    fn next_event(&self) -> Option<Duration> {
        let looks = self.clients.iter().chain(&self.servers).filter(|talker| talker.end.is_none());
        let looks = looks.map(|talker| talker.next_look).filter(|look| *look > self.now);
        let opens = self.plans.get(self.clients.len()).map(|plan| plan.at);
        let arrivals = [self.up.next_arrival(), self.down.next_arrival()].into_iter().flatten();
        let hosts = [self.client.next_deadline(self.now), self.server.next_deadline(self.now)].into_iter().flatten();
        looks.chain(opens).chain(arrivals).chain(hosts).min()
    }

    fn is_done(&self) -> bool {
        let ended = |talkers: &[Talker]| talkers.iter().all(|talker| talker.end.is_some());
        self.clients.len() == self.plans.len() && ended(&self.clients) && ended(&self.servers)
    }

    /// Every connection is complete at both ends, or its loss has a reason that such a network gives.
    fn account(&mut self) -> Result<(), String> {
        self.outcome.took = self.now;
        for talker in self.clients.iter().chain(&self.servers) {
            match talker.end {
                Some(End::Complete) => self.outcome.bytes += talker.incoming_length(),
                Some(End::Failed(SocketError::TimedOut)) => {}
                // A cookie is answered with a reset when it comes half a minute late, or when a later segment overtakes the
                // first; and a peer that has closed too early may be gone.
                Some(End::Failed(SocketError::ConnectionReset)) if self.syncookies > 0 || !self.patient => {}
                Some(End::Failed(error)) => return Err(format!("a connection failed: {error}")),
                None => return Err("a connection has no end".into()),
            }
        }
        self.outcome.complete = self.clients.iter().filter(|talker| talker.end == Some(End::Complete)).count() as u32;
        Ok(())
    }
}

fn addresses(ipv6: bool) -> (Endpoint, Endpoint) {
    let host = |n: u8| -> IpAddr {
        if ipv6 {
            Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n.into()).into()
        } else {
            Ipv4Addr::new(198, 18, 0, n).into()
        }
    };
    (Endpoint::new(host(1), 80), Endpoint::new(host(2), 0))
}

fn draw_plan(rng: &mut Rng) -> Plan {
    let flow = |rng: &mut Rng| {
        let longest = [0, 10, 3_000, 100_000, 400_000][rng.below(5) as usize];
        Flow { salt: rng.next(), length: rng.below(longest + 1) }
    };
    Plan {
        at: Duration::from_micros(rng.below(2_000_000)),
        up: flow(rng),
        down: flow(rng),
        client: Temper::draw(rng),
        server: Temper::draw(rng),
    }
}

fn draw_config(rng: &mut Rng, syncookies: u8) -> EngineConfig {
    let buffer = |rng: &mut Rng| 4096 << rng.below(7);
    let (receive_buffer, send_buffer) = (buffer(rng), buffer(rng));
    EngineConfig {
        max_connections: 64,
        max_time_waits: 64,
        syncookies,
        mtu: 576 + rng.below(925) as u16,
        receive_buffer,
        receive_buffer_max: receive_buffer << rng.below(4),
        send_buffer,
        send_buffer_max: send_buffer << rng.below(4),
        nagle: rng.chance(500),
        keepalive: Some(KEEPALIVE),
        // The unfinished form lets one corrupted frame in 65,536 through: it is for devices that lose no bits.
        checksums: ChecksumPolicy::Full,
        frames_per_reader: 1 + rng.below(32) as u32,
        secrets: Some(Secrets::from_seed(rng.next())),
        ..EngineConfig::default()
    }
}
