//! Explicit congestion notification on a connection: RFC 3168, section 6.1, in Linux's form (`tcp_ecn_send`,
//! `tcp_data_ecn_check`, `tcp_ecn_accept_cwr`). What the SYNs agree on is [`Negotiated::ecn`](crate::half_open::Negotiated::ecn);
//! how the sender reacts to an echo is its own matter.
//!
//! Accurate ECN (RFC 9768) is not spoken: a SYN that asks for it is answered as one that asks for the classic form, as its section
//! 3.1.2 has it.

use crate::segment::Codepoint;
use crate::{Flags, Segment};

/// When ECN is agreed on (Linux: `tcp_ecn`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Ecn {
    /// Never (0).
    Off,
    /// When a peer's SYN asks for it (2).
    #[default]
    WhenAsked,
    /// Our SYNs ask for it, too (1).
    Always,
}

/// What arrived data says of the path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mark {
    /// Nothing new.
    None,
    /// A router was congested, or this is a copy: the sender may have little on its way, and waits for acknowledgments.
    Hurry,
}

/// The state of one connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct EcnState {
    /// Whether both SYNs agreed.
    agreed: bool,
    /// Whether the peer has ever sent an ECN-capable segment.
    seen: bool,
    /// Whether a congested router is to be reported until the peer says that it has heard.
    echoing: bool,
}

impl EcnState {
    /// A connection on which the SYNs have agreed, or not.
    pub const fn new(agreed: bool) -> Self {
        Self { agreed, seen: false, echoing: false }
    }

    /// Whether both SYNs agreed.
    pub const fn is_agreed(self) -> bool {
        self.agreed
    }

    /// Whether every segment of ours has ECE (section 6.1.3).
    pub const fn is_echoing(self) -> bool {
        self.echoing
    }

    /// Whether a segment reports congestion on our way to the peer. On a SYN the bit means something else.
    pub fn is_echo(self, segment: &Segment) -> bool {
        self.agreed && segment.flags.contains(Flags::ECE) && !segment.flags.contains(Flags::SYN)
    }

    /// The peer has reduced its window: the report has arrived. True when the segment tells so.
    pub fn on_cwr(&mut self, segment: &Segment) -> bool {
        let reduced = self.agreed && segment.flags.contains(Flags::CWR);
        self.echoing &= !reduced;
        reduced
    }

    /// Data within the window arrived.
    pub fn on_data(&mut self, ecn: Codepoint) -> Mark {
        if !self.agreed {
            return Mark::None;
        }
        match ecn {
            // "Funny extension: if ECT is not set on a segment, and we already seen ECT on a previous segment, it is probably a
            // retransmit" (Linux).
            Codepoint::NotEct if self.seen => Mark::Hurry,
            Codepoint::NotEct => Mark::None,
            Codepoint::Ect0 | Codepoint::Ect1 => {
                self.seen = true;
                Mark::None
            }
            Codepoint::Ce => {
                self.seen = true;
                if core::mem::replace(&mut self.echoing, true) { Mark::None } else { Mark::Hurry }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_echoed_until_the_peer_has_reacted() {
        let mut state = EcnState::new(true);
        for (ecn, mark, echoing) in [
            (Codepoint::NotEct, Mark::None, false),
            (Codepoint::Ect0, Mark::None, false),
            (Codepoint::NotEct, Mark::Hurry, false),
            (Codepoint::Ect1, Mark::None, false),
            (Codepoint::Ce, Mark::Hurry, true),
            (Codepoint::Ce, Mark::None, true),
            (Codepoint::Ect0, Mark::None, true),
        ] {
            assert_eq!((state.on_data(ecn), state.is_echoing()), (mark, echoing), "{ecn:?}");
        }
        let mut none = EcnState::new(false);
        assert_eq!((none.on_data(Codepoint::Ce), none.is_echoing()), (Mark::None, false), "not agreed");
    }
}
