//! Two ports at the two ends of a wire, each fed by the shield.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};
use synward_ebpf::{Attached, Owned, Protocol, Shield, ShieldConfig, XdpMode};
use synward_nic::{Frame, FrameBudget, Mode, ModeDemand, Port, XskConfig, XskPort};

use crate::wire::{self, Device, Wire};

/// Ethernet, IPv4 and TCP headers.
const HEADERS: usize = 14 + 20 + 20;
/// The shortest frame of Ethernet (its check sequence aside); devices pad what is shorter.
const SHORTEST: usize = 60;
/// The longest, with an MTU of 1500.
const LONGEST: usize = 14 + 1500;
/// The port that belongs to the engine on both ends.
const TCP_PORT: u16 = 7;
/// How long a test waits for what must come: a virtual machine on a busy one is slow.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// Enough for these tests, and little to map.
pub const BUDGET: FrameBudget = FrameBudget {
    fill_ring: 256,
    rx_ring: 256,
    burst: 64,
    tx_ring: 256,
    completion_ring: 256,
    transmit_backlog: 64,
    readers: 64,
    reply_reserve: 16,
};

/// One end: its port, and the program that feeds it.
pub struct End {
    pub port: XskPort,
    pub device: Device,
    // Held for its attachment alone.
    program: Option<(Shield, Attached)>,
}

/// Both ends, and the wire between them, which goes last.
pub struct Ends {
    pub near: End,
    pub far: End,
    pub wire: Wire,
}

/// The configuration of these tests for `interface`: zero-copy is demanded where it is to be tested.
pub fn config(interface: &str) -> XskConfig {
    let mode = match wire::best_mode() {
        Mode::ZeroCopy => ModeDemand::ZeroCopy,
        Mode::Copy | Mode::Memory => ModeDemand::Any,
    };
    XskConfig { budget: BUDGET, mode, ..XskConfig::new(interface, wire::queue()) }
}

impl End {
    /// Opens the port and attaches the program.
    pub fn open(device: &Device, config: XskConfig) -> Self {
        let mut end = Self::without_program(device, &config);
        end.attach_program();
        end
    }

    /// Opens the port, which gets nothing until the program is attached.
    pub fn without_program(device: &Device, config: &XskConfig) -> Self {
        let mut port = device.enter(|| XskPort::open(config)).expect("open the port");
        port.refill();
        Self { port, device: device.clone(), program: None }
    }

    /// Attaches the program that feeds the port.
    pub fn attach_program(&mut self) {
        let Self { port, device, program } = self;
        // The program wants a socket for every queue, though packets arrive on this port's alone.
        let sockets: Vec<_> = (0..device.queues()).map(|queue| (queue, port.as_fd())).collect();
        *program = Some(attach(device, &sockets));
        device.steer_to(wire::queue());
    }

    /// Writes one packet for `to` into a frame: `len` bytes in all, numbered `number` and filled with its low byte.
    pub fn packet(&mut self, to: &Device, len: usize, number: u64) -> Frame {
        let mut frame = self.port.alloc().expect("a free frame");
        let flow = Flow { from: &self.device, to, source: TCP_PORT };
        write_packet(&mut frame, &flow, len, number);
        frame
    }

    /// Receives one packet, or fails.
    pub fn receive_one(&mut self) -> Frame {
        let mut frames = VecDeque::new();
        until("a packet arrives", || {
            self.port.wait(None, Some(Duration::from_millis(10)));
            self.port.rx_burst(&mut frames, 1) == 1
        });
        frames.pop_front().expect("just received")
    }

    /// Sends one packet to `to`, or fails.
    pub fn send_one(&mut self, to: &Device, number: u64) {
        let mut frames = VecDeque::from([self.packet(to, 60, number)]);
        assert_eq!(self.port.tx_burst(&mut frames), 1);
    }
}

impl Ends {
    /// A wire with a port at each end, as `change` makes their configuration.
    pub fn open(change: impl Fn(XskConfig) -> XskConfig) -> Self {
        let wire = Wire::up();
        let open = |device: &Device| End::open(device, change(config(device.interface())));
        let ends = Self { near: open(wire.near()), far: open(wire.far()), wire };
        ends.wire.await_carrier();
        ends
    }

    /// One packet goes from near to far.
    pub fn pass_one(&mut self, number: u64) {
        self.near.send_one(&self.far.device, number);
        let frame = self.far.receive_one();
        assert_eq!(number_of(frame.as_slice()), Some(number));
        self.far.port.recycle(frame);
        self.far.port.refill();
        self.near.port.reclaim();
    }
}

/// Turns until `done`, or fails.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < PATIENCE, "waited in vain until {what}");
    }
}

/// Attaches to `device` a program that feeds `sockets`, each that of a queue, what is for the port of these tests.
pub fn attach(device: &Device, sockets: &[(u32, BorrowedFd<'_>)]) -> (Shield, Attached) {
    let mut shield =
        Shield::load(&ShieldConfig { queues: device.queues(), ..ShieldConfig::default() }).expect("load the shield");
    for &(queue, socket) in sockets {
        shield.set_socket(queue, socket).expect("put the socket into the XSKMAP");
    }
    let address = IpAddr::V4(device.ipv4());
    shield.own(Owned { protocol: Protocol::Tcp, address, port: TCP_PORT }).expect("own the port");
    let attach = || shield.attach(device.interface(), XdpMode::Native).expect("attach the shield");
    let attached = device.enter(attach);
    (shield, attached)
}

/// A length for packet `number`; in their order they have every length that a frame can have.
pub fn length(number: u64) -> usize {
    SHORTEST + number as usize % (LONGEST - SHORTEST + 1)
}

/// Whose packet it is. Devices spread packets over their queues by such things.
pub struct Flow<'a> {
    pub from: &'a Device,
    pub to: &'a Device,
    /// Source port.
    pub source: u16,
}

/// Makes of `frame` a packet of `flow`: `len` bytes in all, numbered `number` and filled with its low byte.
pub fn write_packet(frame: &mut Frame, flow: &Flow<'_>, len: usize, number: u64) {
    let &Flow { from, to, source } = flow;
    let buffer = frame.buffer_mut();
    buffer[..6].copy_from_slice(&to.mac());
    buffer[6..12].copy_from_slice(&from.mac());
    buffer[12..14].copy_from_slice(&0x0800_u16.to_be_bytes());
    write_ipv4(&mut buffer[14..34], from.ipv4(), to.ipv4(), (len - 14) as u16);
    let tcp = &mut buffer[34..HEADERS];
    tcp.fill(0);
    tcp[..2].copy_from_slice(&source.to_be_bytes());
    tcp[2..4].copy_from_slice(&TCP_PORT.to_be_bytes());
    tcp[4..12].copy_from_slice(&number.to_be_bytes());
    // A header of five words; an ACK.
    tcp[12..14].copy_from_slice(&[0x50, 0x10]);
    buffer[HEADERS..len].fill(number as u8);
    frame.set_len(len);
}

fn write_ipv4(header: &mut [u8], from: Ipv4Addr, to: Ipv4Addr, total: u16) {
    header.fill(0);
    header[0] = 0x45;
    header[2..4].copy_from_slice(&total.to_be_bytes());
    header[8..10].copy_from_slice(&[64, 6]);
    header[12..16].copy_from_slice(&from.octets());
    header[16..20].copy_from_slice(&to.octets());
    // RFC 1071. Bridges with a packet filter drop what fails it, and some devices do not spread that over their queues.
    let sum: u32 = header.chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    let once = (sum & 0xffff) + (sum >> 16);
    let twice = (once & 0xffff) + (once >> 16);
    header[10..12].copy_from_slice(&(!(twice as u16)).to_be_bytes());
}

/// The number of a packet; `None` when a byte of its payload is not what it was filled with.
pub fn number_of(packet: &[u8]) -> Option<u64> {
    let number = u64::from_be_bytes(packet.get(38..46)?.try_into().ok()?);
    packet.get(HEADERS..)?.iter().all(|&byte| byte == number as u8).then_some(number)
}

/// Makes a packet its own answer: both pairs of addresses change places.
pub fn turn_around(packet: &mut [u8]) {
    let (to, from) = packet[..12].split_at_mut(6);
    to.swap_with_slice(from);
    let (from, to) = packet[26..34].split_at_mut(4);
    from.swap_with_slice(to);
}
