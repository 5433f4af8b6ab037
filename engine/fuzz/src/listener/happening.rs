//! What may happen at a listener.

use super::books::Books;
use crate::samples;
use arbitrary::Arbitrary;
use std::time::Duration;
use synward_proto::flood_guard::Syncookies;
use synward_proto::half_open::Offer;
use synward_proto::icmp::{IcmpError, IcmpKind, Unreachable};
use synward_proto::segment::{DataOptions, Mss, SackBlocks, SynOptions, Timestamps, WindowScale};
use synward_proto::{Codepoint, Flags, Instant, Link, MacAddr, Options, Segment, SeqNum, Span, Tuple};

/// How a listener is set up.
#[derive(Arbitrary, Debug)]
pub struct Setting {
    pub syn_limit: u8,
    pub max_syn_backlog: u8,
    pub accept_limit: u8,
    pub syncookies: u8,
    pub stamps_required: bool,
    pub abort_on_overflow: bool,
    pub few_links: bool,
    pub synack_retries: u8,
    pub offer: Offered,
}

impl Setting {
    pub fn syncookies(&self) -> Syncookies {
        match self.syncookies % 4 {
            0 => Syncookies::Never,
            1 => Syncookies::Always,
            _ => Syncookies::Auto,
        }
    }
}

/// What SYN-ACKs offer.
#[derive(Arbitrary, Debug)]
pub struct Offered {
    window: u16,
    window_scale: Option<u8>,
    sack: bool,
    timestamps: bool,
    ecn: bool,
}

impl Offered {
    pub fn offer(&self) -> Offer {
        Offer {
            window: self.window,
            window_scale: self.window_scale.map(WindowScale::clamped),
            sack: self.sack,
            timestamps: self.timestamps,
            ecn: self.ecn,
            ..Offer::default()
        }
    }
}

/// What may happen.
#[derive(Arbitrary, Debug)]
pub enum Happening {
    Arrive(Arriving),
    /// A SYN whose state another shard will have.
    Foreign(Arriving),
    Pass(Pause),
    Accept,
    LimitAccept(u8),
    Offer(Offered),
    Reopen(u8),
    Icmp(Icmp),
}

/// How long.
#[derive(Arbitrary, Debug)]
pub enum Pause {
    Millis(u8),
    Tenths(u8),
    Seconds(u8),
    Long(u32),
}

impl Pause {
    pub fn duration(&self) -> Duration {
        match *self {
            Self::Millis(millis) => Duration::from_millis(millis.into()),
            Self::Tenths(tenths) => Duration::from_millis(100 * u64::from(tenths)),
            Self::Seconds(seconds) => Duration::from_secs(seconds.into()),
            Self::Long(millis) => Duration::from_millis(millis.into()),
        }
    }
}

/// A segment on its way in.
#[derive(Arbitrary, Debug)]
pub struct Arriving {
    peer: u8,
    kind: Kind,
    payload: u8,
    window: u16,
}

/// Which segment.
#[derive(Arbitrary, Debug)]
enum Kind {
    Syn {
        irs: u16,
        options: SynMade,
        ecn: bool,
    },
    SameSyn,
    /// An answer to one of the last SYN-ACKs that this peer got, off by so much.
    Third {
        which: u8,
        seq: i8,
        ack: i8,
        stamp: i16,
        echo: i8,
        fin: bool,
    },
    ThirdWithoutStamps {
        which: u8,
    },
    Reset {
        which: u8,
        seq: i8,
    },
    Any {
        flags: u16,
        seq: u32,
        ack: u32,
        stamps: Option<(u32, u32)>,
    },
    Around {
        flags: u16,
        which: u8,
        seq: i16,
        ack: i8,
    },
}

#[derive(Arbitrary, Debug)]
struct SynMade {
    mss: Option<u16>,
    scale: Option<u8>,
    sack: bool,
    stamp: Option<u16>,
}

impl SynMade {
    fn options(&self) -> SynOptions {
        SynOptions {
            mss: self.mss.and_then(Mss::announced),
            window_scale: self.scale.map(WindowScale::clamped),
            sack_permitted: self.sack,
            timestamps: self.stamp.map(|value| Timestamps { value: value.into(), echo: 0 }),
        }
    }
}

/// Which end a peer is: 64 of each family, on one of four links.
fn peer(number: u8) -> (Tuple, Link) {
    let tuple = samples::peer(u16::from(number & 0x3f), number & 0x40 != 0);
    let link = Link { remote: MacAddr([2, 0, 0, 0, 1, number & 3]), ..samples::LINK };
    (tuple, link)
}

fn step(seq: SeqNum, by: i16) -> SeqNum {
    SeqNum(seq.0.wrapping_add_signed(by.into()))
}

impl Arriving {
    /// The segment; `None` where it would answer what was never sent.
    pub fn segment(&self, books: &Books, now: Instant) -> Option<Segment> {
        let (tuple, link) = peer(self.peer);
        let sent = |which| books.sent_to(&tuple, which);
        let stamps = |value: u32, echo: u32| Some(Timestamps { value, echo });
        let (flags, seq, ack, options) = match self.kind {
            Kind::Syn { irs, ref options, ecn } => {
                let flags = if ecn { Flags::SYN | Flags::ECE | Flags::CWR } else { Flags::SYN };
                (flags, SeqNum(irs.into()), SeqNum(0), Options::Syn(options.options()))
            }
            Kind::SameSyn => {
                let sent = sent(0)?;
                (Flags::SYN, sent.irs, SeqNum(0), Options::Syn(sent.asked))
            }
            Kind::Third { which, seq, ack, stamp, echo, fin } => {
                let sent = sent(which)?;
                let timestamps = sent.stamps.and_then(|ours| {
                    let value = ours.echo.wrapping_add_signed(stamp.into());
                    stamps(value, ours.value.wrapping_add_signed(echo.into()))
                });
                let flags = if fin { Flags::ACK | Flags::FIN } else { Flags::ACK };
                let options = Options::Data(DataOptions { timestamps, sack: SackBlocks::NONE });
                (flags, step(sent.irs + 1, seq.into()), step(sent.iss + 1, ack.into()), options)
            }
            Kind::ThirdWithoutStamps { which } => {
                let sent = sent(which)?;
                (Flags::ACK, sent.irs + 1, sent.iss + 1, Options::NONE)
            }
            Kind::Reset { which, seq } => {
                (Flags::RST, step(sent(which)?.irs + 1, seq.into()), SeqNum(0), Options::NONE)
            }
            Kind::Any { flags, seq, ack, stamps: given } => {
                let timestamps = given.and_then(|(value, echo)| stamps(value, echo));
                (heard(flags)?, SeqNum(seq), SeqNum(ack), any_options(flags, timestamps))
            }
            Kind::Around { flags, which, seq, ack } => {
                let sent = sent(which)?;
                let value = now.as_millis() as u32;
                let options = any_options(flags, sent.stamps.and_then(|ours| stamps(value, ours.value)));
                (heard(flags)?, step(sent.irs, seq), step(sent.iss, ack.into()), options)
            }
        };
        let payload = Span { start: 14 + 60, len: if self.payload < 200 { 0 } else { 7 * u16::from(self.payload) } };
        Some(Segment {
            link,
            tuple,
            seq,
            ack,
            flags,
            window: self.window,
            ecn: Codepoint::of(self.payload),
            options,
            payload,
            unfinished_checksum: false,
        })
    }
}

/// The control bits as the parser lets them through.
fn heard(bits: u16) -> Option<Flags> {
    let flags = Flags::from_bits_truncate(bits);
    match flags {
        _ if flags.contains(Flags::RST) => Some(flags - Flags::SYN - Flags::FIN),
        _ if flags.is_empty() || flags.contains(Flags::SYN | Flags::FIN) => None,
        _ => Some(flags),
    }
}

fn any_options(bits: u16, timestamps: Option<Timestamps>) -> Options {
    match heard(bits) {
        Some(flags) if flags.contains(Flags::SYN) => Options::Syn(SynOptions { timestamps, ..SynOptions::default() }),
        _ => Options::Data(DataOptions { timestamps, sack: SackBlocks::NONE }),
    }
}

/// An ICMP error about a SYN-ACK.
#[derive(Arbitrary, Debug)]
pub struct Icmp {
    peer: u8,
    seq: i8,
    kind: u8,
}

impl Icmp {
    pub fn error(&self, books: &Books) -> Option<IcmpError> {
        let (tuple, link) = peer(self.peer);
        let kind = match self.kind {
            0 => IcmpKind::TimeExceeded,
            1 => IcmpKind::ParameterProblem,
            2 => IcmpKind::PacketTooBig { mtu: 68 },
            3 => IcmpKind::Unreachable(Unreachable::Host),
            4 => IcmpKind::Unreachable(Unreachable::Port),
            5 => IcmpKind::Unreachable(Unreachable::Network),
            code => IcmpKind::Unreachable(Unreachable::Other(code)),
        };
        Some(IcmpError { link, tuple, seq: step(books.sent_to(&tuple, 0)?.iss, self.seq.into()), kind })
    }
}
