//! What `sw_open` is told.

use crate::settings;
use std::ffi::{c_char, c_int, c_uchar};
use std::net::IpAddr;
use synward_engine::{EngineConfig, Secrets};
use synward_proto::{Link, MacAddr};

/// Virtual time; frames are the caller's. No thread, no privilege; nothing waits. See the calls sw_step_...
pub const SW_STEPPED: c_int = 0;
/// Real time; frames are the caller's (sw_frame_inject, sw_frame_take). The engine has a thread of its own; calls wait.
pub const SW_FRAMES: c_int = 1;
/// Real time; frames are those of an interface, by AF_XDP. As SW_FRAMES, and needs root or CAP_NET_ADMIN, CAP_NET_RAW and
/// CAP_BPF.
pub const SW_INTERFACE: c_int = 2;

/// What an engine is told when it is opened. Write it with designated initialisers: what is not named is zero, and zero
/// stands for what is said below.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct sw_config {
    /// SW_STEPPED, SW_FRAMES or SW_INTERFACE.
    pub mode: c_int,
    /// SW_INTERFACE: the name of the interface. Else NULL.
    pub interface: *const c_char,
    /// Our IP addresses, with spaces between them; the first of a family is the source of connections that are not bound.
    /// SW_INTERFACE: NULL stands for those of the interface.
    pub addresses: *const c_char,
    /// Our hardware address. Only where frames are the caller's: 02:00:00:00:00:01 if all are zero.
    pub mac: [c_uchar; 6],
    /// The hardware address that connections of ours are opened towards, wherever they go. Only where frames are the
    /// caller's: 02:00:00:00:00:02 if all are zero.
    pub peer_mac: [c_uchar; 6],
    /// Where keys, and with them initial sequence numbers, timestamps and source ports, come from. Equal seeds, times, frames
    /// and calls give equal frames. 0: from the system's random source; never give a seed on a network with strangers.
    pub seed: u64,
    /// Settings by the names of sysctl and values, with spaces between them, such as "tcp_sack=0 somaxconn=8"; NULL for none.
    /// docs/c.md lists them.
    pub settings: *const c_char,
}

/// How an engine is driven.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// By the caller.
    Stepped,
    /// By a thread, on frames of the caller.
    Frames,
    /// By a thread, on an interface of this name.
    Interface(String),
}

/// What an engine is told, checked.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) mode: Mode,
    /// None on an interface whose own are to be used.
    pub(crate) addresses: Vec<IpAddr>,
    /// The way to everybody, where frames are the caller's.
    pub(crate) link: Link,
    pub(crate) engine: EngineConfig,
}

/// [`sw_config`], with texts in place of pointers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words<'call> {
    pub(crate) mode: c_int,
    pub(crate) interface: Option<&'call str>,
    pub(crate) addresses: Option<&'call str>,
    pub(crate) mac: [u8; 6],
    pub(crate) peer_mac: [u8; 6],
    pub(crate) seed: u64,
    pub(crate) settings: Option<&'call str>,
}

/// Ports that connections of ours come from on an interface: none that the kernel gives by default (`ip_local_port_range`).
const OWN_PORTS: std::ops::RangeInclusive<u16> = 61_000..=65_535;

impl Config {
    /// Reads what the caller has written.
    ///
    /// # Errors
    /// A sentence about what cannot be used, and why.
    pub(crate) fn read(words: &Words) -> Result<Self, String> {
        let mode = match (words.mode, words.interface) {
            (SW_STEPPED, None) => Mode::Stepped,
            (SW_FRAMES, None) => Mode::Frames,
            (SW_INTERFACE, Some(name)) => Mode::Interface(name.to_owned()),
            (SW_INTERFACE, None) => return Err("interface: SW_INTERFACE needs the name of one".to_owned()),
            (SW_STEPPED | SW_FRAMES, Some(_)) => return Err("interface: only SW_INTERFACE has one".to_owned()),
            (mode, _) => return Err(format!("mode: {mode} is none of SW_STEPPED, SW_FRAMES and SW_INTERFACE")),
        };
        let addresses = addresses(words.addresses.unwrap_or_default())?;
        let mut engine = EngineConfig::default();
        if matches!(mode, Mode::Interface(_)) {
            engine.source_ports = OWN_PORTS;
        } else if addresses.is_empty() {
            return Err("addresses: where frames are the caller's, it has to say which addresses are ours".to_owned());
        }
        engine.secrets = (words.seed != 0).then(|| Secrets::from_seed(words.seed));
        settings::apply(words.settings.unwrap_or_default(), &mut engine)?;
        let or = |mac: [u8; 6], last| MacAddr(if mac == [0; 6] { [2, 0, 0, 0, 0, last] } else { mac });
        let link = Link { local: or(words.mac, 1), remote: or(words.peer_mac, 2), outer: None, inner: None };
        Ok(Self { mode, addresses, link, engine })
    }
}

fn addresses(text: &str) -> Result<Vec<IpAddr>, String> {
    let address = |word: &str| match word.parse::<IpAddr>() {
        Ok(address) if address.is_unspecified() || address.is_multicast() => {
            Err(format!("addresses: {word} cannot be the address of a host"))
        }
        Ok(address) => Ok(address),
        Err(_) => Err(format!("addresses: {word} is no IP address")),
    };
    text.split_whitespace().map(address).collect()
}

#[cfg(test)]
impl Words<'static> {
    /// A stepped engine at one address, and nothing else said.
    pub(crate) const STEPPED: Self = Self {
        mode: SW_STEPPED,
        interface: None,
        addresses: Some("192.0.2.1"),
        mac: [0; 6],
        peer_mac: [0; 6],
        seed: 0,
        settings: None,
    };
}

#[cfg(test)]
mod tests {
    use super::{Config, Mode, SW_FRAMES, SW_INTERFACE, Words};
    use synward_proto::MacAddr;

    #[test]
    fn zeros_stand_for_what_the_header_says() {
        let config = Config::read(&Words::STEPPED).expect("fine");
        assert_eq!(config.mode, Mode::Stepped);
        assert_eq!(config.link.local, MacAddr([2, 0, 0, 0, 0, 1]));
        assert_eq!(config.link.remote, MacAddr([2, 0, 0, 0, 0, 2]));
        assert!(config.engine.secrets.is_none());
        let named = Words { mode: SW_INTERFACE, interface: Some("eth0"), addresses: None, ..Words::STEPPED };
        let config = Config::read(&named).expect("fine");
        assert_eq!((config.mode, config.engine.source_ports), (Mode::Interface("eth0".to_owned()), 61_000..=65_535));
    }

    #[test]
    fn mistakes_are_named() {
        for (words, complaint) in [
            (Words { mode: 9, ..Words::STEPPED }, "mode: 9 is none of"),
            (Words { mode: SW_INTERFACE, ..Words::STEPPED }, "interface: SW_INTERFACE needs"),
            (Words { interface: Some("eth0"), ..Words::STEPPED }, "interface: only SW_INTERFACE"),
            (Words { mode: SW_FRAMES, addresses: None, ..Words::STEPPED }, "addresses: where frames are the caller's"),
            (Words { addresses: Some("192.0.2.1 nobody"), ..Words::STEPPED }, "addresses: nobody is no IP address"),
            (Words { addresses: Some("224.0.0.1"), ..Words::STEPPED }, "addresses: 224.0.0.1 cannot be"),
            (Words { settings: Some("tcp_sack=2"), ..Words::STEPPED }, "tcp_sack=2: "),
        ] {
            let told = Config::read(&words).expect_err("a mistake");
            assert!(told.starts_with(complaint), "{told}");
        }
    }
}
