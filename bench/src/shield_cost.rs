//! A shield with so much to look through, to measure what that costs.

use anyhow::{Context, Result, ensure};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use synward_ebpf::{Attached, CookieOffer, ListVerdict, Owned, Prefix, Protocol, Shield, ShieldConfig, XdpMode};
use synward_lab::Host;
use synward_nic::{XskConfig, XskPort};

/// How full a shield is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Filling {
    /// IPv4 prefixes of 24 bits that are to be dropped, outside of 10.0.0.0/8, where the lab's sources are.
    pub prefixes: u32,
    /// Known flows of other sources than a flood's; the filter is sized for them.
    pub flows: u32,
}

/// Prefixes of 24 bits outside of 10.0.0.0/8, and below the multicast addresses.
const MOST_PREFIXES: u32 = (224 - 1 - 11) << 16;

/// A shield that is up for one listener, attached to an interface that nobody else uses. Nothing reads its socket.
pub struct FilledShield {
    attached: Attached,
    _shield: Shield,
    _port: XskPort,
}

impl FilledShield {
    /// Attaches one to the first queue of `interface` in `host`, with a listener at `target`.
    ///
    /// # Errors
    /// More prefixes than there are; the interface is not free, or the kernel refuses.
    pub fn attach(host: &Host, interface: &str, target: SocketAddrV4, filling: Filling) -> Result<Self> {
        ensure!(
            filling.prefixes <= MOST_PREFIXES,
            "there are {MOST_PREFIXES} prefixes to list, not {}",
            filling.prefixes
        );
        host.enter(|| {
            let config = ShieldConfig {
                flows: filling.flows,
                prefixes: filling.prefixes.max(1),
                // All ticks are of one epoch.
                ticks_per_key: u32::MAX,
                ..ShieldConfig::default()
            };
            let mut shield = Shield::load(&config)?;
            let port = XskPort::open(&XskConfig::new(interface, 0))?;
            shield.set_socket(0, &port)?;
            shield.set_cookie_key(0, &[7; 16])?;
            let owned = Owned { protocol: Protocol::Tcp, address: IpAddr::V4(*target.ip()), port: target.port() };
            let listener = shield.own_listener(owned, &CookieOffer::default())?;
            shield.listeners().set_up(listener, true);
            fill(&mut shield, target, filling)?;
            let attached = shield.attach(interface, XdpMode::Native)?;
            Ok(Self { attached, _shield: shield, _port: port })
        })?
    }

    /// The kernel's number of its program, for [`run_cost`](crate::flood::run_cost).
    pub fn program_id(&self) -> u32 {
        self.attached.program_id()
    }
}

fn fill(shield: &mut Shield, target: SocketAddrV4, filling: Filling) -> Result<()> {
    for number in 0..filling.prefixes {
        // Spread over all of them: an odd factor reaches each once.
        let place = number.wrapping_mul(0x9e37_79b1) % MOST_PREFIXES;
        let network = Ipv4Addr::from_bits((11 << 24) + (place << 8));
        let prefix = Prefix::new(network.into(), 24).context("24 bits of an address")?;
        shield.prefix_list().insert(prefix, ListVerdict::Drop, None)?;
    }
    let flows = shield.flows();
    for number in 0..filling.flows {
        let source = Ipv4Addr::from_bits((172 << 24) + (16 << 16) + (number >> 12));
        let remote = SocketAddr::new(source.into(), 1024 + (number & 0xfff) as u16);
        flows.insert(target.into(), remote);
    }
    Ok(())
}
