//! `setsockopt`, with the bounds of Linux's `sk_setsockopt`, `do_tcp_setsockopt`, `do_ip_setsockopt` and `do_ipv6_setsockopt`.

use super::{Options, value};
use crate::caller::Bytes;
use crate::descriptors::FileId;
use crate::engine::State;
use crate::errno::{Errno, Result};
use crate::socket::{Phase, Socket};
use std::ffi::c_int;
use std::time::Duration;
use synward_proto::connection::{CongestionAlgorithm, Keepalive, SocketOption};
use synward_proto::segment::Mss;

/// The largest time of keepalive, seconds (`MAX_TCP_KEEPIDLE`, `MAX_TCP_KEEPINTVL`).
const MOST_KEEPALIVE: c_int = 32_767;
/// The most probes (`MAX_TCP_KEEPCNT`).
const MOST_PROBES: c_int = 127;
/// The most that a buffer can be asked for (half of what Linux's arithmetic bears).
const MOST_BUFFER: c_int = i32::MAX / 2;
/// Bytes of the name of an algorithm (`TCP_CA_NAME_MAX`).
pub(super) const NAME: usize = 16;

impl State {
    /// Sets an option of a socket, and of its connection if it has one.
    ///
    /// # Errors
    /// As setsockopt(2).
    pub(crate) fn set_option(&mut self, file: FileId, level: c_int, name: c_int, value: &Bytes) -> Result<()> {
        let Socket { options, phase, bound, .. } = self.socket(file)?;
        let (reuse, phase, bound) = (options.reuse_address, *phase, *bound);
        let changed = options.set(level, name, value)?;
        if let Some(bound) = bound.filter(|_| reuse != options.reuse_address) {
            self.ports.set_reuse(file, bound.port, !reuse);
        }
        match (changed, phase) {
            (Some(option), Phase::Connection(connection)) => match self.core.set(connection.id, option) {
                // One that has ended, or is not known to the shard yet, keeps it for the next.
                Err(synward_engine::SocketError::NotConnected) => Ok(()),
                outcome => Ok(outcome?),
            },
            _ => Ok(()),
        }
    }
}

impl Options {
    /// Sets an option; what the engine is to know of it.
    fn set(&mut self, level: c_int, name: c_int, value: &Bytes) -> Result<Option<SocketOption>> {
        let option = match level {
            libc::SOL_SOCKET => return self.set_socket(name, value),
            libc::IPPROTO_TCP => self.set_tcp(name, value)?,
            libc::IPPROTO_IP => set_ip(name, value, self.defaults.hop_limit)?,
            libc::IPPROTO_IPV6 if name == libc::IPV6_V6ONLY => {
                // IPv6 sockets are that and nothing else.
                return if value::switch(value)? { Ok(None) } else { Err(Errno::INVALID) };
            }
            libc::IPPROTO_IPV6 => set_ipv6(name, value, self.defaults.hop_limit)?,
            _ => return Err(Errno::NO_OPTION),
        };
        self.keep(option);
        Ok(Some(option))
    }

    fn set_socket(&mut self, name: c_int, value: &Bytes) -> Result<Option<SocketOption>> {
        match name {
            libc::SO_REUSEADDR => self.reuse_address = value::switch(value)?,
            libc::SO_LINGER => self.linger = value::linger(value)?,
            libc::SO_RCVTIMEO => self.receive_timeout = value::time(value)?,
            libc::SO_SNDTIMEO => self.send_timeout = value::time(value)?,
            // Zero is one, and a negative number a very large one (Linux: `tcp_set_rcvlowat`).
            libc::SO_RCVLOWAT => {
                let asked = usize::try_from(value::int(value)?).unwrap_or(usize::MAX);
                self.low_water = asked.clamp(1, self.defaults.receive_buffer_max as usize / 2);
            }
            libc::SO_KEEPALIVE => {
                self.keepalive = value::switch(value)?;
                return Ok(Some(self.set_keepalive(self.keepalive_times)));
            }
            libc::SO_RCVBUF => return Ok(Some(self.kept(SocketOption::ReceiveBuffer(buffer(value)?)))),
            libc::SO_SNDBUF => return Ok(Some(self.kept(SocketOption::SendBuffer(buffer(value)?)))),
            _ => return Err(Errno::NO_OPTION),
        }
        Ok(None)
    }

    fn kept(&mut self, option: SocketOption) -> SocketOption {
        self.keep(option);
        option
    }

    fn set_keepalive(&mut self, times: Keepalive) -> SocketOption {
        self.keepalive_times = times;
        self.kept(SocketOption::Keepalive(self.keepalive.then_some(times)))
    }

    fn set_tcp(&mut self, name: c_int, value: &Bytes) -> Result<SocketOption> {
        let times = self.keepalive_times;
        let seconds = |value| Duration::from_secs(u64::from(value));
        Ok(match name {
            libc::TCP_NODELAY => SocketOption::NoDelay(value::switch(value)?),
            libc::TCP_CORK => SocketOption::Cork(value::switch(value)?),
            libc::TCP_QUICKACK => SocketOption::QuickAck(value::int(value)? & 1 != 0),
            libc::TCP_MAXSEG => max_segment(value)?,
            libc::TCP_KEEPIDLE => {
                let idle = seconds(value::within(value, 1..=MOST_KEEPALIVE)?);
                self.set_keepalive(Keepalive { idle, ..times })
            }
            libc::TCP_KEEPINTVL => {
                let interval = seconds(value::within(value, 1..=MOST_KEEPALIVE)?);
                self.set_keepalive(Keepalive { interval, ..times })
            }
            libc::TCP_KEEPCNT => {
                // At most 127.
                let probes = value::within(value, 1..=MOST_PROBES)? as u8;
                self.set_keepalive(Keepalive { probes, ..times })
            }
            libc::TCP_LINGER2 => SocketOption::Linger2(match value::int(value)? {
                0 => None,
                time => Some(seconds(u32::try_from(time).unwrap_or(0))),
            }),
            libc::TCP_USER_TIMEOUT => {
                let millis = value::within(value, 0..=c_int::MAX)?;
                SocketOption::UserTimeout((millis > 0).then(|| Duration::from_millis(millis.into())))
            }
            libc::TCP_WINDOW_CLAMP => SocketOption::WindowClamp(value::within(value, 1..=c_int::MAX)?),
            libc::TCP_CONGESTION => SocketOption::Congestion(congestion(value)?),
            _ => return Err(Errno::NO_OPTION),
        })
    }
}

/// What a buffer is to be; a negative number is a very large one.
fn buffer(value: &Bytes) -> Result<u32> {
    let wanted = value::int(value)?;
    Ok(if wanted < 0 { MOST_BUFFER } else { wanted.min(MOST_BUFFER) }.cast_unsigned())
}

fn max_segment(value: &Bytes) -> Result<SocketOption> {
    let size = u16::try_from(value::int(value)?).map_err(|_| Errno::INVALID)?;
    let option = SocketOption::MaxSegment(Mss::announced(size).ok_or(Errno::INVALID)?);
    if option.is_valid() { Ok(option) } else { Err(Errno::INVALID) }
}

fn congestion(value: &Bytes) -> Result<CongestionAlgorithm> {
    if value.len() == 0 {
        return Err(Errno::INVALID);
    }
    let bytes = value.get()?;
    let name = bytes[..bytes.len().min(NAME - 1)].split(|byte| *byte == 0).next().unwrap_or_default();
    let named = std::str::from_utf8(name).ok().and_then(CongestionAlgorithm::named);
    named.ok_or(Errno(libc::ENOENT))
}

/// A byte of the IP header; `None` where -1 asks for what is usual.
fn byte(value: &Bytes, least: c_int) -> Result<Option<u8>> {
    match value::int(value)? {
        -1 => Ok(None),
        value if value < least => Err(Errno::INVALID),
        value => u8::try_from(value).map(Some).map_err(|_| Errno::INVALID),
    }
}

fn set_ip(name: c_int, value: &Bytes, hop_limit: u8) -> Result<SocketOption> {
    match name {
        libc::IP_TOS => Ok(SocketOption::TypeOfService(value::int(value)? as u8)),
        libc::IP_TTL => Ok(SocketOption::HopLimit(byte(value, 1)?.unwrap_or(hop_limit))),
        _ => Err(Errno::NO_OPTION),
    }
}

fn set_ipv6(name: c_int, value: &Bytes, hop_limit: u8) -> Result<SocketOption> {
    match name {
        libc::IPV6_TCLASS => Ok(SocketOption::TypeOfService(byte(value, 0)?.unwrap_or(0))),
        libc::IPV6_UNICAST_HOPS => Ok(SocketOption::HopLimit(byte(value, 1)?.unwrap_or(hop_limit))),
        _ => Err(Errno::NO_OPTION),
    }
}
