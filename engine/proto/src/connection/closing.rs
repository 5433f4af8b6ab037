//! The states of a synchronised connection and how they follow each other: RFC 9293, section 3.6 and figure 5.

use super::{Failure, State};

/// A synchronised state, or what comes after. The facts that only one state has (timers, sequence numbers of FINs) live
/// where they are used: [`Timers`](super::timers::Timers), [`Sender`](super::sender::Sender),
/// [`Receiver`](super::receiver::Receiver).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// ESTABLISHED.
    Established,
    /// FIN-WAIT-1: our FIN is queued or sent.
    FinWait1,
    /// FIN-WAIT-2: our FIN is acknowledged.
    FinWait2,
    /// CLOSE-WAIT: the peer's stream is complete.
    CloseWait,
    /// CLOSING: both have sent FIN, ours is not acknowledged.
    Closing,
    /// LAST-ACK: as CLOSING, the peer having closed first.
    LastAck,
    /// TIME-WAIT: [`TimeWait`](super::TimeWait) takes over.
    TimeWait,
    /// CLOSED, by failure or in good order.
    Closed(Option<Failure>),
}

impl Stage {
    /// The application sends no more (RFC 9293, section 3.10.4).
    #[must_use]
    pub fn on_shutdown(self) -> Self {
        match self {
            Self::Established => Self::FinWait1,
            Self::CloseWait => Self::LastAck,
            Self::FinWait1 | Self::FinWait2 | Self::Closing | Self::LastAck | Self::TimeWait | Self::Closed(_) => self,
        }
    }

    /// Our FIN is acknowledged (RFC 9293, section 3.10.7.4, fifth check).
    #[must_use]
    pub fn on_fin_acked(self) -> Self {
        match self {
            Self::FinWait1 => Self::FinWait2,
            Self::Closing => Self::TimeWait,
            Self::LastAck => Self::Closed(None),
            Self::Established | Self::FinWait2 | Self::CloseWait | Self::TimeWait | Self::Closed(_) => self,
        }
    }

    /// The peer's FIN is in order (RFC 9293, section 3.10.7.4, eighth check).
    #[must_use]
    pub fn on_peer_fin(self) -> Self {
        match self {
            Self::Established => Self::CloseWait,
            Self::FinWait1 => Self::Closing,
            Self::FinWait2 => Self::TimeWait,
            Self::CloseWait | Self::Closing | Self::LastAck | Self::TimeWait | Self::Closed(_) => self,
        }
    }

    /// Whether the connection has left the synchronised states.
    pub fn is_over(self) -> bool {
        matches!(self, Self::TimeWait | Self::Closed(_))
    }

    /// Whether ABORT sends a reset here (RFC 9293, section 3.10.5; Linux: `tcp_need_reset`). In the last states both
    /// sides have agreed to close, and a reset is needed only where `unsent` bytes would leave the peer waiting.
    pub fn resets_on_abort(self, unsent: bool) -> bool {
        match self {
            Self::Established | Self::CloseWait | Self::FinWait1 | Self::FinWait2 => true,
            Self::Closing | Self::LastAck => unsent,
            Self::TimeWait | Self::Closed(_) => false,
        }
    }

    /// How the connection failed, if it did.
    pub fn failure(self) -> Option<Failure> {
        match self {
            Self::Closed(failure) => failure,
            Self::Established
            | Self::FinWait1
            | Self::FinWait2
            | Self::CloseWait
            | Self::Closing
            | Self::LastAck
            | Self::TimeWait => None,
        }
    }

    /// The RFC's name.
    pub fn state(self) -> State {
        match self {
            Self::Established => State::Established,
            Self::FinWait1 => State::FinWait1,
            Self::FinWait2 => State::FinWait2,
            Self::CloseWait => State::CloseWait,
            Self::Closing => State::Closing,
            Self::LastAck => State::LastAck,
            Self::TimeWait | Self::Closed(_) => State::Closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Stage::{self, *};

    /// RFC 9293, figure 5: each state with what shutdown, the acknowledgment of our FIN and the peer's FIN lead to.
    #[test]
    fn figure_5() {
        let table: [(Stage, Stage, Stage, Stage); 8] = [
            (Established, FinWait1, Established, CloseWait),
            (FinWait1, FinWait1, FinWait2, Closing),
            (FinWait2, FinWait2, FinWait2, TimeWait),
            (CloseWait, LastAck, CloseWait, CloseWait),
            (Closing, Closing, TimeWait, Closing),
            (LastAck, LastAck, Closed(None), LastAck),
            (TimeWait, TimeWait, TimeWait, TimeWait),
            (Closed(None), Closed(None), Closed(None), Closed(None)),
        ];
        for (stage, shutdown, fin_acked, peer_fin) in table {
            assert_eq!(stage.on_shutdown(), shutdown, "{stage:?}, shutdown");
            assert_eq!(stage.on_fin_acked(), fin_acked, "{stage:?}, our FIN acknowledged");
            assert_eq!(stage.on_peer_fin(), peer_fin, "{stage:?}, the peer's FIN");
        }
    }
}
