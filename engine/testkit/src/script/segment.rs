//! A segment as a line writes it.

use super::lexer::Kind;
use super::line::Line;
use super::{Atom, Bytes, EnvelopeLine, Expr, OptionLine, PeerId, ScriptError, SegmentLine, Term, ValueName};
use crate::wire::EcnMark;
use synward_proto::Flags;

/// The letters of the control bits.
pub const LETTERS: [(char, Flags); 9] = [
    ('S', Flags::SYN),
    ('F', Flags::FIN),
    ('R', Flags::RST),
    ('P', Flags::PSH),
    ('A', Flags::ACK),
    ('U', Flags::URG),
    ('E', Flags::ECE),
    ('W', Flags::CWR),
    ('N', Flags::AE),
];

impl Line<'_> {
    /// Reads from the flags to the end of the line. What goes in (`inward`) must say what it is; what comes out may
    /// leave things open with `..`.
    pub(super) fn segment(&mut self, peer: PeerId, inward: bool) -> Result<SegmentLine, ScriptError> {
        let (flags, optional) = self.flags(inward)?;
        let mut segment = SegmentLine {
            peer,
            flags,
            optional,
            seq: None,
            ack: None,
            window: None,
            urgent: None,
            payload: None,
            options: Vec::new(),
            open: false,
            bad_checksum: false,
            envelope: EnvelopeLine::default(),
        };
        while !self.at_end() && !segment.open {
            self.field(&mut segment, inward)?;
        }
        if !segment.open {
            self.complete(&segment)?;
        }
        Ok(segment)
    }

    /// A segment that is said in full has a sequence number, an acknowledgment number exactly with ACK, and a window but
    /// for RST.
    fn complete(&self, segment: &SegmentLine) -> Result<(), ScriptError> {
        if segment.seq.is_none() {
            return self.wanted("`seq` and a number, or `..` after what comes out");
        }
        if segment.flags.contains(Flags::ACK) != segment.ack.is_some() {
            return self.wanted("`ack` and a number exactly where the flags have A, or `..` after what comes out");
        }
        if segment.window.is_none() && !segment.flags.contains(Flags::RST) {
            return self.wanted("`win` and a number (`_` for any), or `..` after what comes out");
        }
        Ok(())
    }

    /// The control bits that must be set, and those in small letters, which may be.
    fn flags(&mut self, inward: bool) -> Result<(Flags, Flags), ScriptError> {
        const WANTED: &str = "control bits: letters of SFRPAUEWN, or `0` for none";
        let Some(Kind::Word(word)) = self.peek_kind() else { return self.wanted(WANTED) };
        let (mut flags, mut optional) = (Flags::empty(), Flags::empty());
        for letter in word.chars().filter(|_| word != "0") {
            let known = LETTERS.iter().find(|(known, _)| *known == letter.to_ascii_uppercase());
            match known {
                Some((_, flag)) if letter.is_ascii_uppercase() => flags |= *flag,
                Some((_, flag)) if !inward => optional |= *flag,
                _ => return self.wanted(WANTED),
            }
        }
        self.word(WANTED)?;
        Ok((flags, optional))
    }

    fn field(&mut self, segment: &mut SegmentLine, inward: bool) -> Result<(), ScriptError> {
        if self.take_sign("<") {
            return self.options(segment, inward);
        }
        if self.take_sign("..") {
            segment.open = true;
            return if inward { self.wanted("no `..` on a segment that goes in") } else { Ok(()) };
        }
        if inward && self.take_word("badsum") {
            segment.bad_checksum = true;
            return Ok(());
        }
        if self.envelope(&mut segment.envelope, inward)? {
            return Ok(());
        }
        match self.choice(&["seq", "ack", "win", "len", "data", "urg"])? {
            0 => segment.seq = Some(self.expr(inward)?),
            1 => segment.ack = Some(self.expr(inward)?),
            2 => segment.window = Some(self.expr(inward)?),
            3 => segment.payload = Some(Bytes::Pattern(self.number("a number of bytes below 65536")?)),
            4 => segment.payload = Some(Bytes::Literal(self.text("the bytes in quotes")?)),
            _ => segment.urgent = Some(self.expr(inward)?),
        }
        Ok(())
    }

    /// A word of the headers before TCP's; false when the next is none.
    fn envelope(&mut self, envelope: &mut EnvelopeLine, inward: bool) -> Result<bool, ScriptError> {
        for mark in [EcnMark::Ect0, EcnMark::Ect1, EcnMark::Ce] {
            if self.take_word(mark.word()) {
                envelope.ecn = Some(mark);
                return Ok(true);
            }
        }
        if self.take_word("tos") {
            envelope.tos = Some(self.expr(inward)?);
        } else if self.take_word("ttl") {
            envelope.ttl = Some(self.expr(inward)?);
        } else if self.take_word("id") {
            envelope.id = Some(self.expr(inward)?);
        } else if self.take_word("vlan") {
            envelope.vlans.push(self.number("a VLAN identifier")?);
        } else if inward && self.take_word("ipoptions") {
            envelope.options = self.hex()?;
        } else if inward && self.take_word("fragment") {
            envelope.fragment = true;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn options(&mut self, segment: &mut SegmentLine, inward: bool) -> Result<(), ScriptError> {
        if self.take_sign(">") {
            return Ok(());
        }
        loop {
            let option = self.option(inward)?;
            segment.options.push(option);
            if self.take_sign(">") {
                return Ok(());
            }
            if !self.take_sign(",") {
                return self.wanted("`,` and another option, or `>`");
            }
        }
    }

    fn option(&mut self, inward: bool) -> Result<OptionLine, ScriptError> {
        Ok(match self.choice(&["mss", "sack", "sackblocks", "ws", "ts", "nop", "raw"])? {
            0 => OptionLine::Mss(self.expr(inward)?),
            1 => OptionLine::SackPermitted,
            2 => OptionLine::SackBlocks(self.blocks()?),
            3 => OptionLine::WindowScale(self.expr(inward)?),
            4 => {
                let value = self.expr(inward)?;
                self.sign("/")?;
                OptionLine::Timestamps(value, self.expr(inward)?)
            }
            5 => OptionLine::Nop,
            _ => OptionLine::Raw(self.hex()?),
        })
    }

    /// `a-b c-d`: each number is a sum without minus, which separates the two.
    fn blocks(&mut self) -> Result<Vec<(Expr, Expr)>, ScriptError> {
        let mut blocks = Vec::new();
        while blocks.is_empty() || matches!(self.peek_kind(), Some(Kind::Word(_) | Kind::Var(..))) {
            let start = self.sum(false)?;
            self.sign("-")?;
            blocks.push((start, self.sum(false)?));
        }
        Ok(blocks)
    }

    fn hex(&mut self) -> Result<Vec<u8>, ScriptError> {
        const WANTED: &str = "an even number of hexadecimal digits, as in `raw 0303ff`";
        let Some(Kind::Word(word)) = self.peek_kind() else { return self.wanted(WANTED) };
        let bytes: Option<Vec<u8>> = word
            .as_bytes()
            .chunks(2)
            .map(|pair| {
                let digits = std::str::from_utf8(pair).ok().filter(|digits| digits.len() == 2)?;
                u8::from_str_radix(digits, 16).ok()
            })
            .collect();
        let Some(bytes) = bytes else { return self.wanted(WANTED) };
        self.word(WANTED)?;
        Ok(bytes)
    }

    /// A number, a name, a sum of those; `_` for any, where something comes out.
    pub(super) fn expr(&mut self, inward: bool) -> Result<Expr, ScriptError> {
        if !inward && self.take_sign("_") {
            return Ok(Expr::Any);
        }
        self.sum(true)
    }

    fn sum(&mut self, minus: bool) -> Result<Expr, ScriptError> {
        let mut terms = vec![Term { negative: false, atom: self.atom()? }];
        loop {
            let negative = minus && self.take_sign("-");
            if !negative && !self.take_sign("+") {
                return Ok(Expr::Sum(terms));
            }
            terms.push(Term { negative, atom: self.atom()? });
        }
    }

    fn atom(&mut self) -> Result<Atom, ScriptError> {
        const WANTED: &str = "a number below 2³², or a value such as `$iss`";
        if let Some(Kind::Var(..)) = self.peek_kind() {
            let (peer, name) = self.variable(WANTED)?;
            let peer = peer.map(|peer| self.peer(peer));
            return Ok(Atom::Name(ValueName { peer, name }));
        }
        let mut number: u32 = self.number(WANTED)?;
        while self.take_sign("*") {
            number = number.wrapping_mul(self.number(WANTED)?);
        }
        Ok(Atom::Number(number))
    }
}
