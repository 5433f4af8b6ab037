//! TCP_INFO, in the layout of the kernel's `struct tcp_info` (linux/tcp.h), and what else only the shard knows.

use crate::descriptors::FileId;
use crate::engine::{Engine, Patience, State};
use crate::errno::{Errno, Result};
use crate::socket::Phase;
use std::time::Duration;
use synward_engine::Progress;
use synward_proto::connection::{CaState, Info, State as TcpState};
use zerocopy::{Immutable, IntoBytes};

/// The kernel's structure as of Linux 6.18. Fields that nothing here counts are zero.
#[repr(C)]
#[derive(Clone, Copy, Default, IntoBytes, Immutable, Debug)]
pub(crate) struct TcpInfo {
    state: u8,
    ca_state: u8,
    retransmits: u8,
    probes: u8,
    backoff: u8,
    options: u8,
    /// The scale of the peer's windows in the lower half, ours in the upper.
    scales: u8,
    limits: u8,
    rto: u32,
    ato: u32,
    snd_mss: u32,
    rcv_mss: u32,
    unacked: u32,
    sacked: u32,
    lost: u32,
    retrans: u32,
    fackets: u32,
    last_data_sent: u32,
    last_ack_sent: u32,
    last_data_recv: u32,
    last_ack_recv: u32,
    pmtu: u32,
    rcv_ssthresh: u32,
    rtt: u32,
    rttvar: u32,
    snd_ssthresh: u32,
    snd_cwnd: u32,
    advmss: u32,
    reordering: u32,
    rcv_rtt: u32,
    rcv_space: u32,
    total_retrans: u32,
    pacing_rate: u64,
    max_pacing_rate: u64,
    bytes_acked: u64,
    bytes_received: u64,
    segs_out: u32,
    segs_in: u32,
    notsent_bytes: u32,
    min_rtt: u32,
    data_segs_in: u32,
    data_segs_out: u32,
    delivery_rate: u64,
    busy_time: u64,
    rwnd_limited: u64,
    sndbuf_limited: u64,
    delivered: u32,
    delivered_ce: u32,
    bytes_sent: u64,
    bytes_retrans: u64,
    dsack_dups: u32,
    reord_seen: u32,
    rcv_ooopack: u32,
    snd_wnd: u32,
}

/// From here on a threshold is none: no window is larger (RFC 7323, section 2.3).
const NO_THRESHOLD: u32 = 1 << 30;
/// How Linux says that there is none (`TCP_INFINITE_SSTHRESH`).
const INFINITE: u32 = 0x7fff_ffff;
/// `TCPI_OPT_TIMESTAMPS`.
const TIMESTAMPS: u8 = 1;
/// `TCPI_OPT_SACK`.
const SACK: u8 = 2;
/// `TCPI_OPT_WSCALE`.
const SCALING: u8 = 4;
/// `TCP_CLOSE`.
const CLOSE: u8 = 7;
/// `TCP_LISTEN`.
const LISTEN: u8 = 10;

/// The kernel's number of a state (net/tcp_states.h).
fn number(state: TcpState) -> u8 {
    match state {
        TcpState::Established => 1,
        TcpState::SynSent => 2,
        TcpState::FinWait1 => 4,
        TcpState::FinWait2 => 5,
        TcpState::Closed => CLOSE,
        TcpState::CloseWait => 8,
        TcpState::LastAck => 9,
        TcpState::Closing => 11,
    }
}

/// The kernel's number of what is done about losses (`enum tcp_ca_state`).
fn ca_number(state: CaState) -> u8 {
    match state {
        CaState::Open => 0,
        CaState::Disorder => 1,
        CaState::Cwr => 2,
        CaState::Recovery => 3,
        CaState::Loss => 4,
    }
}

fn micros(span: Duration) -> u32 {
    u32::try_from(span.as_micros()).unwrap_or(u32::MAX)
}

/// Bytes in segments.
fn segments(bytes: u32, mss: u16) -> u32 {
    bytes.div_ceil(u32::from(mss).max(1))
}

impl TcpInfo {
    /// A socket that is neither connected nor listens.
    fn closed() -> Self {
        Self { state: CLOSE, ..Self::default() }
    }

    /// A connection.
    fn of(info: &Info) -> Self {
        let scales = (info.scales.peer.shift(), info.scales.ours.shift());
        let mut options = 0;
        for (on, bit) in [(info.timestamps, TIMESTAMPS), (info.sack, SACK), (scales != (0, 0), SCALING)] {
            options |= if on { bit } else { 0 };
        }
        Self {
            state: number(info.state),
            ca_state: ca_number(info.ca_state),
            retransmits: info.timeouts,
            backoff: info.timeouts,
            options,
            scales: scales.0 | scales.1 << 4,
            rto: micros(info.rto),
            snd_mss: info.mss.into(),
            unacked: info.unacked,
            sacked: info.sacked,
            lost: info.lost,
            retrans: info.retransmitting,
            rtt: micros(info.srtt.unwrap_or_default()),
            rttvar: micros(info.rttvar),
            snd_ssthresh: if info.ssthresh >= NO_THRESHOLD { INFINITE } else { segments(info.ssthresh, info.mss) },
            snd_cwnd: segments(info.cwnd, info.mss),
            reordering: info.reordering.into(),
            rcv_space: info.receive_window,
            total_retrans: info.retransmits,
            // None at all is the largest number there is, in both.
            pacing_rate: info.pacing_rate.unwrap_or(u64::MAX),
            max_pacing_rate: u64::MAX,
            bytes_acked: info.bytes_acked,
            min_rtt: info.min_rtt.map_or(u32::MAX, micros),
            snd_wnd: info.send_window,
            ..Self::default()
        }
    }
}

impl Engine {
    /// How the connection of a socket stands, as its shard knows it; `None` where there is none, or not yet.
    ///
    /// # Errors
    /// EBADF, ENOBUFS.
    pub(crate) fn info(&self, file: FileId) -> Result<Option<Box<Info>>> {
        let asked = self.call(|state| state.ask_for_info(file))?;
        // The shard answers at once: no packet is waited for.
        if asked { self.wait(Patience::Endless, |state| state.take_info(file)) } else { Ok(None) }
    }

    /// TCP_INFO.
    ///
    /// # Errors
    /// As [`info`](Self::info).
    pub(crate) fn tcp_info(&self, file: FileId) -> Result<Vec<u8>> {
        let told = match self.info(file)? {
            Some(info) => TcpInfo::of(&info),
            None => self.call(|state| Ok(state.listener_info(file)))?,
        };
        Ok(told.as_bytes().to_vec())
    }
}

impl State {
    fn ask_for_info(&mut self, file: FileId) -> Result<bool> {
        let Phase::Connection(connection) = self.socket(file)?.phase else { return Ok(false) };
        if matches!(self.core.status(connection.id)?.progress, Progress::Asked | Progress::Over) {
            return Ok(false);
        }
        self.core.describe(connection.id)?;
        Ok(true)
    }

    fn take_info(&mut self, file: FileId) -> Result<Option<Box<Info>>> {
        if let Some(info) = self.socket(file)?.described.take() {
            return Ok(Some(info));
        }
        match self.connection(file, Errno::NOT_CONNECTED) {
            Ok((_, status)) if status.progress != Progress::Over => Err(Errno::AGAIN),
            _ => Ok(None),
        }
    }

    fn listener_info(&mut self, file: FileId) -> TcpInfo {
        let backlog = self.sockets.get(&file).map_or(0, |socket| socket.backlog);
        match self.sockets.get(&file).map(|socket| socket.phase) {
            // Connections that wait, and how many may, in fields that are about other things else.
            Some(Phase::Listening(listener)) => TcpInfo {
                state: LISTEN,
                unacked: self.core.waiting(listener).unwrap_or(0) as u32,
                sacked: backlog.min(self.config.somaxconn),
                ..TcpInfo::default()
            },
            _ => TcpInfo::closed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::TcpInfo;
    use std::mem::offset_of;

    /// The offsets of Linux 6.18; the tests in C compare more of them with the header of the machine.
    #[test]
    fn layout_is_the_kernels() {
        assert_eq!(offset_of!(TcpInfo, rto), 8);
        assert_eq!(offset_of!(TcpInfo, rtt), 68);
        assert_eq!(offset_of!(TcpInfo, total_retrans), 100);
        assert_eq!(offset_of!(TcpInfo, pacing_rate), 104);
        assert_eq!(offset_of!(TcpInfo, delivery_rate), 160);
        assert_eq!(offset_of!(TcpInfo, snd_wnd), 228);
        assert_eq!(size_of::<TcpInfo>(), 232);
    }
}
