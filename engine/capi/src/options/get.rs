//! `getsockopt`, with what Linux's `sk_getsockopt`, `do_tcp_getsockopt`, `do_ip_getsockopt` and `do_ipv6_getsockopt` tell.

use super::set::NAME;
use super::{Options, value};
use crate::descriptors::FileId;
use crate::engine::State;
use crate::errno::{Errno, Result};
use crate::socket::{Phase, Socket};
use std::ffi::c_int;
use std::time::Duration;
use synward_proto::connection::{MIN_RECEIVE_BUFFER, MIN_SEND_BUFFER, SocketOption};

/// What a socket without a connection says of its segments (`TCP_MSS_DEFAULT`).
const UNCONNECTED_MSS: c_int = 536;

impl State {
    /// The value of an option, but for those that the shard has to be asked for.
    ///
    /// # Errors
    /// As getsockopt(2).
    pub(crate) fn option(&mut self, file: FileId, level: c_int, name: c_int) -> Result<Vec<u8>> {
        let Socket { options, phase, family, .. } = self.socket(file)?;
        let int = match (level, name) {
            (libc::SOL_SOCKET, libc::SO_ERROR) => match *phase {
                Phase::Connection(connection) => self.core.take_error(connection.id)?.map_or(0, |error| error.errno()),
                Phase::Fresh => self.socket(file)?.failure.take().map_or(0, |Errno(errno)| errno),
                Phase::Listening(_) => 0,
            },
            (libc::SOL_SOCKET, libc::SO_ACCEPTCONN) => c_int::from(matches!(phase, Phase::Listening(_))),
            (libc::SOL_SOCKET, libc::SO_DOMAIN) => family.number(),
            (libc::SOL_SOCKET, libc::SO_LINGER) => return Ok(value::linger_bytes(options.linger)),
            (libc::SOL_SOCKET, libc::SO_RCVTIMEO) => return Ok(value::time_bytes(options.receive_timeout)),
            (libc::SOL_SOCKET, libc::SO_SNDTIMEO) => return Ok(value::time_bytes(options.send_timeout)),
            (libc::SOL_SOCKET, name) => options.of_socket(name)?,
            (libc::IPPROTO_TCP, libc::TCP_CONGESTION) => return Ok(options.congestion()),
            (libc::IPPROTO_TCP, name) => options.of_tcp(name)?,
            (libc::IPPROTO_IP, name) => options.of_ip(name)?,
            (libc::IPPROTO_IPV6, name) => options.of_ipv6(name)?,
            // Other than of `setsockopt`.
            _ => return Err(Errno::NOT_SUPPORTED),
        };
        Ok(int.to_ne_bytes().to_vec())
    }
}

/// What Linux says of a buffer: twice what was asked for, and at least this.
fn doubled(asked: u32, least: u32) -> c_int {
    c_int::try_from(asked.max(least).saturating_mul(2)).unwrap_or(c_int::MAX)
}

fn seconds(span: Duration) -> c_int {
    c_int::try_from(span.as_secs()).unwrap_or(c_int::MAX)
}

impl Options {
    fn of_socket(&self, name: c_int) -> Result<c_int> {
        let buffer = |default: u32| c_int::try_from(default).unwrap_or(c_int::MAX);
        Ok(match name {
            libc::SO_TYPE => libc::SOCK_STREAM,
            libc::SO_PROTOCOL => libc::IPPROTO_TCP,
            libc::SO_REUSEADDR => self.reuse_address.into(),
            libc::SO_KEEPALIVE => self.keepalive.into(),
            libc::SO_RCVLOWAT => c_int::try_from(self.low_water).unwrap_or(c_int::MAX),
            libc::SO_SNDLOWAT => 1,
            libc::SO_RCVBUF => match self.find(receive_buffer) {
                Some(asked) => doubled(asked, MIN_RECEIVE_BUFFER),
                None => buffer(self.defaults.receive_buffer),
            },
            libc::SO_SNDBUF => match self.find(send_buffer) {
                Some(asked) => doubled(asked, MIN_SEND_BUFFER),
                None => buffer(self.defaults.send_buffer),
            },
            _ => return Err(Errno::NO_OPTION),
        })
    }

    fn of_tcp(&self, name: c_int) -> Result<c_int> {
        let defaults = &self.defaults;
        Ok(match name {
            libc::TCP_NODELAY => self.find(nodelay).unwrap_or(defaults.nodelay).into(),
            libc::TCP_CORK => self.find(cork).unwrap_or(false).into(),
            libc::TCP_QUICKACK => self.find(quick_ack).unwrap_or(defaults.quick_ack).into(),
            libc::TCP_MAXSEG => self.find(max_segment).unwrap_or(UNCONNECTED_MSS),
            libc::TCP_KEEPIDLE => seconds(self.keepalive_times.idle),
            libc::TCP_KEEPINTVL => seconds(self.keepalive_times.interval),
            libc::TCP_KEEPCNT => self.keepalive_times.probes.into(),
            libc::TCP_LINGER2 => match self.find(linger2).flatten() {
                Some(Duration::ZERO) => -1,
                set => seconds(set.unwrap_or(defaults.fin_wait_2).min(synward_proto::connection::MAX_LINGER)),
            },
            libc::TCP_USER_TIMEOUT => {
                let timeout = self.find(user_timeout).unwrap_or(defaults.user_timeout).unwrap_or_default();
                c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX)
            }
            libc::TCP_WINDOW_CLAMP => self.find(window_clamp).unwrap_or(0),
            _ => return Err(Errno::NO_OPTION),
        })
    }

    fn of_ip(&self, name: c_int) -> Result<c_int> {
        match name {
            libc::IP_TOS => Ok(self.find(service).unwrap_or(0)),
            libc::IP_TTL => Ok(self.find(hop_limit).unwrap_or(self.defaults.hop_limit.into())),
            _ => Err(Errno::NO_OPTION),
        }
    }

    fn of_ipv6(&self, name: c_int) -> Result<c_int> {
        match name {
            libc::IPV6_V6ONLY => Ok(1),
            libc::IPV6_TCLASS => Ok(self.find(service).unwrap_or(0)),
            libc::IPV6_UNICAST_HOPS => Ok(self.find(hop_limit).unwrap_or(self.defaults.hop_limit.into())),
            _ => Err(Errno::NO_OPTION),
        }
    }

    /// The name of the algorithm, with zeros after it.
    fn congestion(&self) -> Vec<u8> {
        let name = self.find(algorithm).unwrap_or(self.defaults.congestion).name();
        let mut bytes = vec![0; NAME];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        bytes
    }
}

/// Functions that know one option each.
macro_rules! finders {
    ($($name:ident: $option:ident($value:ident) -> $kind:ty = $told:expr;)*) => {
        $(fn $name(option: &SocketOption) -> Option<$kind> {
            if let SocketOption::$option($value) = *option { Some($told) } else { None }
        })*
    };
}

finders! {
    nodelay: NoDelay(on) -> bool = on;
    cork: Cork(on) -> bool = on;
    quick_ack: QuickAck(on) -> bool = on;
    max_segment: MaxSegment(mss) -> c_int = mss.get().into();
    linger2: Linger2(time) -> Option<Duration> = time;
    user_timeout: UserTimeout(time) -> Option<Duration> = time;
    window_clamp: WindowClamp(bytes) -> c_int = bytes.cast_signed();
    receive_buffer: ReceiveBuffer(bytes) -> u32 = bytes;
    send_buffer: SendBuffer(bytes) -> u32 = bytes;
    service: TypeOfService(class) -> c_int = class.into();
    hop_limit: HopLimit(hops) -> c_int = hops.into();
    algorithm: Congestion(algorithm) -> synward_proto::connection::CongestionAlgorithm = algorithm;
}
