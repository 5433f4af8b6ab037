//! What the engine tells of a connection, under Linux's names.

use super::EngineTarget;
use crate::target::{Io, Ready, SocketKey};
use synward_engine::ConnectionRow;

/// Linux's slow-start threshold while there is none (`TCP_INFINITE_SSTHRESH`).
const NO_THRESHOLD: u64 = 0x7fff_ffff;

impl EngineTarget {
    /// The row of a socket's connection among those that the engine shows.
    pub(super) fn row(&mut self, socket: SocketKey) -> Io<ConnectionRow> {
        let Some(ends) = self.sockets.get(socket.0).copied() else { return Io::Failed(String::from("EBADF")) };
        let Ok(mut listing) = self.host.observer().connections() else { return Io::Failed(String::from("EAGAIN")) };
        let (local, remote) = (ends.local.to_string(), ends.remote.to_string());
        let mut found = None;
        self.rest();
        while let Ok(Some(rows)) = listing.try_next() {
            found = found.or(rows.into_iter().find(|row| row.local == local && row.remote == remote));
            self.rest();
        }
        found.map_or_else(|| Io::Failed(String::from("ENOTCONN")), Io::Done)
    }
}

/// The value of a field of TCP_INFO, by its name without `tcpi_`; windows of congestion control in segments, times in
/// microseconds.
pub(super) fn field(row: &ConnectionRow, name: &str) -> Option<u64> {
    let segments = |bytes: u32| u64::from(bytes / u32::from(row.mss).max(1));
    Some(match name {
        "snd_cwnd" => segments(row.cwnd),
        "snd_ssthresh" if row.ssthresh > i32::MAX as u32 => NO_THRESHOLD,
        "snd_ssthresh" => segments(row.ssthresh),
        "snd_mss" => row.mss.into(),
        "rto" => row.rto_ms * 1000,
        "rtt" => row.srtt_us.unwrap_or(0),
        "snd_wnd" => row.send_window.into(),
        "total_retrans" => row.retransmits.into(),
        _ => return None,
    })
}

impl From<synward_engine::Ready> for Ready {
    fn from(ready: synward_engine::Ready) -> Self {
        let synward_engine::Ready { readable, writable, hangup, error } = ready;
        [(readable, Self::IN), (writable, Self::OUT), (hangup, Self::HUP), (error, Self::ERR)]
            .into_iter()
            .filter_map(|(is, name)| is.then_some(name))
            .collect()
    }
}
