//! Plays a script against a target.

mod calls;
mod failure;
mod matching;
mod stream;
mod values;

#[cfg(test)]
mod tests;

pub use failure::Failure;

use crate::script::{
    Action, EnvelopeLine, Expr, IcmpLine, OptionLine, PeerId, Script, SegmentLine, Step, TargetKind, When,
};
use crate::target::{Sent, SocketKey, Target};
use crate::wire::{self, EcnMark, IcmpError, IpFields, Macs, WireError, WireOption, WireSegment};
use failure::clock;
use std::collections::HashMap;
use std::time::Duration;
use stream::Streams;
use synward_proto::Flags;
use values::Values;

/// Link addresses of everything that goes in; what comes out must have them reversed.
pub const MACS: Macs = Macs { destination: [2, 0, 0, 0, 0, 1], source: [2, 0, 0, 0, 0, 2] };

/// How long a target whose times are not exact is watched after the last line, at most.
const EPILOGUE: Duration = Duration::from_millis(10);

/// Plays `script` against `target` to its end.
///
/// # Errors
/// The first line that did not happen as written.
pub fn play<T: Target>(script: &Script, kind: TargetKind, target: &mut T) -> Result<(), Box<Failure>> {
    let mut player = Player {
        script,
        target,
        now: Duration::ZERO,
        values: Values::given([("mss", script.setup.mss())]),
        streams: vec![Streams::default(); script.peers.len()],
        sockets: HashMap::new(),
        marks: HashMap::new(),
        conversation: Vec::new(),
        frames: Vec::new(),
    };
    for name in script.counters(kind) {
        let value = player.target.counter(name);
        player.marks.insert(name.to_owned(), value.unwrap_or(0));
    }
    let mut last = (0, String::new());
    let steps = script.steps_for(kind).try_for_each(|step| {
        last = (step.line, step.text.clone());
        player.step(step)
    });
    steps.and_then(|()| player.finish()).map_err(|Mismatch { wanted, came }| {
        let (line, text) = last;
        let mut failure = Failure::new(kind, script.path.clone(), line, text);
        failure.wanted = wanted;
        failure.came = came;
        failure.conversation = player.conversation;
        failure.frames = player.frames;
        Box::new(failure)
    })
}

/// What was wanted, and what came instead.
struct Mismatch {
    wanted: String,
    came: String,
}

fn mismatch<T>(wanted: impl Into<String>, came: impl Into<String>) -> Result<T, Mismatch> {
    Err(Mismatch { wanted: wanted.into(), came: came.into() })
}

struct Player<'a, T> {
    script: &'a Script,
    target: &'a mut T,
    /// The time of the last line.
    now: Duration,
    values: Values,
    streams: Vec<Streams>,
    sockets: HashMap<String, Socket>,
    /// The value of each counter and drop reason when it was last mentioned.
    marks: HashMap<String, u64>,
    conversation: Vec<String>,
    frames: Vec<(Duration, Vec<u8>)>,
}

/// A socket that the script has named.
#[derive(Clone, Copy)]
struct Socket {
    key: SocketKey,
    peer: PeerId,
    /// Bytes read so far.
    read: usize,
}

impl<T: Target> Player<'_, T> {
    fn step(&mut self, step: &Step) -> Result<(), Mismatch> {
        let (from, until) = match step.when {
            When::Same => (self.now, self.now),
            When::At(at) => (at, at),
            When::After(wait) => (self.now + wait, self.now + wait),
            When::Between(from, until) => (from, until),
        };
        if until < self.now {
            return mismatch(format!("a time after {}", clock(self.now)), format!("the line says {}", clock(until)));
        }
        match &step.action {
            Action::Expect(line) => return self.expect(line, from, until),
            Action::Silence => {
                let margin = self.target.tolerance(until - self.now).early.max(Duration::from_nanos(1));
                self.quiet(until.saturating_sub(margin).max(self.now))?;
                self.now = until;
                self.log(String::from("silence"));
                return Ok(());
            }
            _ => self.quiet(from)?,
        }
        let step_length = from - self.now;
        self.now = from;
        match &step.action {
            Action::Inject(line) => self.inject(line),
            Action::Icmp(line) => self.icmp(line),
            action => self.call(action, step_length),
        }
    }

    /// At the end nothing more may come out, and the target must be in order.
    fn finish(&mut self) -> Result<(), Mismatch> {
        self.quiet(self.now + self.target.tolerance(Duration::ZERO).early.min(EPILOGUE))?;
        self.target.check_end().or_else(|came| mismatch("a target in order at the end of the script", came))
    }

    fn log(&mut self, what: String) {
        self.conversation.push(format!("{:>12}  {what}", clock(self.now)));
    }

    /// Lets time pass until `until`; nothing may come out meanwhile.
    fn quiet(&mut self, until: Duration) -> Result<(), Mismatch> {
        while let Some(sent) = self.target.next_frame(until) {
            match self.receive(&sent) {
                Ok(None) => {}
                Ok(Some((_, segment))) => {
                    let came =
                        format!("at {}: {segment}\nfrom {} to {}", clock(sent.at), segment.source, segment.destination);
                    return mismatch(format!("nothing before this line (until {})", clock(until)), came);
                }
                Err(mismatch) => return Err(mismatch),
            }
        }
        Ok(())
    }

    /// Reads a frame that came out and keeps it for the record. `None`: it is no TCP, and none of our business.
    fn receive(&mut self, sent: &Sent) -> Result<Option<(Option<PeerId>, WireSegment)>, Mismatch> {
        let segment = match wire::decode(&sent.frame) {
            Err(WireError::NotTcp) => return Ok(None),
            Err(error @ WireError::Malformed(_)) => {
                self.frames.push((sent.at, sent.frame.clone()));
                return mismatch("a well-formed frame", format!("at {}: {error}", clock(sent.at)));
            }
            Ok((macs, segment)) => {
                self.frames.push((sent.at, sent.frame.clone()));
                if macs != MACS.reversed() {
                    return mismatch(format!("link addresses {:02x?}", MACS.reversed()), format!("{macs:02x?}"));
                }
                segment
            }
        };
        let setup = &self.script.setup;
        let peer = self
            .script
            .peers
            .iter()
            .position(|peer| setup.remote(peer) == segment.destination && setup.local(peer) == segment.source);
        Ok(Some((peer, segment)))
    }

    fn expect(&mut self, line: &SegmentLine, from: Duration, until: Duration) -> Result<(), Mismatch> {
        let name = &self.script.peers[line.peer].name;
        let tolerance = self.target.tolerance(until - self.now);
        let span = if from == until {
            format!("at {}", clock(from))
        } else {
            format!("between {} and {}", clock(from), clock(until))
        };
        let wanted = format!("{span}: {}", self.describe(line));
        let (sent, peer, segment) = loop {
            let Some(sent) = self.target.next_frame(until + tolerance.late) else {
                return mismatch(wanted, format!("nothing until {}", clock(until + tolerance.late)));
            };
            if let Some((peer, segment)) = self.receive(&sent)? {
                break (sent, peer, segment);
            }
        };
        let mut differences = Vec::new();
        if peer != Some(line.peer) {
            differences.push(format!("it goes from {} to {}, not to {name}", segment.source, segment.destination));
        }
        if sent.at < from.saturating_sub(tolerance.early) {
            differences.push(String::from("it comes too early"));
        }
        if let Err(found) = matching::compare(line, &segment, &mut self.values) {
            differences.extend(found);
        }
        if differences.is_empty()
            && let Err(found) = self.streams[line.peer].came_out(&segment)
        {
            differences.push(found);
        }
        if !differences.is_empty() {
            return mismatch(wanted, format!("at {}: {segment}\n{}", clock(sent.at), differences.join("\n")));
        }
        self.now = sent.at.clamp(from.max(self.now), until.max(self.now));
        self.target.settle(self.now);
        self.log(format!("{name} <- {segment}"));
        Ok(())
    }

    /// The line's segment with the values that are known.
    fn describe(&self, line: &SegmentLine) -> String {
        let mut names = Vec::new();
        let EnvelopeLine { tos, ttl, id, .. } = &line.envelope;
        let numbers = [&line.seq, &line.ack, &line.window, &line.urgent, tos, ttl, id];
        for expr in numbers.into_iter().flatten() {
            let Expr::Sum(terms) = expr else { continue };
            for term in terms {
                if let crate::script::Atom::Name(name) = &term.atom
                    && let Some(value) = self.values.get(line.peer, name)
                {
                    names.push(format!("{name} = {value}"));
                }
            }
        }
        names.dedup();
        let known = if names.is_empty() { String::new() } else { format!(" where {}", names.join(", ")) };
        format!("the segment of this line{known}")
    }

    fn inject(&mut self, line: &SegmentLine) -> Result<(), Mismatch> {
        let segment = self.build(line).or_else(|name| mismatch("values that are known", name))?;
        let frame = wire::encode(MACS, &segment, line.bad_checksum);
        if !line.bad_checksum {
            self.streams[line.peer].inject(&segment);
        }
        self.put(frame, format!("{} -> {segment}", self.script.peers[line.peer].name))
    }

    /// A frame goes in.
    fn put(&mut self, frame: Vec<u8>, what: String) -> Result<(), Mismatch> {
        self.log(what);
        self.frames.push((self.now, frame.clone()));
        if self.target.inject(&frame) {
            return Ok(());
        }
        mismatch("a frame that goes in", format!("{} bytes, not taken by the wire", frame.len()))
    }

    /// An error about a segment of ours goes in.
    fn icmp(&mut self, line: &IcmpLine) -> Result<(), Mismatch> {
        let setup = &self.script.setup;
        let peer = &self.script.peers[line.peer];
        let known = || -> Result<(u32, u32), String> {
            let seq = self.number(line.peer, &Some(line.seq.clone()))?;
            Ok((seq, self.number(line.peer, &line.mtu)?))
        };
        let (seq, parameter) = known().or_else(|name| mismatch("values that are known", name))?;
        let Some((kind, code)) = line.kind.numbers(setup.ip) else {
            return mismatch(
                "an error that the family has",
                format!("{} over IPv{}", line.kind.word(), setup.ip.number()),
            );
        };
        let about = WireSegment {
            source: setup.local(peer),
            destination: setup.remote(peer),
            flags: Flags::ACK,
            seq,
            ack: 0,
            window: 0,
            urgent: 0,
            options: Vec::new(),
            payload: Vec::new(),
            ip: IpFields::default(),
            vlans: Vec::new(),
        };
        let error = IcmpError { source: setup.router(), kind, code, parameter, about, short: line.short };
        let frame = wire::encode_icmp(MACS, &error, line.bad_checksum);
        self.put(frame, format!("{} -> icmp {} mtu {parameter} quoting seq {seq}", peer.name, line.kind.word()))
    }

    fn number(&self, peer: PeerId, expr: &Option<Expr>) -> Result<u32, String> {
        expr.as_ref().map_or(Ok(0), |expr| self.values.eval(peer, expr).map_err(matching::unknown))
    }

    fn narrow<N: TryFrom<u32>>(&self, peer: PeerId, expr: &Expr) -> Result<N, String> {
        let value = self.values.eval(peer, expr).map_err(matching::unknown)?;
        N::try_from(value).map_err(|_| format!("{value} does not fit in {} bits", 8 * size_of::<N>()))
    }

    fn build(&self, line: &SegmentLine) -> Result<WireSegment, String> {
        let narrow = |expr: &Option<Expr>| expr.as_ref().map_or(Ok(0), |expr| self.narrow(line.peer, expr));
        let seq = self.number(line.peer, &line.seq)?;
        let payload = line.payload.as_ref();
        let peer = &self.script.peers[line.peer];
        Ok(WireSegment {
            source: self.script.setup.remote(peer),
            destination: self.script.setup.local(peer),
            flags: line.flags,
            seq,
            ack: self.number(line.peer, &line.ack)?,
            window: narrow(&line.window)?,
            urgent: narrow(&line.urgent)?,
            options: line.options.iter().map(|option| self.option(line.peer, option)).collect::<Result<_, _>>()?,
            payload: payload.map_or(Vec::new(), |bytes| self.streams[line.peer].payload(line.flags, seq, bytes)),
            ip: self.ip_fields(line)?,
            vlans: line.envelope.vlans.clone(),
        })
    }

    fn ip_fields(&self, line: &SegmentLine) -> Result<IpFields, String> {
        let EnvelopeLine { ecn, tos, ttl, id, vlans: _, options, fragment } = &line.envelope;
        let usual = IpFields::default();
        let octet = |expr: &Option<Expr>, usual| expr.as_ref().map_or(Ok(usual), |expr| self.narrow(line.peer, expr));
        Ok(IpFields {
            tos: octet(tos, usual.tos)?,
            ecn: ecn.unwrap_or(EcnMark::NotEct),
            ttl: octet(ttl, usual.ttl)?,
            id: id.as_ref().map_or(Ok(0), |expr| self.narrow(line.peer, expr))?,
            options: options.clone(),
            fragment: *fragment,
        })
    }

    fn option(&self, peer: PeerId, option: &OptionLine) -> Result<WireOption, String> {
        let eval = |expr: &Expr| self.values.eval(peer, expr).map_err(matching::unknown);
        Ok(match option {
            OptionLine::Mss(mss) => WireOption::Mss(self.narrow(peer, mss)?),
            OptionLine::SackPermitted => WireOption::SackPermitted,
            OptionLine::SackBlocks(blocks) => WireOption::SackBlocks(
                blocks.iter().map(|(start, end)| Ok((eval(start)?, eval(end)?))).collect::<Result<_, String>>()?,
            ),
            OptionLine::WindowScale(shift) => WireOption::WindowScale(self.narrow(peer, shift)?),
            OptionLine::Timestamps(value, echo) => WireOption::Timestamps(eval(value)?, eval(echo)?),
            OptionLine::Nop => WireOption::Nop,
            OptionLine::Raw(bytes) => WireOption::Raw(bytes.clone()),
        })
    }
}
