//! Who can be talked to.

use crate::script::Setting;
use bitflags::bitflags;
use std::fmt;
use std::time::Duration;
use synward_proto::Endpoint;

/// A frame that came out, and when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sent {
    /// Time since the start of the script.
    pub at: Duration,
    /// The Ethernet frame.
    pub frame: Vec<u8>,
}

/// A socket of a target, by the order in which it was made.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SocketKey(pub usize);

/// Which way a shutdown ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// SHUT_RD
    Read,
    /// SHUT_WR
    Write,
    /// SHUT_RDWR
    Both,
}

/// Bytes that a socket holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Queue {
    /// Received and not read (SIOCINQ).
    In,
    /// Written and not acknowledged (SIOCOUTQ).
    Out,
}

bitflags! {
    /// What poll(2) tells of a socket.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Ready: u8 {
        /// POLLIN
        const IN = 1;
        /// POLLOUT
        const OUT = 2;
        /// POLLHUP
        const HUP = 4;
        /// POLLERR
        const ERR = 8;
    }
}

impl Ready {
    /// The words of a script.
    pub const NAMES: [(&'static str, Self); 4] =
        [("in", Self::IN), ("out", Self::OUT), ("hup", Self::HUP), ("err", Self::ERR)];
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing");
        }
        let names: Vec<&str> =
            Self::NAMES.into_iter().filter(|(_, ready)| self.contains(*ready)).map(|(name, _)| name).collect();
        f.write_str(&names.join(" "))
    }
}

/// What a socket call gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Io<T> {
    /// It succeeded.
    Done(T),
    /// It would have blocked (EAGAIN).
    Blocks,
    /// It failed with the error of this name (errno(3)).
    Failed(String),
}

impl<T> Io<T> {
    /// The same outcome of another value.
    pub fn map<U>(self, with: impl FnOnce(T) -> U) -> Io<U> {
        match self {
            Self::Done(value) => Io::Done(with(value)),
            Self::Blocks => Io::Blocks,
            Self::Failed(name) => Io::Failed(name),
        }
    }
}

impl<T: fmt::Debug> fmt::Display for Io<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(value) => write!(f, "{value:?}"),
            Self::Blocks => f.write_str("it would block"),
            Self::Failed(name) => write!(f, "error {name}"),
        }
    }
}

/// How far from a line's time its segment may come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tolerance {
    /// How much too early.
    pub early: Duration,
    /// How much too late.
    pub late: Duration,
}

impl Tolerance {
    /// Not at all.
    pub const NONE: Self = Self { early: Duration::ZERO, late: Duration::ZERO };
}

/// A TCP stack with a listener, whose wire and clock the player holds.
///
/// Time is since the start of the script. A call that needs the target's own time to pass ([`next_frame`](Self::next_frame),
/// [`pause`](Self::pause)) lets it pass; the others happen at once.
pub trait Target {
    /// The time.
    fn now(&self) -> Duration;

    /// Puts a frame on the wire towards the target; false when the wire does not take it, as when it is longer than the
    /// target's link allows.
    fn inject(&mut self, frame: &[u8]) -> bool;

    /// The next frame that the target sends before or at `until`; `None` when there is none, and then it is `until`.
    /// A time that has passed already means: whatever was sent by now.
    fn next_frame(&mut self, until: Duration) -> Option<Sent>;

    /// How exact its times are, for an event `step` after the one before.
    fn tolerance(&self, step: Duration) -> Tolerance;

    /// The script has just seen the event of time `at`: a target in real time, where it came later, may set its clock
    /// back to it, so that one late timer does not make all that follow late.
    fn settle(&mut self, at: Duration);

    /// Waits a little for something that should have happened; false when waiting cannot help.
    fn pause(&mut self) -> bool;

    /// The interface's MTU changes.
    fn set_mtu(&mut self, mtu: u16) -> Io<()>;

    /// Listens on another port, with the settings of the script's listener.
    fn listen(&mut self, port: u16) -> Io<()>;

    /// Takes a completed connection from a listener: its socket and its peer.
    fn accept(&mut self) -> Io<(SocketKey, Endpoint)>;

    /// Begins an active open.
    fn connect(&mut self, local: Endpoint, remote: Endpoint) -> Io<SocketKey>;

    /// How an active open stands.
    fn connected(&mut self, socket: SocketKey) -> Io<()>;

    /// Reads up to `max` bytes; none is end of file.
    fn read(&mut self, socket: SocketKey, max: usize) -> Io<Vec<u8>>;

    /// Writes; the number of bytes taken.
    fn write(&mut self, socket: SocketKey, bytes: &[u8]) -> Io<usize>;

    /// Ends a direction, or both.
    fn shutdown(&mut self, socket: SocketKey, direction: Direction) -> Io<()>;

    /// Sets an option.
    fn set(&mut self, socket: SocketKey, setting: Setting) -> Io<()>;

    /// What the socket can do now.
    fn ready(&mut self, socket: SocketKey) -> Io<Ready>;

    /// How many bytes it holds.
    fn queued(&mut self, socket: SocketKey, queue: Queue) -> Io<u64>;

    /// The value of a field of TCP_INFO, by Linux's name without `tcpi_`; `None` when the target has none of that name.
    fn info(&mut self, socket: SocketKey, field: &str) -> Io<Option<u64>>;

    /// Closes.
    fn close(&mut self, socket: SocketKey) -> Io<()>;

    /// Closes with linger zero.
    fn abort(&mut self, socket: SocketKey) -> Io<()>;

    /// The value of a counter; `None` when the target has none of that name.
    fn counter(&mut self, name: &str) -> Option<u64>;

    /// How many frames died for the reason of that name; `None` when the target does not say.
    fn drops(&mut self, reason: &str) -> Option<u64>;

    /// How many connections are half open.
    fn half_open(&mut self) -> u64;

    /// What should hold whenever the script is over; what does not is said.
    fn check_end(&mut self) -> Result<(), String>;
}

/// The name of an error number, for those that socket calls give.
pub fn errno_name(errno: i32) -> String {
    let known = [
        (libc::EAGAIN, "EAGAIN"),
        (libc::EBADF, "EBADF"),
        (libc::EINVAL, "EINVAL"),
        (libc::EPIPE, "EPIPE"),
        (libc::EADDRINUSE, "EADDRINUSE"),
        (libc::EADDRNOTAVAIL, "EADDRNOTAVAIL"),
        (libc::ENETDOWN, "ENETDOWN"),
        (libc::ECONNABORTED, "ECONNABORTED"),
        (libc::ECONNRESET, "ECONNRESET"),
        (libc::ENOBUFS, "ENOBUFS"),
        (libc::ENOTCONN, "ENOTCONN"),
        (libc::ETIMEDOUT, "ETIMEDOUT"),
        (libc::ECONNREFUSED, "ECONNREFUSED"),
        (libc::EHOSTUNREACH, "EHOSTUNREACH"),
        (libc::ENETUNREACH, "ENETUNREACH"),
        (libc::EHOSTDOWN, "EHOSTDOWN"),
        (libc::ENONET, "ENONET"),
        (libc::ENOPROTOOPT, "ENOPROTOOPT"),
        (libc::EOPNOTSUPP, "EOPNOTSUPP"),
        (libc::EACCES, "EACCES"),
        (libc::EPROTO, "EPROTO"),
    ];
    let name = known.into_iter().find(|(number, _)| *number == errno);
    name.map_or_else(|| format!("errno {errno}"), |(_, name)| name.to_owned())
}
