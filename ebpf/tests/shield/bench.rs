//! What the tests of verdicts stand on: a shield with something to own, and the frames that they begin with.

use std::os::fd::OwnedFd;

use synward_ebpf::ShieldCounter::{Passed, Redirected};
use synward_ebpf::XdpAction::{Pass, Redirect};
use synward_ebpf::{Arrival, Interface, Owned, Protocol, Shield, ShieldConfig, ShieldCounter, XdpAction};

use crate::frame::Frame;
use crate::xdp_socket::xdp_socket;

pub const V4: &str = "192.0.2.1";
pub const V6: &str = "2001:db8::1";
pub const OTHER4: &str = "192.0.2.2";
pub const OTHER6: &str = "2001:db8::2";
pub const PORT: u16 = 80;
pub const MORE_FRAGMENTS: u16 = 0x2000;
pub const DONT_FRAGMENT: u16 = 0x4000;
pub const ETHERNET: usize = 14;
/// In an IPv6 extension header: an option that is padding.
pub const OPTION_PADDING: [u8; 6] = [1, 4, 0, 0, 0, 0];

pub const OURS: (XdpAction, ShieldCounter) = (Redirect, Redirected);
pub const KERNEL: (XdpAction, ShieldCounter) = (Pass, Passed);

pub fn owned(address: &str, port: u16) -> Owned {
    Owned { protocol: Protocol::Tcp, address: address.parse().unwrap(), port }
}

/// A shield that owns `V4` and `V6` at `PORT`, with a socket on queue 0, in a namespace of its own.
pub struct Bench {
    pub shield: Shield,
    pub arrival: Arrival,
    _socket: OwnedFd,
}

impl Bench {
    pub fn new() -> Self {
        let mut bench = Self::with(&ShieldConfig { owned_capacity: 16, ..ShieldConfig::default() });
        bench.shield.own(owned(V4, PORT)).unwrap();
        bench.shield.own(owned(V6, PORT)).unwrap();
        bench
    }

    /// A shield that owns nothing yet.
    pub fn with(config: &ShieldConfig) -> Self {
        let mut shield = Shield::load(config).unwrap();
        let socket = xdp_socket();
        shield.set_socket(0, &socket).unwrap();
        let arrival = Arrival { ifindex: Interface::by_name("lo").unwrap().index, queue: 0 };
        Self { shield, arrival, _socket: socket }
    }

    /// The verdict, and the one counter that rose by one.
    pub fn judge(&self, frame: &[u8]) -> (XdpAction, ShieldCounter) {
        let (action, counter, _) = self.run(frame);
        (action, counter)
    }

    /// The same, and what is left of the frame.
    pub fn run(&self, frame: &[u8]) -> (XdpAction, ShieldCounter, Vec<u8>) {
        let before = self.shield.counters().unwrap();
        let (action, bytes) = self.shield.run(frame, self.arrival).unwrap();
        let after = self.shield.counters().unwrap();
        let risen: Vec<_> =
            ShieldCounter::ALL.iter().copied().filter(|counter| after.get(*counter) != before.get(*counter)).collect();
        let [counter] = risen[..] else { panic!("one counter must rise, not {risen:?}: {frame:02x?}") };
        assert_eq!(after.get(counter), before.get(counter) + 1);
        (action, counter, bytes)
    }
}

pub fn eth() -> Frame {
    Frame::ethernet()
}

pub fn tagged(tags: &[u16]) -> Frame {
    tags.iter().fold(eth(), |frame, ethertype| frame.vlan(*ethertype, 7))
}

/// What a frame is, what becomes of it, and how many of its bytes decide that: a shorter one is the kernel's.
pub struct Row {
    pub what: &'static str,
    pub frame: Frame,
    pub verdict: (XdpAction, ShieldCounter),
    pub decided_at: usize,
}

/// A row that is the kernel's at every length.
pub fn kernel(what: &'static str, frame: Frame) -> Row {
    Row { what, frame, verdict: KERNEL, decided_at: 0 }
}

/// Numbers below a limit, the same in each run.
pub fn random() -> impl FnMut(usize) -> usize {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % below
    }
}
