//! Scripts that must fail: a test that cannot fail is no test.

use super::{Action, Bytes, EnvelopeLine, Expr, Outcome, Reading, Script, SegmentLine, Taken, TargetKind};
use crate::target::Ready;
use crate::wire::EcnMark;
use synward_proto::Flags;

impl Script {
    /// One copy of this script for each demand that it makes of `target`, with that demand turned into its opposite,
    /// and the line at which the copy must fail. (What goes in and what is done demand nothing.)
    pub fn broken(&self, target: TargetKind) -> impl Iterator<Item = (usize, Self)> {
        let steps = self.steps.iter().enumerate().filter(move |(_, step)| step.is_for(target, self.setup.ip));
        steps.flat_map(move |(index, step)| {
            opposites(&step.action, target).into_iter().map(move |opposite| {
                let mut script = self.clone();
                script.steps[index].action = opposite;
                (step.line, script)
            })
        })
    }
}

/// Demands each of which fails where `action` is met; none when it demands nothing of `target`.
fn opposites(action: &Action, target: TargetKind) -> Vec<Action> {
    match action.clone() {
        Action::Expect(line) => other_segments(&line).into_iter().map(Action::Expect).collect(),
        Action::Info { socket, fields } => (0..fields.len())
            .map(|index| {
                let mut fields = fields.clone();
                fields[index].1 += 1;
                Action::Info { socket: socket.clone(), fields }
            })
            .collect(),
        action => opposite(action, target).into_iter().collect(),
    }
}

fn opposite(action: Action, target: TargetKind) -> Option<Action> {
    Some(match action {
        Action::Accept(outcome) => Action::Accept(other_outcome(&outcome)),
        Action::Connect { socket, peer, outcome: outcome @ (Outcome::Blocks | Outcome::Error(_)) } => {
            Action::Connect { socket, peer, outcome: other_outcome(&outcome) }
        }
        Action::Connected { socket, outcome } => Action::Connected { socket, outcome: other_outcome(&outcome) },
        Action::Listen { port, outcome: outcome @ (Outcome::Blocks | Outcome::Error(_)) } => {
            Action::Listen { port, outcome: other_outcome(&outcome) }
        }
        Action::Set { socket, setting, outcome: outcome @ (Outcome::Blocks | Outcome::Error(_)) } => {
            Action::Set { socket, setting, outcome: other_outcome(&outcome) }
        }
        Action::Read { socket, outcome } => Action::Read { socket, outcome: other_reading(outcome) },
        Action::Write { socket, payload, outcome } => {
            let outcome = other_taking(&payload, outcome);
            Action::Write { socket, payload, outcome }
        }
        Action::Poll { socket, ready } => Action::Poll { socket, ready: ready ^ Ready::ERR },
        Action::Queued { socket, queue, bytes } => Action::Queued { socket, queue, bytes: bytes + 1 },
        Action::Counter { name, rise } => Action::Counter { name, rise: rise + 1 },
        Action::Drop { reason, count } if target == TargetKind::Engine => Action::Drop { reason, count: count + 1 },
        Action::HalfOpen(count) => Action::HalfOpen(count + 1),
        Action::Drop { .. }
        | Action::Silence
        | Action::Inject(_)
        | Action::Expect(_)
        | Action::Icmp(_)
        | Action::Mtu(_)
        | Action::Info { .. }
        | Action::Connect { .. }
        | Action::Listen { .. }
        | Action::Set { .. }
        | Action::Shutdown { .. }
        | Action::Close { .. }
        | Action::Abort { .. } => return None,
    })
}

/// The segment with other control bits, and one for each thing that the line says of the headers before TCP's.
fn other_segments(line: &SegmentLine) -> Vec<SegmentLine> {
    let flags =
        SegmentLine { flags: line.flags ^ Flags::FIN, optional: line.optional.difference(Flags::FIN), ..line.clone() };
    let EnvelopeLine { ecn, tos, ttl, id, vlans, options: _, fragment: _ } = &line.envelope;
    let other = |change: &dyn Fn(&mut EnvelopeLine)| {
        let mut other = line.clone();
        change(&mut other.envelope);
        other
    };
    let number = |expr: &Option<Expr>| expr.as_ref().and_then(Expr::plus_one);
    let marks = ecn.map(|mark| other(&|envelope| envelope.ecn = Some(EcnMark::of(mark as u8 ^ 3))));
    let tos = number(tos).map(|tos| other(&|envelope| envelope.tos = Some(tos.clone())));
    let ttl = number(ttl).map(|ttl| other(&|envelope| envelope.ttl = Some(ttl.clone())));
    let id = number(id).map(|id| other(&|envelope| envelope.id = Some(id.clone())));
    let vlans = vlans.first().map(|tag| other(&|envelope| envelope.vlans[0] = tag ^ 1));
    [Some(flags), marks, tos, ttl, id, vlans].into_iter().flatten().collect()
}

fn other_outcome<T>(outcome: &Outcome<T>) -> Outcome<T> {
    match outcome {
        Outcome::Done(_) => Outcome::Blocks,
        Outcome::Blocks | Outcome::Error(_) => Outcome::Error("ENONE".into()),
    }
}

/// Of the same length where there are bytes, so that it is the bytes that differ.
fn other_reading(outcome: Outcome<Reading>) -> Outcome<Reading> {
    match outcome {
        Outcome::Done(Reading::Data { len, bytes }) => {
            let other = bytes.unwrap_or_default().iter().map(|byte| !byte).collect();
            Outcome::Done(Reading::Data { len, bytes: Some(other) })
        }
        Outcome::Done(Reading::Eof) => Outcome::Blocks,
        Outcome::Blocks | Outcome::Error(_) => Outcome::Done(Reading::Eof),
    }
}

fn other_taking(payload: &Bytes, outcome: Outcome<Taken>) -> Outcome<Taken> {
    let length = match payload {
        Bytes::Literal(bytes) => bytes.len(),
        Bytes::Pattern(length) => *length,
    };
    match outcome {
        Outcome::Done(Taken::All) => Outcome::Done(Taken::Some(length + 1)),
        Outcome::Done(Taken::Some(taken)) => Outcome::Done(Taken::Some(taken + 1)),
        Outcome::Blocks | Outcome::Error(_) => Outcome::Done(Taken::All),
    }
}
