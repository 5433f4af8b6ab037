//! What a connection tells about itself.

use super::config::Settings;
use super::handshake::SynSent;
use super::synchronised::Synchronised;
use super::{CaState, CongestionAlgorithm, State};
use crate::Instant;
use crate::half_open::Scales;
use crate::segment::WindowScale;
use core::time::Duration;

/// What `ss -tinom` shows of a connection (Linux: `struct tcp_info`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Info {
    /// State.
    pub state: State,
    /// Bytes received and not yet read by the application.
    pub recv_queue: u32,
    /// Bytes not yet acknowledged by the peer.
    pub send_queue: u32,
    /// Smoothed round-trip time.
    pub srtt: Option<Duration>,
    /// Its variation.
    pub rttvar: Duration,
    /// Retransmission timeout in force.
    pub rto: Duration,
    /// Congestion window, bytes.
    pub cwnd: u32,
    /// Slow-start threshold, bytes.
    pub ssthresh: u32,
    /// The peer's window, bytes.
    pub send_window: u32,
    /// The window we offer, bytes.
    pub receive_window: u32,
    /// Sender's segment size in force.
    pub mss: u16,
    /// Whether both SYNs carried timestamps.
    pub timestamps: bool,
    /// Whether both SYNs permitted SACK.
    pub sack: bool,
    /// Window scales in force; zero where none was agreed.
    pub scales: Scales,
    /// Retransmissions in all.
    pub retransmits: u32,
    /// Retransmissions by the timer in a row, without progress.
    pub timeouts: u8,
    /// The congestion control.
    pub congestion: CongestionAlgorithm,
    /// What is being done about losses.
    pub ca_state: CaState,
    /// Segments that are not acknowledged; the next three are among them.
    pub unacked: u32,
    /// Segments that the peer has reported beyond a gap.
    pub sacked: u32,
    /// Segments that count as lost.
    pub lost: u32,
    /// Segments that were sent again and are on their way.
    pub retransmitting: u32,
    /// Segments by which one was seen to be overtaken, at least 3.
    pub reordering: u16,
    /// The least round trip of the last five minutes.
    pub min_rtt: Option<Duration>,
    /// The rate to which bursts are spread, bytes per second.
    pub pacing_rate: Option<u64>,
    /// Bytes that the peer has acknowledged in all.
    pub bytes_acked: u64,
    /// Name and expiry of the nearest timer.
    pub timer: Option<(&'static str, Duration)>,
}

impl Info {
    /// A connection that is over.
    const CLOSED: Self = Self {
        state: State::Closed,
        recv_queue: 0,
        send_queue: 0,
        srtt: None,
        rttvar: Duration::ZERO,
        rto: Duration::ZERO,
        cwnd: 0,
        ssthresh: 0,
        send_window: 0,
        receive_window: 0,
        mss: 0,
        timestamps: false,
        sack: false,
        scales: Scales { peer: WindowScale::NONE, ours: WindowScale::NONE },
        retransmits: 0,
        timeouts: 0,
        congestion: CongestionAlgorithm::Cubic,
        ca_state: CaState::Open,
        unacked: 0,
        sacked: 0,
        lost: 0,
        retransmitting: 0,
        reordering: 0,
        min_rtt: None,
        pacing_rate: None,
        bytes_acked: 0,
        timer: None,
    };

    /// A connection that never was.
    pub(super) const fn of_closed() -> Self {
        Self::CLOSED
    }

    /// A connection in SYN-SENT.
    pub(super) fn of_open(now: Instant, syn_sent: &SynSent, settings: &Settings) -> Self {
        Self {
            state: State::SynSent,
            rto: syn_sent.rto(),
            mss: settings.mss.get(),
            retransmits: syn_sent.retransmits().into(),
            timer: syn_sent.deadline().map(|at| ("on", at - now)),
            ..Self::CLOSED
        }
    }

    /// A synchronised connection.
    pub(super) fn of_synchronised(now: Instant, connection: &Synchronised) -> Self {
        let Synchronised { stage, sender, receiver, timers, clock, .. } = connection;
        let (rtt, congestion, losses) = (sender.rtt(), sender.congestion(), sender.losses());
        Self {
            state: stage.state(),
            recv_queue: receiver.unread(),
            send_queue: sender.queued(),
            srtt: rtt.smoothed(),
            rttvar: rtt.variation(),
            rto: rtt.rto(),
            cwnd: congestion.window(),
            ssthresh: congestion.threshold(),
            send_window: sender.window(),
            receive_window: receiver.window(),
            mss: sender.mss(),
            timestamps: clock.is_some(),
            sack: sender.sack(),
            scales: Scales { peer: sender.scale(), ours: receiver.scale() },
            retransmits: sender.retransmits(),
            timeouts: sender.timeouts(),
            congestion: congestion.algorithm(),
            ca_state: losses.state,
            unacked: losses.outstanding,
            sacked: losses.sacked,
            lost: losses.lost,
            retransmitting: losses.resent,
            reordering: sender.reordering().degree(),
            min_rtt: rtt.least(),
            pacing_rate: sender.pacing_rate(),
            bytes_acked: sender.acked(),
            timer: timers.next().map(|(timer, at)| (timer.name(), at - now)),
        }
    }
}
