//! The oracle: the Linux kernel, in a network namespace of its own, in real time.
//!
//! The namespace has one TUN device, and the test holds its other end: the process *is* the wire. What it writes is
//! handled by the kernel before the write returns, so that only timers need waiting for.
//!
//! **Tolerance.** A line's segment may come 10 ms early (a tick of the kernel is 4 ms at 250 Hz) and 150 ms plus an eighth of
//! the time since the line before late: an eighth is what the kernel's timer wheel rounds up (`kernel/time/timer.c`). Each
//! time something came late the script's clock is set back to it, so lateness does not add up; what has been set back
//! counts as earliness allowed.
//!
//! **A disturbed run** is one where the player itself was late by more than 10 ms, because the machine had other work.
//! When such a run fails, it says nothing; it is repeated.

mod counters;
mod namespace;
mod options;

use crate::play::{self, Failure, MACS};
use crate::script::{Algorithm, Ip, LISTEN_PORT, Script, Setting, Setup, TargetKind};
use crate::target::{Direction, Io, Queue, Ready, Sent, SocketKey, Target, Tolerance, errno_name};
use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, sockopt};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};
use synward_proto::Endpoint;

const EARLY: Duration = Duration::from_millis(10);
const LATE: Duration = Duration::from_millis(150);
/// The share of a wait by which the kernel's timer wheel may be late: 1/8.
const WHEEL_SHARE: u32 = 8;
/// More than this late, the player is disturbed.
const DISTURBED: Duration = Duration::from_millis(10);
const ATTEMPTS: u32 = 5;
const ETHERNET: usize = 14;

/// Whether this process may make namespaces and TUN devices.
pub fn available() -> bool {
    rustix::process::geteuid().is_root() && std::path::Path::new("/dev/net/tun").exists()
}

/// Plays `script` against the kernel, in a namespace of its own on a thread of its own.
///
/// # Errors
/// The outer one when the namespace could not be made; the inner one is the first line that did not happen as written.
pub fn play(script: &Script) -> Result<Result<(), Box<Failure>>> {
    std::thread::scope(|scope| {
        let attempts = scope.spawn(|| {
            let mut attempt = 1;
            loop {
                namespace::enter_new()?;
                let mut target = KernelTarget::new(&script.setup)?;
                let outcome = play::play(script, TargetKind::Kernel, &mut target);
                if outcome.is_ok() || !target.disturbed || attempt == ATTEMPTS {
                    return Ok(outcome);
                }
                attempt += 1;
            }
        });
        attempts.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The kernel as a [`Target`]. It lives and dies on one thread, that of its namespace.
struct KernelTarget {
    wire: OwnedFd,
    setup: Setup,
    listeners: Vec<OwnedFd>,
    sockets: Vec<Option<OwnedFd>>,
    mtu: usize,
    start: Instant,
    /// By how much the script's clock was set back in all.
    slip: Duration,
    disturbed: bool,
}

impl KernelTarget {
    /// Sets the calling thread's namespace up as the header lines say.
    fn new(setup: &Setup) -> Result<Self> {
        set_sysctls(setup)?;
        let wire = namespace::wire(setup.our_address(), setup.mtu)?;
        let listener = listen(setup, LISTEN_PORT).context("listen")?;
        Ok(Self {
            wire,
            setup: setup.clone(),
            listeners: vec![listener],
            sockets: Vec::new(),
            mtu: setup.mtu.into(),
            start: Instant::now(),
            slip: Duration::ZERO,
            disturbed: false,
        })
    }

    fn get(&self, socket: SocketKey) -> Result<&OwnedFd, Errno> {
        self.sockets.get(socket.0).and_then(Option::as_ref).ok_or(Errno::BADF)
    }

    fn keep(&mut self, socket: OwnedFd) -> SocketKey {
        self.sockets.push(Some(socket));
        SocketKey(self.sockets.len() - 1)
    }
}

fn socket(ip: Ip) -> rustix::io::Result<OwnedFd> {
    let family = if ip == Ip::V6 { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    Ok(socket)
}

/// What is set on the listener, its connections inherit.
fn listen(setup: &Setup, port: u16) -> rustix::io::Result<OwnedFd> {
    let socket = socket(setup.ip)?;
    sockopt::set_tcp_nodelay(&socket, !setup.nagle)?;
    if let Some(keepalive) = setup.keepalive {
        sockopt::set_socket_keepalive(&socket, true)?;
        sockopt::set_tcp_keepidle(&socket, keepalive.idle)?;
        sockopt::set_tcp_keepintvl(&socket, keepalive.interval)?;
        sockopt::set_tcp_keepcnt(&socket, keepalive.probes.into())?;
    }
    if let Some(bytes) = setup.receive_buffer {
        sockopt::set_socket_recv_buffer_size(&socket, bytes as usize)?;
    }
    if let Some(bytes) = setup.send_buffer {
        sockopt::set_socket_send_buffer_size(&socket, bytes as usize)?;
    }
    if let Some(timeout) = setup.user_timeout {
        options::set(&socket, setup, Setting::UserTimeout(timeout))?;
    }
    bind(&socket, SocketAddr::new(setup.our_address(), port))?;
    rustix::net::listen(&socket, setup.backlog.try_into().unwrap_or(i32::MAX))?;
    Ok(socket)
}

fn set_sysctls(setup: &Setup) -> Result<()> {
    let numbers = [
        ("core/somaxconn", setup.somaxconn),
        ("ipv4/tcp_max_syn_backlog", setup.max_syn_backlog),
        ("ipv4/tcp_syncookies", setup.syncookies.into()),
        ("ipv4/tcp_abort_on_overflow", setup.abort_on_overflow.into()),
        ("ipv4/tcp_synack_retries", setup.synack_retries.into()),
        ("ipv4/tcp_retries2", setup.retries.into()),
        ("ipv4/tcp_syn_retries", setup.syn_retries.into()),
        ("ipv4/tcp_ecn", setup.ecn.into()),
        ("ipv4/tcp_timestamps", setup.timestamps.into()),
        ("ipv4/tcp_sack", setup.sack.into()),
        // Linux's defaults, whatever this machine has: tail loss probe, RACK, F-RTO, D-SACK.
        ("ipv4/tcp_early_retrans", 3),
        ("ipv4/tcp_recovery", 1),
        ("ipv4/tcp_frto", 2),
        ("ipv4/tcp_dsack", 1),
        // What the engine does not have is off: memory of former connections.
        ("ipv4/tcp_no_metrics_save", 1),
        // What the engine always does is on: a reset does not end TIME-WAIT.
        ("ipv4/tcp_rfc1337", 1),
    ];
    numbers.into_iter().try_for_each(|(name, value)| namespace::sysctl(name, value))?;
    // The buffer limit from which a window scale of 7 follows, as it was for most of Linux's life; newer kernels have 10.
    namespace::sysctl("ipv4/tcp_rmem", "4096 131072 6291456")?;
    namespace::sysctl("ipv4/tcp_congestion_control", setup.congestion.unwrap_or(Algorithm::Reno).name())
}

/// Binds. An IPv6 address is usable only once a work queue of the kernel has got round to it, even where no duplicates
/// are looked for.
fn bind(socket: &OwnedFd, address: SocketAddr) -> rustix::io::Result<()> {
    const PATIENCE: Duration = Duration::from_secs(5);
    let start = Instant::now();
    loop {
        match rustix::net::bind(socket, &address) {
            Err(Errno::ADDRNOTAVAIL) if start.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(1)),
            outcome => return outcome,
        }
    }
}

fn io<T>(outcome: Result<T, Errno>) -> Io<T> {
    match outcome {
        Ok(value) => Io::Done(value),
        Err(Errno::AGAIN) => Io::Blocks,
        Err(errno) => Io::Failed(errno_name(errno.raw_os_error())),
    }
}

impl Target for KernelTarget {
    fn now(&self) -> Duration {
        self.start.elapsed().saturating_sub(self.slip)
    }

    fn inject(&mut self, frame: &[u8]) -> bool {
        let packet = frame.get(ETHERNET..).unwrap_or_default();
        packet.len() <= self.mtu && rustix::io::write(&self.wire, packet).is_ok()
    }

    fn next_frame(&mut self, until: Duration) -> Option<Sent> {
        let mut packet = [0; 65_536];
        loop {
            self.disturbed |= self.now() > until + DISTURBED;
            if let Ok(length) = rustix::io::read(&self.wire, packet.as_mut_slice()) {
                return Some(Sent { at: self.now(), frame: with_ethernet(&packet[..length]) });
            }
            let left = until.checked_sub(self.now()).filter(|left| !left.is_zero())?;
            let timeout = Timespec::try_from(left).ok();
            // Whether it returns for a packet, for the time or for a signal, the loop looks again.
            let _ = poll(&mut [PollFd::new(&self.wire, PollFlags::IN)], timeout.as_ref());
        }
    }

    fn tolerance(&self, step: Duration) -> Tolerance {
        Tolerance { early: EARLY + self.slip, late: LATE + step / WHEEL_SHARE }
    }

    fn settle(&mut self, at: Duration) {
        self.slip += self.now().saturating_sub(at);
    }

    fn pause(&mut self) -> bool {
        std::thread::sleep(Duration::from_millis(2));
        true
    }

    fn set_mtu(&mut self, mtu: u16) -> Io<()> {
        self.mtu = mtu.into();
        match namespace::set_mtu(self.setup.ip, mtu) {
            Ok(()) => Io::Done(()),
            Err(error) => Io::Failed(error.to_string()),
        }
    }

    fn listen(&mut self, port: u16) -> Io<()> {
        io(listen(&self.setup, port)).map(|listener| self.listeners.push(listener))
    }

    fn accept(&mut self) -> Io<(SocketKey, Endpoint)> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let mut accepted = Err(Errno::AGAIN);
        for listener in &self.listeners {
            accepted = rustix::net::acceptfrom_with(listener, flags).and_then(|(socket, peer)| {
                let peer: SocketAddr = peer.ok_or(Errno::NOTCONN)?.try_into()?;
                Ok((socket, peer))
            });
            if !matches!(accepted, Err(Errno::AGAIN)) {
                break;
            }
        }
        io(accepted).map(|(socket, peer)| (self.keep(socket), peer.into()))
    }

    fn connect(&mut self, local: Endpoint, remote: Endpoint) -> Io<SocketKey> {
        let opened = socket(self.setup.ip).and_then(|socket| {
            bind(&socket, local.into())?;
            match rustix::net::connect(&socket, &SocketAddr::from(remote)) {
                Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
                Err(errno) => Err(errno),
            }
        });
        io(opened).map(|socket| self.keep(socket))
    }

    fn connected(&mut self, socket: SocketKey) -> Io<()> {
        io(self.get(socket).and_then(|socket| {
            let mut ready = [PollFd::new(socket, PollFlags::OUT)];
            match poll(&mut ready, Some(&Timespec::default()))? {
                0 => Err(Errno::AGAIN),
                _ => sockopt::socket_error(socket)?,
            }
        }))
    }

    fn read(&mut self, socket: SocketKey, max: usize) -> Io<Vec<u8>> {
        io(self.get(socket).and_then(|socket| {
            let mut bytes = vec![0; max];
            let (length, _) = rustix::net::recv(socket, bytes.as_mut_slice(), RecvFlags::empty())?;
            bytes.truncate(length);
            Ok(bytes)
        }))
    }

    fn write(&mut self, socket: SocketKey, bytes: &[u8]) -> Io<usize> {
        io(self.get(socket).and_then(|socket| rustix::net::send(socket, bytes, SendFlags::NOSIGNAL)))
    }

    fn shutdown(&mut self, socket: SocketKey, direction: Direction) -> Io<()> {
        let how = match direction {
            Direction::Read => Shutdown::Read,
            Direction::Write => Shutdown::Write,
            Direction::Both => Shutdown::Both,
        };
        io(self.get(socket).and_then(|socket| rustix::net::shutdown(socket, how)))
    }

    fn set(&mut self, socket: SocketKey, setting: Setting) -> Io<()> {
        io(self.get(socket).and_then(|socket| options::set(socket, &self.setup, setting)))
    }

    fn ready(&mut self, socket: SocketKey) -> Io<Ready> {
        io(self.get(socket).and_then(|socket| {
            let mut asked = [PollFd::new(socket, PollFlags::IN | PollFlags::OUT)];
            poll(&mut asked, Some(&Timespec::default()))?;
            let told = asked[0].revents();
            let names = [
                (PollFlags::IN, Ready::IN),
                (PollFlags::OUT, Ready::OUT),
                (PollFlags::HUP, Ready::HUP),
                (PollFlags::ERR, Ready::ERR),
            ];
            Ok(names.into_iter().filter_map(|(flag, name)| told.contains(flag).then_some(name)).collect())
        }))
    }

    fn queued(&mut self, socket: SocketKey, queue: Queue) -> Io<u64> {
        io(self.get(socket).and_then(|socket| options::queued(socket, queue)))
    }

    fn info(&mut self, socket: SocketKey, field: &str) -> Io<Option<u64>> {
        io(self.get(socket).and_then(|socket| options::info(socket, field)))
    }

    fn close(&mut self, socket: SocketKey) -> Io<()> {
        let closed = self.sockets.get_mut(socket.0).and_then(Option::take);
        io(closed.map(drop).ok_or(Errno::BADF))
    }

    fn abort(&mut self, socket: SocketKey) -> Io<()> {
        let lingered = self.get(socket).and_then(|socket| sockopt::set_socket_linger(socket, Some(Duration::ZERO)));
        match io(lingered) {
            Io::Done(()) => self.close(socket),
            other => other,
        }
    }

    fn counter(&mut self, name: &str) -> Option<u64> {
        counters::read(name)
    }

    fn drops(&mut self, _reason: &str) -> Option<u64> {
        None
    }

    fn half_open(&mut self) -> u64 {
        counters::half_open()
    }

    fn check_end(&mut self) -> Result<(), String> {
        Ok(())
    }
}

/// A TUN device has no link layer; what the player expects of one is put in front.
fn with_ethernet(packet: &[u8]) -> Vec<u8> {
    let kind: u16 = if packet.first().is_some_and(|byte| byte >> 4 == 6) { 0x86dd } else { 0x0800 };
    let answer = MACS.reversed();
    [answer.destination.as_slice(), &answer.source, &kind.to_be_bytes(), packet].concat()
}
