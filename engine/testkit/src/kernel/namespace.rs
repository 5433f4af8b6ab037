//! A network namespace with one TUN device, whose other end is this process.
//!
//! Unsafe code here defends one invariant: each ioctl gets a pointer to a live structure of the type that its request
//! reads or writes, and the thread that is moved to a new namespace was started for the purpose and ends in it.

use crate::script::Ip;
use anyhow::{Context, Result};
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketType, netdevice};
use rustix::thread::UnshareFlags;
use std::fs;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};

const DEVICE: &str = "wire0";
/// The length of a netlink message that sets one number of a device: header, `ifinfomsg`, attribute.
const LINK_MESSAGE: usize = 16 + 16 + 8;

/// Moves the calling thread into a new network namespace, for the rest of its life.
///
/// # Errors
/// Without CAP_SYS_ADMIN.
pub(super) fn enter_new() -> Result<()> {
    // SAFETY: CLONE_NEWNET does not touch the descriptor table, which is what makes the function unsafe.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.context("new network namespace")
}

/// Sets a sysctl of the calling thread's namespace; `name` is its path below `/proc/sys/net`.
pub(super) fn sysctl(name: &str, value: impl ToString) -> Result<()> {
    fs::write(format!("/proc/sys/net/{name}"), value.to_string()).with_context(|| format!("sysctl {name}"))
}

/// A TUN device of the calling thread's namespace: up, with `address` (of a /24 or a /64) on it. Reading from the
/// descriptor takes the next IP packet that the kernel sends, writing to it is a packet that the kernel receives.
pub(super) fn wire(address: IpAddr, mtu: u16) -> Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let wire = rustix::fs::open("/dev/net/tun", flags, Mode::empty()).context("open /dev/net/tun")?;
    let mut request = request();
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as i16;
    ioctl(&wire, libc::TUNSETIFF, &mut request).context("make a TUN device")?;
    // Before the device comes up: no duplicate address detection, no router solicitations, no surprises of routing.
    for (name, value) in [("accept_dad", 0), ("router_solicitations", 0), ("autoconf", 0)] {
        sysctl(&format!("ipv6/conf/{DEVICE}/{name}"), value)?;
    }
    for device in ["all", DEVICE] {
        sysctl(&format!("ipv4/conf/{device}/rp_filter"), 0)?;
    }
    let ip = if address.is_ipv4() { Ip::V4 } else { Ip::V6 };
    set_mtu(ip, mtu)?;
    segments_go_singly()?;
    let socket = control(ip)?;
    let set = |name: &str, code: libc::Ioctl, fill: &dyn Fn(&mut libc::ifreq)| {
        let mut request = self::request();
        fill(&mut request);
        ioctl(&socket, code, &mut request).with_context(|| name.to_owned())
    };
    set("SIOCSIFFLAGS", libc::SIOCSIFFLAGS, &|request| request.ifr_ifru.ifru_flags = libc::IFF_UP as i16)?;
    match address {
        IpAddr::V4(v4) => {
            set("SIOCSIFADDR", libc::SIOCSIFADDR, &|request| request.ifr_ifru.ifru_addr = socket_address(v4.octets()))?;
            set("SIOCSIFNETMASK", libc::SIOCSIFNETMASK, &|request| {
                request.ifr_ifru.ifru_netmask = socket_address([255, 255, 255, 0]);
            })?;
        }
        IpAddr::V6(v6) => {
            let index = netdevice::name_to_index(&socket, DEVICE)?;
            let mut request = libc::in6_ifreq {
                ifr6_addr: libc::in6_addr { s6_addr: v6.octets() },
                ifr6_prefixlen: 64,
                ifr6_ifindex: index as i32,
            };
            // SAFETY: on an AF_INET6 socket SIOCSIFADDR reads an `in6_ifreq`, which lives until the call is over.
            let outcome = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFADDR, &raw mut request) };
            check(outcome).context("SIOCSIFADDR")?;
        }
    }
    Ok(wire)
}

/// Keeps the kernel from building bundles of segments for the device to cut, and from waiting for more to bundle: what goes out is
/// then what its window and its congestion control say, segment by segment.
fn segments_go_singly() -> Result<()> {
    let socket = rustix::net::socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    let index = netdevice::name_to_index(&control(Ip::V4)?, DEVICE)?;
    // NETLINK_ROUTE is protocol 0. An nlmsghdr, an ifinfomsg and one attribute (rtnetlink(7)); all numbers are the host's.
    let mut message = Vec::with_capacity(LINK_MESSAGE);
    message.extend((LINK_MESSAGE as u32).to_ne_bytes());
    message.extend(libc::RTM_NEWLINK.to_ne_bytes());
    message.extend(((libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16).to_ne_bytes());
    message.extend([0; 12]);
    message.extend(index.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(8u16.to_ne_bytes());
    message.extend(libc::IFLA_GSO_MAX_SEGS.to_ne_bytes());
    message.extend(1u32.to_ne_bytes());
    rustix::io::write(&socket, &message).context("RTM_NEWLINK")?;
    let mut answer = [0; 64];
    rustix::io::read(&socket, answer.as_mut_slice()).context("the answer to RTM_NEWLINK")?;
    let mut errno = [0; 4];
    errno.copy_from_slice(&answer[16..20]);
    check(i32::from_ne_bytes(errno).min(0)).context("gso_max_segs 1")
}

/// Sets the MTU of the device.
pub(super) fn set_mtu(ip: Ip, mtu: u16) -> Result<()> {
    let mut request = request();
    request.ifr_ifru.ifru_mtu = mtu.into();
    ioctl(&control(ip)?, libc::SIOCSIFMTU, &mut request).context("SIOCSIFMTU")
}

/// A socket to ask for changes of the device by.
fn control(ip: Ip) -> rustix::io::Result<OwnedFd> {
    let family = if ip == Ip::V4 { AddressFamily::INET } else { AddressFamily::INET6 };
    rustix::net::socket(family, SocketType::DGRAM, None)
}

/// An empty request that names the device.
fn request() -> libc::ifreq {
    let mut name = [0; libc::IFNAMSIZ];
    for (slot, byte) in name.iter_mut().zip(DEVICE.bytes()) {
        *slot = byte as libc::c_char;
    }
    // SAFETY: `ifreq` is plain old data, for which all zeroes is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name = name;
    request
}

/// A `sockaddr_in` in the shape that `ifreq` has room for: family, port zero, address.
fn socket_address(octets: [u8; 4]) -> libc::sockaddr {
    let mut data = [0; 14];
    for (slot, byte) in data[2..].iter_mut().zip(octets) {
        *slot = byte as libc::c_char;
    }
    libc::sockaddr { sa_family: libc::AF_INET as libc::sa_family_t, sa_data: data }
}

fn ioctl(fd: &OwnedFd, code: libc::Ioctl, request: &mut libc::ifreq) -> std::io::Result<()> {
    // SAFETY: every code that this module passes reads or writes one `ifreq`, which `request` borrows for the call.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), code, &raw mut *request) })
}

fn check(outcome: libc::c_int) -> std::io::Result<()> {
    if outcome < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}
