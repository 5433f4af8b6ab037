//! Who can be talked to.

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

    /// Takes a completed connection from the listener: its socket and its peer.
    fn accept(&mut self) -> Io<(SocketKey, Endpoint)>;

    /// Begins an active open.
    fn connect(&mut self, local: Endpoint, remote: Endpoint) -> Io<SocketKey>;

    /// How an active open stands.
    fn connected(&mut self, socket: SocketKey) -> Io<()>;

    /// Reads up to `max` bytes; none is end of file.
    fn read(&mut self, socket: SocketKey, max: usize) -> Io<Vec<u8>>;

    /// Writes; the number of bytes taken.
    fn write(&mut self, socket: SocketKey, bytes: &[u8]) -> Io<usize>;

    /// Ends sending.
    fn shutdown(&mut self, socket: SocketKey) -> Io<()>;

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
    ];
    let name = known.into_iter().find(|(number, _)| *number == errno);
    name.map_or_else(|| format!("errno {errno}"), |(_, name)| name.to_owned())
}
