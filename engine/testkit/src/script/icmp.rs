//! ICMP errors as a line writes them, in one language for both families.

use super::line::Line;
use super::{Expr, Ip, PeerId, ScriptError};

/// An ICMP error as a line writes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IcmpLine {
    /// The peer whose conversation it is about.
    pub peer: PeerId,
    /// What it says.
    pub kind: IcmpKind,
    /// `mtu n`: the next hop's.
    pub mtu: Option<Expr>,
    /// `quoting seq n`: the sequence number of the segment that it quotes.
    pub seq: Expr,
    /// `short`: quotes eight bytes of the segment and no more.
    pub short: bool,
    /// `badsum`: goes in with a wrong checksum.
    pub bad_checksum: bool,
}

/// What an ICMP error says, by the word that a line has for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IcmpKind(usize);

/// A word, with type and code in IPv4 (RFC 792, RFC 1812) and in IPv6 (RFC 4443), where there is one.
type Kind = (&'static str, Option<(u8, u8)>, Option<(u8, u8)>);

const KINDS: [Kind; 12] = [
    ("net_unreachable", Some((3, 0)), Some((1, 0))),
    ("host_unreachable", Some((3, 1)), Some((1, 3))),
    ("protocol_unreachable", Some((3, 2)), Some((4, 1))),
    ("port_unreachable", Some((3, 3)), Some((1, 4))),
    ("frag_needed", Some((3, 4)), Some((2, 0))),
    ("source_route_failed", Some((3, 5)), None),
    ("prohibited", Some((3, 13)), Some((1, 1))),
    ("source_quench", Some((4, 0)), None),
    ("redirect", Some((5, 1)), None),
    ("time_exceeded", Some((11, 0)), Some((3, 0))),
    ("parameter_problem", Some((12, 0)), Some((4, 0))),
    ("beyond_scope", None, Some((1, 2))),
];

impl IcmpKind {
    /// Type and code in the family; `None` where it has no such error.
    pub fn numbers(self, ip: Ip) -> Option<(u8, u8)> {
        let (_, v4, v6) = KINDS[self.0];
        match ip {
            Ip::V4 => v4,
            Ip::V6 => v6,
        }
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        KINDS[self.0].0
    }
}

impl Line<'_> {
    /// `icmp frag_needed mtu 1400 quoting seq $iss+1 [short] [badsum]`, behind the word `icmp`.
    pub(super) fn icmp(&mut self, peer: PeerId) -> Result<IcmpLine, ScriptError> {
        let kind = IcmpKind(self.choice(&KINDS.map(|(word, ..)| word))?);
        let mtu = if self.take_word("mtu") { Some(self.expr(true)?) } else { None };
        self.word_is("quoting")?;
        self.word_is("seq")?;
        let seq = self.expr(true)?;
        let short = self.take_word("short");
        Ok(IcmpLine { peer, kind, mtu, seq, short, bad_checksum: self.take_word("badsum") })
    }
}
