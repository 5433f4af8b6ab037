//! What may happen to a connection.

use arbitrary::Arbitrary;
use std::time::Duration;
use synward_proto::Flags;
use synward_proto::connection::{CongestionAlgorithm, ConnectionConfig, Ecn, Keepalive, SocketOption};
use synward_proto::half_open::{Clock, Negotiated, Scales};
use synward_proto::icmp::{IcmpKind, Unreachable};
use synward_proto::segment::{Mss, WindowScale};
use synward_proto::{Marking, SeqNum};

/// Our initial sequence number and the peer's: both directions pass the wrap soon.
pub const ISS: SeqNum = SeqNum(u32::MAX - 5_000);
pub const IRS: SeqNum = SeqNum(u32::MAX - 3_000);

/// How the connection begins.
#[derive(Arbitrary, Debug)]
pub struct Setting {
    /// Opened by the peer, or by us.
    pub accepted: bool,
    pub receive_buffer: u16,
    pub receive_buffer_grows: bool,
    pub send_buffer: u16,
    pub mss: u16,
    pub peer_mss: u16,
    pub scales: Option<(u8, u8)>,
    pub sack: bool,
    pub stamps: bool,
    pub ecn: bool,
    pub nagle: bool,
    pub quick_acks: bool,
    pub new_reno: bool,
    pub retries: u8,
    pub syn_retries: u8,
    pub user_timeout_seconds: Option<u8>,
    pub keepalive: bool,
    pub path_mtu: Option<u16>,
    /// All bytes of one position are the same, whoever sends them and how often.
    pub consistent: bool,
}

impl Setting {
    pub fn config(&self) -> ConnectionConfig {
        let receive_buffer = u32::from(self.receive_buffer).max(2_000);
        ConnectionConfig {
            receive_buffer,
            receive_buffer_max: if self.receive_buffer_grows { 4 * receive_buffer } else { receive_buffer },
            send_buffer: u32::from(self.send_buffer).max(2_304),
            send_buffer_max: 2 * u32::from(self.send_buffer).max(2_304),
            mss: Mss::announced(self.mss.clamp(88, 1_460)).unwrap_or(Mss::MIN),
            keepalive: self.keepalive.then_some(KEEPALIVE),
            nagle: self.nagle,
            quick_acks: self.quick_acks,
            congestion: if self.new_reno { CongestionAlgorithm::NewReno } else { CongestionAlgorithm::Cubic },
            retries: self.retries % 16,
            syn_retries: self.syn_retries % 8,
            user_timeout: self.user_timeout_seconds.map(|seconds| Duration::from_secs(seconds.into())),
            time_wait: Duration::from_secs(60),
            fin_wait_2: Duration::from_secs(60),
            ecn: if self.ecn { Ecn::Always } else { Ecn::WhenAsked },
            marking: Marking::DEFAULT,
        }
    }

    /// What a handshake that the peer began agreed on.
    pub fn negotiated(&self) -> Negotiated {
        Negotiated {
            iss: ISS,
            irs: IRS,
            send_mss: Mss::announced(self.peer_mss).unwrap_or(Mss::DEFAULT_V4),
            scales: self
                .scales
                .map(|(peer, ours)| Scales { peer: WindowScale::clamped(peer), ours: WindowScale::clamped(ours) }),
            sack: self.sack,
            timestamps: self.stamps.then_some(Clock { recent: 1, offset: 0 }),
            ecn: self.ecn,
        }
    }
}

const KEEPALIVE: Keepalive =
    Keepalive { idle: Duration::from_secs(7_200), interval: Duration::from_secs(75), probes: 9 };

/// What may happen.
#[derive(Arbitrary, Debug)]
pub enum Happening {
    Arrive(Says),
    /// An honest peer: acknowledges all that we have sent, and goes on with its stream.
    Honest {
        payload: u8,
        window: u16,
        fin: bool,
    },
    /// The peer reports what arrived beyond a hole.
    Hole {
        skip: u8,
        reported: u8,
        window: u16,
    },
    Answer(SynAnswer),
    Pass(Pause),
    /// Time passes until the next timer.
    Wait,
    Send(u16),
    Read(u16),
    Transmit(u8),
    Shutdown,
    Close,
    Abort,
    AcknowledgeSyn,
    Set(Choice),
    Icmp {
        offset: i16,
        kind: u8,
        mtu: u16,
    },
    InterfaceMtu(u16),
}

impl Happening {
    /// Whether an application does it, which asks for nothing once it has closed.
    pub fn is_of_application(&self) -> bool {
        match self {
            Self::Send(_) | Self::Read(_) | Self::Shutdown | Self::Close | Self::AcknowledgeSyn | Self::Set(_) => true,
            Self::Arrive(_)
            | Self::Honest { .. }
            | Self::Hole { .. }
            | Self::Answer(_)
            | Self::Pass(_)
            | Self::Wait
            | Self::Transmit(_)
            | Self::Abort
            | Self::Icmp { .. }
            | Self::InterfaceMtu(_) => false,
        }
    }
}

/// A segment of the peer's, by how far it is off.
#[derive(Arbitrary, Debug)]
pub struct Says {
    /// From what we have last acknowledged.
    pub seq: Offset,
    /// From what we have last sent.
    pub ack: Offset,
    pub flags: Bits,
    pub window: Window,
    pub payload: u16,
    /// TSval from what the peer's clock would say, TSecr from what ours did.
    pub stamps: Option<(i8, i8)>,
    /// SACK blocks from what is unacknowledged.
    pub sack: Option<[(u16, u16); 3]>,
    pub ecn: u8,
}

/// A distance in sequence space.
#[derive(Arbitrary, Debug)]
pub enum Offset {
    None,
    Near(i8),
    Far(i16),
    Any(u32),
}

impl Offset {
    pub fn from(&self, seq: SeqNum) -> SeqNum {
        match *self {
            Self::None => seq,
            Self::Near(by) => SeqNum(seq.0.wrapping_add_signed(by.into())),
            Self::Far(by) => SeqNum(seq.0.wrapping_add_signed(by.into())),
            Self::Any(by) => seq + by,
        }
    }
}

/// Control bits, the usual ones most often.
#[derive(Arbitrary, Debug)]
pub enum Bits {
    Ack,
    Push,
    Fin,
    Reset,
    Echo,
    Any(u16),
}

impl Bits {
    /// The bits as the parser lets them through.
    pub fn flags(&self) -> Option<Flags> {
        let flags = match *self {
            Self::Ack => Flags::ACK,
            Self::Push => Flags::ACK | Flags::PSH,
            Self::Fin => Flags::ACK | Flags::FIN,
            Self::Reset => Flags::RST,
            Self::Echo => Flags::ACK | Flags::ECE,
            Self::Any(bits) => Flags::from_bits_truncate(bits),
        };
        match flags {
            _ if flags.contains(Flags::RST) => Some(flags - Flags::SYN - Flags::FIN),
            _ if flags.is_empty() || flags.contains(Flags::SYN | Flags::FIN) => None,
            _ => Some(flags),
        }
    }
}

/// A window field.
#[derive(Arbitrary, Debug)]
pub enum Window {
    Closed,
    Small(u8),
    Any(u16),
}

impl Window {
    pub fn field(&self) -> u16 {
        match *self {
            Self::Closed => 0,
            Self::Small(window) => window.into(),
            Self::Any(window) => window,
        }
    }
}

/// What answers or crosses our SYN.
#[derive(Arbitrary, Debug)]
pub struct SynAnswer {
    pub ack: Option<i8>,
    pub mss: u16,
    pub scale: Option<u8>,
    pub sack: bool,
    pub stamps: bool,
    pub ecn: bool,
    pub window: u16,
}

/// How long.
#[derive(Arbitrary, Debug)]
pub enum Pause {
    Millis(u8),
    Seconds(u8),
    Long(u32),
}

impl Pause {
    pub fn duration(&self) -> Duration {
        match *self {
            Self::Millis(millis) => Duration::from_millis(millis.into()),
            Self::Seconds(seconds) => Duration::from_secs(seconds.into()),
            Self::Long(millis) => Duration::from_millis(millis.into()),
        }
    }
}

/// A socket option.
#[derive(Arbitrary, Debug)]
pub enum Choice {
    NoDelay(bool),
    Cork(bool),
    QuickAck(bool),
    Keepalive(Option<(u8, u8, u8)>),
    UserTimeout(Option<u16>),
    Linger2(Option<u8>),
    Congestion(bool),
    MaxSegment(u16),
    WindowClamp(u16),
    ReceiveBuffer(u16),
    SendBuffer(u16),
    TypeOfService(u8),
    HopLimit(u8),
}

impl Choice {
    pub fn option(&self) -> SocketOption {
        let millis = |millis: u64| Duration::from_millis(millis);
        match *self {
            Self::NoDelay(on) => SocketOption::NoDelay(on),
            Self::Cork(on) => SocketOption::Cork(on),
            Self::QuickAck(on) => SocketOption::QuickAck(on),
            Self::Keepalive(times) => SocketOption::Keepalive(times.map(|(idle, interval, probes)| Keepalive {
                idle: millis(1 + 100 * u64::from(idle)),
                interval: millis(1 + 10 * u64::from(interval)),
                probes,
            })),
            Self::UserTimeout(limit) => SocketOption::UserTimeout(limit.map(|limit| millis(limit.into()))),
            Self::Linger2(limit) => SocketOption::Linger2(limit.map(|limit| millis(1_000 * u64::from(limit)))),
            Self::Congestion(new_reno) => SocketOption::Congestion(match new_reno {
                true => CongestionAlgorithm::NewReno,
                false => CongestionAlgorithm::Cubic,
            }),
            Self::MaxSegment(mss) => SocketOption::MaxSegment(Mss::announced(mss).unwrap_or(Mss::MIN)),
            Self::WindowClamp(bytes) => SocketOption::WindowClamp(bytes.into()),
            Self::ReceiveBuffer(bytes) => SocketOption::ReceiveBuffer(bytes.into()),
            Self::SendBuffer(bytes) => SocketOption::SendBuffer(bytes.into()),
            Self::TypeOfService(class) => SocketOption::TypeOfService(class),
            Self::HopLimit(hops) => SocketOption::HopLimit(hops),
        }
    }

    /// Whether it may take back a window that was offered.
    pub fn shrinks(&self) -> bool {
        matches!(self, Self::WindowClamp(_) | Self::ReceiveBuffer(_))
    }
}

/// The ICMP error of this number.
pub fn icmp_kind(number: u8, mtu: u16) -> IcmpKind {
    match number {
        0 => IcmpKind::TimeExceeded,
        1 => IcmpKind::ParameterProblem,
        2 => IcmpKind::ReassemblyTimeExceeded,
        3 => IcmpKind::Unreachable(Unreachable::Port),
        4 => IcmpKind::Unreachable(Unreachable::Host),
        5 => IcmpKind::Unreachable(Unreachable::Other(9)),
        _ => IcmpKind::PacketTooBig { mtu: mtu.into() },
    }
}
