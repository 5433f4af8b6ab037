//! Segments in the words of a script.

use super::{EcnMark, IpFields, WireOption, WireSegment};
use std::fmt;
use synward_proto::Flags;

/// A segment in the words of a script, without its arrow.
impl fmt::Display for WireSegment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters: String = crate::script::FLAG_LETTERS
            .iter()
            .filter(|(_, flag)| self.flags.contains(*flag))
            .map(|(c, _)| *c)
            .collect();
        write!(f, "{} seq {}", if letters.is_empty() { "0" } else { &letters }, self.seq)?;
        if self.flags.contains(Flags::ACK) || self.ack != 0 {
            write!(f, " ack {}", self.ack)?;
        }
        write!(f, " win {}", self.window)?;
        if self.urgent != 0 {
            write!(f, " urg {}", self.urgent)?;
        }
        match std::str::from_utf8(&self.payload) {
            Ok("") => {}
            Ok(text) if text.len() <= 40 && text.chars().all(|c| !c.is_control()) => write!(f, " data {text:?}")?,
            _ => write!(f, " len {}", self.payload.len())?,
        }
        for (index, option) in self.options.iter().enumerate() {
            write!(f, "{}{option}", if index == 0 { " <" } else { ", " })?;
        }
        if !self.options.is_empty() {
            f.write_str(">")?;
        }
        self.vlans.iter().try_for_each(|tag| write!(f, " vlan {tag}"))?;
        write!(f, "{}", self.ip)
    }
}

/// What is not as usual; each with a blank before it.
impl fmt::Display for IpFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ecn != EcnMark::NotEct {
            write!(f, " {}", self.ecn.word())?;
        }
        if self.tos != 0 {
            write!(f, " tos {}", self.tos)?;
        }
        if self.ttl != Self::default().ttl {
            write!(f, " ttl {}", self.ttl)?;
        }
        Ok(())
    }
}

impl fmt::Display for WireOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mss(mss) => write!(f, "mss {mss}"),
            Self::SackPermitted => f.write_str("sack"),
            Self::SackBlocks(blocks) => {
                f.write_str("sackblocks")?;
                blocks.iter().try_for_each(|(start, end)| write!(f, " {start}-{end}"))
            }
            Self::WindowScale(shift) => write!(f, "ws {shift}"),
            Self::Timestamps(value, echo) => write!(f, "ts {value}/{echo}"),
            Self::Nop => f.write_str("nop"),
            Self::Raw(bytes) => {
                f.write_str("raw ")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}
