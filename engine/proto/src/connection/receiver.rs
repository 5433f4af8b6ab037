//! The receive side: the window, what of a segment is new, and what waits for a gap to close (RFC 9293, sections 3.4,
//! 3.8.6 and 3.10.7.4, first, seventh and eighth check).

use super::acknowledge::AckSchedule;
use super::config::Settings;
use super::reassembly::{Reassembly, Repeated};
use super::tuning::{Reading, Sample, Tuning};
use crate::segment::{SackBlock, SackBlocks, WindowScale};
use crate::{Counter, Counts, Flags, Instant, Segment, SeqNum, Span};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

/// The window of a SYN or SYN-ACK, which is never scaled (RFC 7323, section 2.2).
pub(super) fn syn_window(receive_buffer: u32) -> u16 {
    u16::try_from(receive_buffer).unwrap_or(u16::MAX)
}

/// The peer's half of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum PeerFin {
    /// No FIN has been seen.
    Open,
    /// A FIN was seen; something before it is missing.
    Early,
    /// The FIN is in order: the stream is complete.
    Received,
}

/// What a segment's payload turned out to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Text {
    /// It occupies no sequence space.
    Empty,
    /// The stream continues.
    InOrder {
        /// What of the frame goes to the reader.
        span: Option<Span>,
        /// Whether bytes wait in the reassembly queue for the reader.
        reassembled: bool,
        /// Whether something is or was missing.
        gap: bool,
    },
    /// Something before it is missing; it waits.
    OutOfOrder,
    /// All of it was received before.
    Duplicate,
    /// None of it fits the window, which is closed or not.
    Beyond {
        /// Whether the window is closed.
        closed: bool,
    },
    /// It would have to wait, and there is no room.
    Full,
}

/// The part of a segment that is new and within the window.
#[derive(Clone, Copy)]
struct Fresh {
    start: SeqNum,
    span: Span,
    fin: bool,
}

/// Receive sequence space and what was received.
#[derive(Debug)]
pub(super) struct Receiver {
    /// RCV.NXT.
    nxt: SeqNum,
    /// The right edge of the window that we offered: RCV.NXT + RCV.WND. It never moves left (SHLD-14).
    edge: SeqNum,
    /// Last.ACK.sent (RFC 7323, section 4.3; Linux: `rcv_wup`).
    acked: SeqNum,
    /// Bytes in order that the application has not read.
    unread: u32,
    /// The sequence number of the peer's FIN, once it was seen.
    fin_at: SeqNum,
    fin: PeerFin,
    /// What came before its turn; boxed, so that a connection without disorder owns no heap.
    reassembly: Option<Box<Reassembly>>,
    /// Applies to windows that we send.
    scale: WindowScale,
    /// How much there is room for.
    tuning: Tuning,
    /// When to acknowledge.
    pub acks: AckSchedule,
}

const _: () = assert!(size_of::<Receiver>() <= 72);

impl Receiver {
    /// Everything up to `nxt` is received, and a `window` was offered.
    pub fn new(nxt: SeqNum, window: u32, scale: WindowScale, tuning: Tuning, mss: u16) -> Self {
        Self {
            nxt,
            edge: nxt + window,
            acked: nxt,
            unread: 0,
            fin_at: nxt,
            fin: PeerFin::Open,
            reassembly: None,
            scale,
            tuning,
            acks: AckSchedule::new(mss, window),
        }
    }

    /// RCV.NXT.
    pub fn nxt(&self) -> SeqNum {
        self.nxt
    }

    /// Last.ACK.sent.
    pub fn acked(&self) -> SeqNum {
        self.acked
    }

    /// The window as the last acknowledgment offered it (Linux: `rcv_wnd`).
    pub fn offered(&self) -> u32 {
        self.edge.distance_from(self.acked)
    }

    /// Bytes that are received in order and not acknowledged.
    pub fn unacked(&self) -> u32 {
        self.nxt.distance_from(self.acked)
    }

    /// Bytes that the application has not read.
    pub fn unread(&self) -> u32 {
        self.unread
    }

    /// Bytes that it holds for the reader, in order or not, with what pieces out of order cost besides.
    pub fn held(&self) -> u32 {
        self.unread.saturating_add(self.reassembly.as_ref().map_or(0, |waiting| waiting.footprint()))
    }

    /// Drops what lies beyond a gap; true when there was something. A FIN that came before its turn stays known.
    pub fn prune(&mut self) -> bool {
        let nxt = self.nxt;
        let pruned = self.reassembly.as_mut().is_some_and(|waiting| waiting.prune(nxt));
        self.tidy();
        pruned
    }

    /// The scale of windows that we send.
    pub const fn scale(&self) -> WindowScale {
        self.scale
    }

    /// RCV.WND: what is left of the window that we offered.
    pub fn window(&self) -> u32 {
        if self.edge.after(self.nxt) { self.edge.distance_from(self.nxt) } else { 0 }
    }

    /// RCV.WND as the window field says it.
    pub fn window_field(&self) -> u16 {
        u16::try_from(self.window() >> self.scale.shift()).unwrap_or(u16::MAX)
    }

    /// Whether the peer's FIN was seen, in order or not.
    pub fn fin_seen(&self) -> bool {
        self.fin != PeerFin::Open
    }

    /// Whether the peer's stream is complete.
    pub fn finished(&self) -> bool {
        self.fin == PeerFin::Received
    }

    /// The acceptability test (RFC 9293, section 3.4, table 6) in Linux's form (`tcp_sequence`): nothing that ends before
    /// our last acknowledgment, nothing that begins beyond the window. The right edge itself passes: there stand the
    /// acknowledgments of a peer that has filled the window, and probes of a closed one.
    pub fn accepts(&self, seq: SeqNum, len: u32) -> bool {
        !(seq + len).before(self.acked) && !seq.after(self.edge)
    }

    /// Whether `seq` lies in `[RCV.NXT, RCV.NXT + RCV.WND)`.
    pub fn in_window(&self, seq: SeqNum) -> bool {
        seq.in_window(self.nxt, self.window())
    }

    /// Whether a segment carries a byte that was not received before (Linux: the test of `TCPAbortOnData`).
    pub fn is_news(&self, segment: &Segment) -> bool {
        (segment.seq + u32::from(segment.payload.len)).after(self.nxt) && segment.payload.len > 0 && !self.finished()
    }

    /// Takes the payload and FIN of an acceptable segment, and adds to `repeated` what was here already. With `copy` nothing is
    /// left in the frame: what is in order goes to the reassembly queue too.
    pub fn take_text(&mut self, segment: &Segment, frame: &[u8], copy: bool, repeated: &mut Repeated) -> Text {
        if segment.seq_len() == 0 {
            return Text::Empty;
        }
        *repeated = self.repeated_by(segment);
        if !(segment.seq + segment.seq_len()).after(self.nxt) {
            return Text::Duplicate;
        }
        let fresh = self.trim(segment);
        if fresh.span.len == 0 && !fresh.fin {
            Text::Beyond { closed: self.window() == 0 }
        } else if fresh.start == self.nxt {
            self.take_in_order(fresh.span, frame, copy, repeated)
        } else {
            self.take_out_of_order(fresh, frame, repeated)
        }
    }

    /// What of a segment lies before RCV.NXT.
    pub fn repeated_by(&self, segment: &Segment) -> Repeated {
        let end = segment.seq + segment.seq_len();
        Repeated::of(segment.seq, end.earliest(self.nxt))
    }

    /// The next acknowledgment reports that `block` was received twice.
    pub fn report(&mut self, block: SackBlock) {
        self.waiting().report(block);
    }

    /// The peer's FIN, once everything before it is in order; true only the first time.
    pub fn take_fin(&mut self) -> bool {
        let reached = self.fin == PeerFin::Early && self.fin_at == self.nxt;
        if reached {
            self.fin = PeerFin::Received;
            self.nxt += 1;
        }
        reached
    }

    /// The next bytes that waited for a gap and are in order now.
    pub fn take_reassembled(&mut self) -> Option<Vec<u8>> {
        let bytes = self.reassembly.as_mut()?.take_before(self.nxt);
        self.tidy();
        bytes
    }

    /// Drops what waits: nobody will read it.
    pub fn discard(&mut self) {
        self.reassembly = None;
    }

    /// The application has read `bytes`. True when the peer should hear of it at once: an acknowledgment waited for this, or the
    /// window has grown to twice what it knows of (Linux: `tcp_cleanup_rbuf`).
    pub fn consumed(&mut self, now: Instant, bytes: u32, settings: &Settings) -> bool {
        self.unread = self.unread.saturating_sub(bytes);
        let (read, unread, ahead) = (self.nxt - self.unread, self.unread, self.ahead());
        self.tuning.on_read(&Reading { now, read, unread, ahead }, settings.receive_buffer_max);
        if self.acks.on_read(self.unacked(), self.unread) {
            return true;
        }
        let (known, possible) = (self.window(), self.offer(settings));
        !self.finished() && possible > known && possible >= known.saturating_mul(2)
    }

    /// The window field of a segment sent now, which thereby becomes what we have offered and acknowledged.
    pub fn advertise(&mut self, settings: &Settings) -> (u16, Counts) {
        let buffer = self.buffer(settings);
        let was_closed = self.edge == self.acked;
        let shift = u32::from(self.scale.shift());
        // Rounded up where an old edge is kept, so that rounding does not take back what was offered; but no further than
        // an eighth past the buffer, or each acknowledgment would push the edge on while nobody reads.
        let room = (buffer + buffer / 8).saturating_sub(self.unread) >> shift;
        let units = self.offer(settings).div_ceil(1 << shift).min(room);
        let field = u16::try_from(units).unwrap_or(u16::MAX);
        self.acked = self.nxt;
        self.edge = self.edge.latest(self.nxt + (u32::from(field) << shift));
        self.acks.on_acknowledged();
        let counts = match (was_closed, field == 0) {
            (false, true) => Counts::of(&[Counter::TCPToZeroWindowAdv]),
            (true, false) => Counts::of(&[Counter::TCPFromZeroWindowAdv]),
            (false, false) | (true, true) => Counts::NONE,
        };
        (field, counts)
    }

    /// In-order data came: how long a round trip takes.
    pub fn measure(&mut self, now: Instant, echo: Option<Duration>, len: u16) {
        let window = self.offered();
        let drained = self.unread <= u32::from(len);
        self.tuning.on_data(&Sample { now, nxt: self.nxt, window, echo, drained });
    }

    /// The application wants just so large a buffer.
    pub fn set_buffer(&mut self, bytes: u32) {
        self.tuning.set_buffer(bytes);
    }

    /// Bytes that the peer may have in flight or unread, those that came before their turn included: they lie in the window.
    fn buffer(&self, settings: &Settings) -> u32 {
        self.tuning.buffer().min(settings.window_clamp)
    }

    /// Bytes from RCV.NXT to the end of what came before its turn.
    fn ahead(&self) -> u32 {
        let end = self.reassembly.as_ref().and_then(|waiting| waiting.last_end()).unwrap_or(self.nxt);
        end.latest(self.nxt).distance_from(self.nxt)
    }

    /// At most `limit` blocks of what came twice or lies beyond a gap.
    pub fn sack_blocks(&self, limit: usize) -> SackBlocks {
        self.reassembly.as_ref().map_or(SackBlocks::NONE, |reassembly| reassembly.blocks(self.nxt, limit))
    }

    /// An acknowledgment has reported the blocks.
    pub fn blocks_reported(&mut self) {
        if let Some(reassembly) = &mut self.reassembly {
            reassembly.reported();
            self.tidy();
        }
    }

    /// A connection without disorder owns no heap.
    fn tidy(&mut self) {
        if self.reassembly.as_ref().is_some_and(|reassembly| reassembly.is_empty()) {
            self.reassembly = None;
        }
    }

    /// The window to offer. Silly window syndrome is avoided on this side by moving the edge only in steps of
    /// min(half the buffer, one segment) (RFC 9293, section 3.8.6.2.2; MUST-39).
    fn offer(&self, settings: &Settings) -> u32 {
        let (buffer, mss) = (self.buffer(settings), u32::from(settings.mss.get()));
        let shift = u32::from(self.scale.shift());
        let free = (buffer.saturating_sub(self.unread) >> shift).min(u32::from(u16::MAX)) << shift;
        let known = self.window();
        if free >= known.saturating_add(mss.min(buffer / 2)) { free } else { known }
    }

    /// Cuts off what was received before, what lies beyond the window, and what lies beyond the peer's FIN.
    fn trim(&mut self, segment: &Segment) -> Fresh {
        let payload = segment.payload;
        let end = segment.seq + u32::from(payload.len);
        let old = if segment.seq.before(self.nxt) { self.nxt.distance_from(segment.seq) } else { 0 };
        let start = segment.seq + old;
        let span = payload.skip(u16::try_from(old).unwrap_or(u16::MAX));
        let limit = match self.fin {
            PeerFin::Open => self.edge,
            PeerFin::Early => self.edge.earliest(self.fin_at),
            PeerFin::Received => start,
        };
        let room = if limit.after(start) { limit.distance_from(start) } else { 0 };
        let kept = span.truncate(u16::try_from(room).unwrap_or(u16::MAX));
        let whole = kept.len == span.len;
        Fresh { start, span: kept, fin: segment.flags.contains(Flags::FIN) && whole && self.note_fin(end) }
    }

    /// Remembers where the peer's stream ends. The first FIN counts, and none before bytes that are here already.
    fn note_fin(&mut self, at: SeqNum) -> bool {
        match self.fin {
            PeerFin::Open => {
                let last = self.reassembly.as_ref().and_then(|reassembly| reassembly.last_end());
                let consistent = !last.is_some_and(|end| end.after(at));
                if consistent {
                    (self.fin, self.fin_at) = (PeerFin::Early, at);
                }
                consistent
            }
            PeerFin::Early => self.fin_at == at,
            PeerFin::Received => false,
        }
    }

    fn take_in_order(&mut self, span: Span, frame: &[u8], copy: bool, repeated: &mut Repeated) -> Text {
        let (start, had_gap) = (self.nxt, self.has_gap());
        let direct = match &self.reassembly {
            _ if copy => 0,
            None => span.len,
            // Bytes that are to be read before these still wait: these join the queue behind them.
            Some(waiting) if waiting.has_before(start) => 0,
            // The first copy of a byte wins: the frame gives only what comes before the first piece that waits.
            Some(waiting) => {
                let ahead = waiting.first_start(start).map_or(u32::MAX, |first| first.distance_from(start));
                span.len.min(u16::try_from(ahead).unwrap_or(u16::MAX))
            }
        };
        self.nxt += u32::from(direct);
        let rest = span.skip(direct);
        if rest.len > 0 {
            let from = self.nxt;
            self.waiting().insert(from, rest.of(frame), repeated);
        }
        let end = self.reassembly.as_ref().map_or(self.nxt, |waiting| waiting.contiguous_end(self.nxt));
        let reassembled = end != self.nxt;
        self.nxt = end;
        self.unread = self.unread.saturating_add(end.distance_from(start));
        if end == start && span.len > 0 {
            return Text::Full;
        }
        Text::InOrder { span: (direct > 0).then(|| span.truncate(direct)), reassembled, gap: had_gap }
    }

    fn has_gap(&self) -> bool {
        self.reassembly.as_ref().is_some_and(|reassembly| reassembly.has_gap(self.nxt))
    }

    fn take_out_of_order(&mut self, fresh: Fresh, frame: &[u8], repeated: &mut Repeated) -> Text {
        let stored = fresh.span.len == 0 || self.waiting().insert(fresh.start, fresh.span.of(frame), repeated);
        if stored { Text::OutOfOrder } else { Text::Full }
    }

    fn waiting(&mut self) -> &mut Reassembly {
        self.reassembly.get_or_insert_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Codepoint, Endpoint, Link, Options, Tuple};
    use core::net::{IpAddr, Ipv4Addr};

    #[test]
    fn disorder_leaves_no_heap_behind() {
        let end = Endpoint::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);
        let segment = |seq, len| Segment {
            link: Link::default(),
            tuple: Tuple { local: end, remote: end },
            seq: SeqNum(seq),
            ack: SeqNum(0),
            flags: Flags::ACK,
            window: 0,
            ecn: Codepoint::NotEct,
            options: Options::NONE,
            payload: Span { start: 0, len },
            unfinished_checksum: false,
        };
        let tuning = Tuning::new(Instant::ZERO, SeqNum(0), 1000, 1000, None);
        let mut receiver = Receiver::new(SeqNum(0), 1000, WindowScale::default(), tuning, 500);
        assert_eq!(receiver.take_text(&segment(10, 10), &[0; 10], false, &mut Repeated::default()), Text::OutOfOrder);
        assert!(receiver.reassembly.is_some());
        let filled = receiver.take_text(&segment(0, 10), &[0; 10], false, &mut Repeated::default());
        assert!(matches!(filled, Text::InOrder { reassembled: true, .. }));
        assert_eq!(receiver.take_reassembled().map(|bytes| bytes.len()), Some(10));
        assert!(receiver.reassembly.is_none());
    }
}
