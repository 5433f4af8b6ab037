//! A connection between its SYN and its third segment.

use crate::segment::{DataOptions, Mss, SynOptions, Timestamps, WindowScale};
use crate::{Codepoint, Flags, Head, Instant, Marking, Options, Segment, SeqNum, Tuple};
use core::time::Duration;

/// What our SYN-ACK offers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Offer {
    /// The largest segment that fits the interface's MTU over IPv4 (MTU − 40).
    pub mss_v4: Mss,
    /// The same over IPv6 (MTU − 60).
    pub mss_v6: Mss,
    /// The receive window, in bytes; a SYN-ACK's is never scaled (RFC 7323, section 2.2), so at most 65,535.
    pub window: u16,
    /// The shift of later windows, when the peer scales too; `None` switches window scaling off.
    pub window_scale: Option<WindowScale>,
    /// Whether SACK is permitted when the peer permits it.
    pub sack: bool,
    /// Whether timestamps are used when the peer uses them.
    pub timestamps: bool,
    /// Whether ECN is used when the peer asks for it.
    pub ecn: bool,
    /// What stands in the IP headers of our answers.
    pub marking: Marking,
}

impl Default for Offer {
    /// An MTU of 1,500 bytes, everything switched on as in Linux, and window scale 7.
    fn default() -> Self {
        Self {
            mss_v4: Mss::announced(1460).unwrap_or(Mss::DEFAULT_V4),
            mss_v6: Mss::announced(1440).unwrap_or(Mss::DEFAULT_V6),
            window: u16::MAX,
            window_scale: Some(WindowScale::clamped(7)),
            sack: true,
            timestamps: true,
            ecn: true,
            marking: Marking::DEFAULT,
        }
    }
}

impl Offer {
    /// The segment size that we announce to `tuple`'s peer.
    pub const fn mss(&self, tuple: &Tuple) -> Mss {
        if tuple.is_ipv6() { self.mss_v6 } else { self.mss_v4 }
    }
}

/// What a peer's SYN asks for: the facts of the segment that a handshake depends on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Syn {
    /// Who asks.
    pub tuple: Tuple,
    /// The peer's initial sequence number.
    pub irs: SeqNum,
    /// Its options.
    pub options: SynOptions,
    /// Whether it asks for ECN.
    pub ecn: bool,
}

impl Syn {
    /// The SYN that `segment` is, with its options. It asks for ECN by ECE and CWR together (RFC 3168, section 6.1.1); not when it is
    /// ECN-capable itself, which no SYN of that RFC is, unless it is one of a later RFC that has given up asking for more (Linux:
    /// `tcp_ecn_create_request`).
    pub fn of(segment: &Segment, options: &SynOptions) -> Self {
        let Segment { tuple, seq, flags, ecn, .. } = *segment;
        let asks = flags.contains(Flags::ECE | Flags::CWR);
        let fits = ecn == Codepoint::NotEct || flags.contains(Flags::AE);
        Self { tuple, irs: seq, options: *options, ecn: asks && fits }
    }
}

/// What the two SYNs agreed on: the same whether a table entry remembered it or a cookie carried it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Negotiated {
    /// Our initial sequence number.
    pub iss: SeqNum,
    /// The peer's initial sequence number.
    pub irs: SeqNum,
    /// The largest segment that we may send: what the peer announced, or its family's default.
    pub send_mss: Mss,
    /// Window scaling, when both SYNs carried it.
    pub scales: Option<Scales>,
    /// Whether both SYNs permitted SACK.
    pub sack: bool,
    /// Timestamps, when both SYNs carried them.
    pub timestamps: Option<Clock>,
    /// Whether both ends speak ECN (RFC 3168, section 6.1.1).
    pub ecn: bool,
}

/// The window scales of both directions (RFC 7323, section 2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scales {
    /// Applies to windows that the peer sends.
    pub peer: WindowScale,
    /// Applies to windows that we send.
    pub ours: WindowScale,
}

/// The timestamp state of a connection (RFC 7323, section 4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Clock {
    /// TS.Recent: the peer's value to echo.
    pub recent: u32,
    /// What is added to the millisecond clock to make our TSval.
    pub offset: u32,
}

impl Clock {
    /// The option on a segment sent at `now`.
    pub const fn stamp(&self, now: Instant) -> Timestamps {
        Timestamps { value: (now.as_millis() as u32).wrapping_add(self.offset), echo: self.recent }
    }
}

impl Negotiated {
    /// What `syn` and our answer to it agree on: each option needs both sides. `iss` and `timestamp_offset` are ours to
    /// choose.
    #[inline]
    pub fn new(syn: &Syn, offer: &Offer, iss: SeqNum, timestamp_offset: u32) -> Self {
        let SynOptions { mss, window_scale, sack_permitted, timestamps } = syn.options;
        // MUST-15: a SYN without the option stands for the default of its family.
        let default_mss = if syn.tuple.is_ipv6() { Mss::DEFAULT_V6 } else { Mss::DEFAULT_V4 };
        Self {
            iss,
            irs: syn.irs,
            send_mss: mss.unwrap_or(default_mss),
            scales: window_scale.zip(offer.window_scale).map(|(peer, ours)| Scales { peer, ours }),
            sack: sack_permitted && offer.sack,
            timestamps: timestamps
                .filter(|_| offer.timestamps)
                .map(|theirs| Clock { recent: theirs.value, offset: timestamp_offset }),
            ecn: syn.ecn && offer.ecn,
        }
    }

    /// Our SYN-ACK (RFC 9293, section 3.10.7.2): it acknowledges the SYN alone, never data that came with it, and
    /// carries the option that the peer's SYN carried, besides our MSS. ECE without CWR agrees to ECN.
    #[inline]
    pub fn syn_ack(&self, now: Instant, tuple: &Tuple, offer: &Offer) -> Head {
        let mut flags = Flags::SYN | Flags::ACK;
        flags.set(Flags::ECE, self.ecn);
        Head {
            tuple: *tuple,
            seq: self.iss,
            ack: self.irs + 1,
            flags,
            window: offer.window,
            options: Options::Syn(SynOptions {
                mss: Some(offer.mss(tuple)),
                window_scale: self.scales.map(|scales| scales.ours),
                sack_permitted: self.sack,
                timestamps: self.timestamps.map(|clock| clock.stamp(now)),
            }),
            marking: offer.marking,
        }
    }

    /// The acknowledgment that answers an unacceptable segment in SYN-RECEIVED (RFC 9293, section 3.10.7.4, first
    /// check): <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>.
    pub fn challenge_ack(&self, now: Instant, tuple: &Tuple, offer: &Offer) -> Head {
        let shift = self.scales.map_or(0, |scales| scales.ours.shift());
        Head {
            tuple: *tuple,
            seq: self.iss + 1,
            ack: self.irs + 1,
            flags: Flags::ACK,
            window: offer.window >> shift,
            options: Options::Data(DataOptions {
                timestamps: self.timestamps.map(|clock| clock.stamp(now)),
                ..DataOptions::default()
            }),
            marking: offer.marking,
        }
    }
}

/// A half-open connection. The SYN table stores it (packed, beside its addresses and links); a valid cookie ACK decodes
/// to it; a connection is made from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HalfOpen {
    /// What the SYNs agreed on.
    pub negotiated: Negotiated,
    /// How often our SYN-ACK timed out and was sent again; zero for a cookie, which is never sent again. A lost SYN-ACK
    /// shrinks the first congestion window to one segment (RFC 5681, section 3.1).
    pub timeouts: u8,
    /// From our SYN-ACK to its acknowledgment, once that is there; none where the SYN-ACK was sent more than once (Karn's rule)
    /// or carried a cookie (Linux: `tcp_synack_rtt_meas`).
    pub round_trip: Option<Duration>,
}

const _: () = assert!(size_of::<HalfOpen>() <= 64);
