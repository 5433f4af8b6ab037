//! Whether what came out is what the line demands.

use super::values::Values;
use crate::script::{Bytes, EnvelopeLine, Expr, OptionLine, PeerId, SegmentLine, ValueName};
use crate::wire::{IpFields, WireOption, WireSegment};
use synward_proto::Flags;

/// Compares; the values that the line binds are kept in `values` only when everything fits. Otherwise every difference
/// is said.
pub(super) fn compare(line: &SegmentLine, came: &WireSegment, values: &mut Values) -> Result<(), Vec<String>> {
    let mut comparison = Comparison { peer: line.peer, values: values.clone(), differences: Vec::new() };
    comparison.segment(line, came);
    let Comparison { values: bound, differences, .. } = comparison;
    if differences.is_empty() {
        *values = bound;
        return Ok(());
    }
    Err(differences)
}

struct Comparison {
    peer: PeerId,
    values: Values,
    differences: Vec<String>,
}

impl Comparison {
    fn segment(&mut self, line: &SegmentLine, came: &WireSegment) {
        if came.flags.difference(line.optional) != line.flags {
            self.differences.push(format!("flags: wanted {}, came {}", letters(line.flags), letters(came.flags)));
        }
        self.field("seq", line.seq.as_ref(), came.seq, line.open);
        self.field("ack", line.ack.as_ref(), came.ack, line.open);
        self.field("win", line.window.as_ref(), came.window.into(), line.open);
        self.field("urg", line.urgent.as_ref(), came.urgent.into(), line.open);
        self.payload(line, came);
        self.envelope(&line.envelope, came, line.open);
        if line.open { self.some_options(line, came) } else { self.all_options(line, came) }
    }

    /// A field that the line leaves out is zero, unless the line is open.
    fn field(&mut self, name: &str, wanted: Option<&Expr>, came: u32, open: bool) {
        match wanted {
            Some(expr) => {
                if let Err(difference) = self.value(expr, came) {
                    self.differences.push(format!("{name}: {difference}"));
                }
            }
            None if open || came == 0 => {}
            None => self.differences.push(format!("{name}: wanted none, came {came}")),
        }
    }

    /// The headers before TCP's: as usual where the line does not say, unless it is open; the identification only where it
    /// does.
    fn envelope(&mut self, line: &EnvelopeLine, came: &WireSegment, open: bool) {
        let usual = IpFields::default();
        if line.ecn.unwrap_or(if open { came.ip.ecn } else { usual.ecn }) != came.ip.ecn {
            self.differences.push(format!("ECN: came {}", came.ip.ecn.word()));
        }
        self.octet("tos", line.tos.as_ref(), came.ip.tos, usual.tos, open);
        self.octet("ttl", line.ttl.as_ref(), came.ip.ttl, usual.ttl, open);
        self.field("id", line.id.as_ref(), came.ip.id.into(), true);
        if line.vlans != came.vlans && !(open && line.vlans.is_empty()) {
            self.differences.push(format!("vlan: wanted {:?}, came {:?}", line.vlans, came.vlans));
        }
    }

    fn octet(&mut self, name: &str, wanted: Option<&Expr>, came: u8, usual: u8, open: bool) {
        match wanted {
            None if came == usual => {}
            None if !open => self.differences.push(format!("{name}: wanted {usual}, came {came}")),
            wanted => self.field(name, wanted, came.into(), open),
        }
    }

    /// Compares one number, or binds the name that stands alone in its place.
    fn value(&mut self, wanted: &Expr, came: u32) -> Result<(), String> {
        if *wanted == Expr::Any {
            return Ok(());
        }
        if let Some(name) = wanted.bare_name()
            && self.values.get(self.peer, name).is_none()
        {
            self.values.bind(self.peer, name, came);
            return Ok(());
        }
        match self.values.eval(self.peer, wanted) {
            Ok(value) if value == came => Ok(()),
            Ok(value) => Err(format!("wanted {value}, came {came}")),
            Err(name) => Err(unknown(name)),
        }
    }

    fn payload(&mut self, line: &SegmentLine, came: &WireSegment) {
        match &line.payload {
            Some(Bytes::Literal(bytes)) if *bytes != came.payload => self.differences.push(format!(
                "data: wanted {:?}, came {:?}",
                String::from_utf8_lossy(bytes),
                String::from_utf8_lossy(&came.payload)
            )),
            Some(Bytes::Pattern(len)) if *len != came.payload.len() => {
                self.differences.push(format!("len: wanted {len}, came {}", came.payload.len()));
            }
            None if !line.open && !came.payload.is_empty() => {
                self.differences.push(format!("len: wanted none, came {}", came.payload.len()));
            }
            Some(_) | None => {}
        }
    }

    /// The options of a line that is not open: the same, in the same order.
    fn all_options(&mut self, line: &SegmentLine, came: &WireSegment) {
        let wanted: Vec<&OptionLine> = line.options.iter().filter(|option| **option != OptionLine::Nop).collect();
        if wanted.len() != came.options.len() {
            self.differences.push(format!("options: wanted {}, came {}", wanted.len(), came.options.len()));
            return;
        }
        for (wanted, came) in wanted.into_iter().zip(&came.options) {
            if let Err(difference) = self.option(wanted, came) {
                self.differences.push(format!("options: {difference}"));
            }
        }
    }

    /// The options of an open line: those that it names, in this order, among others.
    fn some_options(&mut self, line: &SegmentLine, came: &WireSegment) {
        let mut rest = came.options.as_slice();
        for wanted in line.options.iter().filter(|option| **option != OptionLine::Nop) {
            let Some(index) = rest.iter().position(|option| same_kind(wanted, option)) else {
                self.differences.push(format!("options: {} is not there", kind(wanted)));
                return;
            };
            if let Err(difference) = self.option(wanted, &rest[index]) {
                self.differences.push(format!("options: {difference}"));
            }
            rest = &rest[index + 1..];
        }
    }

    fn option(&mut self, wanted: &OptionLine, came: &WireOption) -> Result<(), String> {
        let within = |difference: String| format!("{}: {difference}", kind(wanted));
        match (wanted, came) {
            (OptionLine::Mss(wanted), WireOption::Mss(came)) => self.value(wanted, (*came).into()).map_err(within),
            (OptionLine::WindowScale(wanted), WireOption::WindowScale(came)) => {
                self.value(wanted, (*came).into()).map_err(within)
            }
            (OptionLine::SackPermitted, WireOption::SackPermitted) => Ok(()),
            (OptionLine::Timestamps(value, echo), WireOption::Timestamps(came_value, came_echo)) => {
                self.value(value, *came_value).map_err(within)?;
                self.value(echo, *came_echo).map_err(within)
            }
            (OptionLine::SackBlocks(wanted), WireOption::SackBlocks(came)) if wanted.len() == came.len() => {
                wanted.iter().zip(came).try_for_each(|((start, end), (came_start, came_end))| {
                    self.value(start, *came_start)?;
                    self.value(end, *came_end)
                })
            }
            (OptionLine::Raw(wanted), WireOption::Raw(came)) if wanted == came => Ok(()),
            _ => Err(format!("wanted {}, came {came}", kind(wanted))),
        }
    }
}

/// Why a sum could not be computed.
pub(super) fn unknown(name: &ValueName) -> String {
    format!("{name} has no value yet: the first mention of a value stands alone, and is one that came out")
}

fn same_kind(wanted: &OptionLine, came: &WireOption) -> bool {
    match wanted {
        OptionLine::Mss(_) => matches!(came, WireOption::Mss(_)),
        OptionLine::SackPermitted => matches!(came, WireOption::SackPermitted),
        OptionLine::SackBlocks(_) => matches!(came, WireOption::SackBlocks(_)),
        OptionLine::WindowScale(_) => matches!(came, WireOption::WindowScale(_)),
        OptionLine::Timestamps(..) => matches!(came, WireOption::Timestamps(..)),
        OptionLine::Nop => false,
        OptionLine::Raw(bytes) => matches!(came, WireOption::Raw(came) if came.first() == bytes.first()),
    }
}

fn kind(option: &OptionLine) -> &'static str {
    match option {
        OptionLine::Mss(_) => "mss",
        OptionLine::SackPermitted => "sack",
        OptionLine::SackBlocks(_) => "sackblocks",
        OptionLine::WindowScale(_) => "ws",
        OptionLine::Timestamps(..) => "ts",
        OptionLine::Nop => "nop",
        OptionLine::Raw(_) => "raw",
    }
}

fn letters(flags: Flags) -> String {
    crate::script::FLAG_LETTERS.iter().filter(|(_, flag)| flags.contains(*flag)).map(|(letter, _)| *letter).collect()
}
