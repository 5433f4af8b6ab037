//! Socket options as a line sets them.

use super::line::Line;
use super::{Algorithm, ScriptError};
use std::time::Duration;

/// `set $c …`: a socket option and its value, by setsockopt(2)'s names in small letters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Setting {
    /// `nodelay 0|1` (TCP_NODELAY)
    NoDelay(bool),
    /// `cork 0|1` (TCP_CORK)
    Cork(bool),
    /// `quickack 0|1` (TCP_QUICKACK)
    QuickAck(bool),
    /// `keepalive 0|1` (SO_KEEPALIVE), with the times of the header line or else Linux's.
    Keepalive(bool),
    /// `user_timeout 5s` (TCP_USER_TIMEOUT)
    UserTimeout(Duration),
    /// `linger2 5s` (TCP_LINGER2)
    Linger2(Duration),
    /// `congestion reno|cubic` (TCP_CONGESTION)
    Congestion(Algorithm),
    /// `maxseg n` (TCP_MAXSEG)
    MaxSegment(u16),
    /// `window_clamp n` (TCP_WINDOW_CLAMP)
    WindowClamp(u32),
    /// `rcvbuf n` (SO_RCVBUF)
    ReceiveBuffer(u32),
    /// `sndbuf n` (SO_SNDBUF)
    SendBuffer(u32),
    /// `notsent_lowat n` (TCP_NOTSENT_LOWAT)
    NotSentLowat(u32),
    /// `tos n` (IP_TOS, IPV6_TCLASS)
    TypeOfService(u8),
    /// `ttl n` (IP_TTL, IPV6_UNICAST_HOPS)
    HopLimit(u8),
}

impl Line<'_> {
    /// Reads what follows the socket.
    pub(super) fn setting(&mut self) -> Result<Setting, ScriptError> {
        const NAMES: [&str; 14] = [
            "nodelay",
            "cork",
            "quickack",
            "keepalive",
            "user_timeout",
            "linger2",
            "congestion",
            "maxseg",
            "window_clamp",
            "rcvbuf",
            "sndbuf",
            "notsent_lowat",
            "tos",
            "ttl",
        ];
        Ok(match self.choice(&NAMES)? {
            0 => Setting::NoDelay(self.switch()?),
            1 => Setting::Cork(self.switch()?),
            2 => Setting::QuickAck(self.switch()?),
            3 => Setting::Keepalive(self.switch()?),
            4 => Setting::UserTimeout(self.duration()?),
            5 => Setting::Linger2(self.duration()?),
            6 => Setting::Congestion(Algorithm::read(self)?),
            7 => Setting::MaxSegment(self.number("a number of bytes below 65536")?),
            8 => Setting::WindowClamp(self.number("a number of bytes")?),
            9 => Setting::ReceiveBuffer(self.number("a number of bytes")?),
            10 => Setting::SendBuffer(self.number("a number of bytes")?),
            11 => Setting::NotSentLowat(self.number("a number of bytes")?),
            12 => Setting::TypeOfService(self.number("a number below 256")?),
            _ => Setting::HopLimit(self.number("a number below 256")?),
        })
    }

    fn switch(&mut self) -> Result<bool, ScriptError> {
        Ok(self.choice(&["0", "1"])? == 1)
    }
}
