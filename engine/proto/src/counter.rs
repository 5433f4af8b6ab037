//! Counters under the names that `netstat -s` and `nstat` use (Linux, `net/ipv4/proc.c`).

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// A counter, named as Linux names it. Those that Linux does not have say so.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u8)]
        pub enum Counter { $($(#[doc = $doc])+ $name,)+ }

        impl Counter {
            /// Every counter, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The name that operators know.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }
        }
    };
}

counters! {
    /// Segments received, dead ones included.
    InSegs,
    /// Segments sent, retransmissions not included.
    OutSegs,
    /// Segments sent again.
    RetransSegs,
    /// Segments received in error.
    InErrs,
    /// Segments received with a wrong checksum.
    InCsumErrors,
    /// Segments sent with RST.
    OutRsts,
    /// Connections opened by us.
    ActiveOpens,
    /// Handshakes completed on a listener, those by cookie included, as Linux counts them.
    PassiveOpens,
    /// Opens that failed before they were established.
    AttemptFails,
    /// Established connections ended by a reset.
    EstabResets,
    /// SYN-ACKs that carried a cookie.
    SyncookiesSent,
    /// Cookies that came back valid.
    SyncookiesRecv,
    /// ACKs whose cookie was wrong.
    SyncookiesFailed,
    /// Half-open entries ended by a reset, from either side.
    EmbryonicRsts,
    /// Accept queue found full.
    ListenOverflows,
    /// SYNs and completing ACKs that a listener dropped.
    ListenDrops,
    /// SYN queue full, answered with a cookie.
    TCPReqQFullDoCookies,
    /// SYN queue full, dropped.
    TCPReqQFullDrop,
    /// SYN-ACKs and SYNs sent again.
    TCPSynRetrans,
    /// Retransmission timer fired.
    TCPTimeouts,
    /// Segments retransmitted by fast retransmit.
    TCPFastRetrans,
    /// Segments retransmitted after a timeout, in slow start.
    TCPSlowStartRetrans,
    /// Fast recoveries begun without SACK (RFC 6582).
    TCPRenoRecovery,
    /// Fast recoveries begun with SACK.
    TCPSackRecovery,
    /// Copies that were lost again.
    TCPLostRetransmit,
    /// Tail loss probes sent (RFC 8985, section 7).
    TCPLossProbes,
    /// Losses that a tail loss probe repaired.
    TCPLossProbeRecovery,
    /// Reordering noticed by SACK.
    TCPSACKReorder,
    /// Reordering noticed by duplicate acknowledgments, without SACK.
    TCPRenoReorder,
    /// Reordering noticed by timestamps.
    TCPTSReorder,
    /// Recoveries taken back at their end.
    TCPFullUndo,
    /// Recoveries taken back at a partial acknowledgment.
    TCPPartialUndo,
    /// Recoveries taken back because of D-SACK.
    TCPDSACKUndo,
    /// Recoveries from a timeout taken back.
    TCPLossUndo,
    /// Timeouts found spurious by F-RTO (RFC 5682).
    TCPSpuriousRTOs,
    /// Peers that dropped what they had reported (RFC 2018, section 8).
    TCPSACKReneging,
    /// SACK blocks that made no sense.
    TCPSACKDiscard,
    /// D-SACKs received of acknowledged data (RFC 2883).
    TCPDSACKRecv,
    /// D-SACKs received of data that is not acknowledged.
    TCPDSACKOfoRecv,
    /// D-SACKs of something older than the last recovery.
    TCPDSACKIgnoredOld,
    /// D-SACKs while there was no recovery to take back.
    TCPDSACKIgnoredNoUndo,
    /// D-SACKs of more than was sent again.
    TCPDSACKIgnoredDubious,
    /// Delayed acknowledgments sent by timer.
    DelayedACKs,
    /// Segments that repeated what was received: an acknowledgment of ours must have been lost or late.
    DelayedACKLost,
    /// Segments queued out of order.
    TCPOFOQueue,
    /// Segments dropped because the reassembly queue was full.
    TCPOFODrop,
    /// Reassembly queues dropped to make room.
    OfoPruned,
    /// Segments received out of order that were queued already, wholly.
    TCPOFOMerge,
    /// D-SACKs sent about what is in order (RFC 2883).
    TCPDSACKOldSent,
    /// D-SACKs sent about what is queued out of order.
    TCPDSACKOfoSent,
    /// Segments refused by PAWS in an established state.
    PAWSEstab,
    /// Late acknowledgments refused by PAWS, without an answer.
    PAWSOldAck,
    /// Challenge acknowledgments sent (RFC 5961).
    TCPChallengeACK,
    /// Challenge acknowledgments caused by a SYN (RFC 5961, section 4).
    TCPSYNChallenge,
    /// Challenge acknowledgments withheld by the rate limit on invalid segments.
    TCPACKSkippedChallenge,
    /// Answers to segments refused by PAWS withheld by that limit.
    TCPACKSkippedPAWS,
    /// Answers to segments outside of the window withheld by that limit.
    TCPACKSkippedSeq,
    /// Window went from zero to open.
    TCPFromZeroWindowAdv,
    /// Window went to zero.
    TCPToZeroWindowAdv,
    /// Data dropped because the window was zero.
    TCPZeroWindowDrop,
    /// Zero-window probes sent.
    TCPWinProbe,
    /// Keepalive probes sent.
    TCPKeepAlive,
    /// Connections reset because data came after close.
    TCPAbortOnData,
    /// Connections reset because unread data was left at close.
    TCPAbortOnClose,
    /// Connections given up by a timer.
    TCPAbortOnTimeout,
    /// Connections reset by close with linger zero.
    TCPAbortOnLinger,
    /// Connections reset for the room they take: at close because too many wait for their peers, or because nothing of what they
    /// hold has moved for the longest when buffers or the table are full.
    TCPAbortOnMemory,
    /// Connections that entered TIME_WAIT.
    TW,
    /// TIME_WAIT entries reused: by a newer SYN of the peer (RFC 6191), or by an open of ours.
    TWRecycled,
    /// Connections refused because the table is full. Linux: TCPMemoryPressures is its nearest relative.
    ConnectionTableFull,
    /// Segments accepted with the unfinished checksum of a virtual device (ours; Linux does not count them).
    UnfinishedChecksums,
    /// Received payloads copied out of their frame because the connection's share of frames was used (ours).
    FramesCopiedOut,
    /// Resets withheld by the rate limit (ours).
    RstsLimited,
    /// Answers to invalid segments in SYN-RECEIVED withheld by the rate limit.
    TCPACKSkippedSynRecv,
    /// Segments in SYN-RECEIVED that echoed a timestamp we never sent.
    TSEcrRejected,
    /// Half-open entries that made room for a newer one in a full bucket (ours).
    HalfOpenEvicted,
    /// SYNs that found the share of their /24 or /64 in the SYN table used up: answered with a cookie, or dropped (ours).
    HalfOpenPrefixFull,
    /// Connections given a small send buffer because the peer's MSS is small (ours; CVE-2019-11479).
    SmallMss,
    /// Segments not sent because too many wait already: lost, as on a full link (ours).
    TxBacklogDrops,
    /// Frames that arrived on another queue than their owner's, and were copied to it (ours).
    FramesSteered,
    /// Connects refused because every source port towards the peer is in use (ours).
    SourcePortsExhausted,
    /// ICMP errors about sequence numbers that were not on their way.
    OutOfWindowIcmps,
    /// Segment sizes given up because nothing of them arrived (RFC 4821).
    TCPMTUPFail,
    /// Segment sizes that were given up once, tried again, and arrive.
    TCPMTUPSuccess,
}

/// A set of counters, each to be raised by one.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts([u64; 2]);

const _: () = assert!(Counter::ALL.len() <= 128, "Counts holds 128 counters");

impl Counts {
    /// None.
    pub const NONE: Self = Self([0; 2]);

    /// These counters.
    pub const fn of(counters: &[Counter]) -> Self {
        let mut words = [0; 2];
        let mut i = 0;
        while i < counters.len() {
            let index = counters[i] as usize;
            words[index / 64] |= 1 << (index % 64);
            i += 1;
        }
        Self(words)
    }

    /// Both sets.
    pub const fn and(self, other: Self) -> Self {
        Self([self.0[0] | other.0[0], self.0[1] | other.0[1]])
    }

    /// Whether `counter` is to be raised.
    pub const fn contains(self, counter: Counter) -> bool {
        let index = counter as usize;
        self.0[index / 64] & (1 << (index % 64)) != 0
    }

    /// Whether nothing is to be raised.
    pub const fn is_empty(self) -> bool {
        self.0[0] | self.0[1] == 0
    }

    /// The counters of the set.
    pub fn iter(self) -> impl Iterator<Item = Counter> {
        let mut words = self.0;
        core::iter::from_fn(move || {
            let word = words.iter().position(|&word| word != 0)?;
            let bit = words[word].trailing_zeros() as usize;
            words[word] &= words[word] - 1;
            Counter::ALL.get(64 * word + bit).copied()
        })
    }
}

impl core::fmt::Debug for Counts {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{Counter, Counts};
    use alloc::vec::Vec;

    #[test]
    fn a_set_gives_back_what_was_put_in() {
        for (index, &counter) in Counter::ALL.iter().enumerate() {
            assert_eq!(counter as usize, index);
            assert_eq!(Counts::of(&[counter]).iter().collect::<Vec<_>>(), [counter]);
            assert!(Counts::of(&[counter]).contains(counter) && !Counts::NONE.contains(counter));
        }
        let all = Counts::of(Counter::ALL);
        assert_eq!(all.iter().collect::<Vec<_>>(), Counter::ALL);
        assert!(Counts::NONE.is_empty() && !all.is_empty());
        for (&low, &high) in Counter::ALL.iter().zip(&Counter::ALL[64..]) {
            assert!(!Counts::of(&[low, high]).is_empty(), "{low:?} and {high:?}");
        }
    }
}
