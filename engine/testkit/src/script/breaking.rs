//! Scripts that must fail: a test that cannot fail is no test.

use super::{Action, Bytes, Outcome, Reading, Script, SegmentLine, Taken, TargetKind};
use synward_proto::Flags;

impl Script {
    /// One copy of this script for each demand that it makes of `target`, with that demand turned into its opposite,
    /// and the line at which the copy must fail. (What goes in and what is done demand nothing.)
    pub fn broken(&self, target: TargetKind) -> impl Iterator<Item = (usize, Self)> {
        self.steps.iter().enumerate().filter_map(move |(index, step)| {
            if step.only.is_some_and(|only| only != target) {
                return None;
            }
            let mut script = self.clone();
            script.steps[index].action = opposite(&step.action, target)?;
            Some((step.line, script))
        })
    }
}

/// A demand that fails where `action` is met; `None` when it demands nothing of `target`.
fn opposite(action: &Action, target: TargetKind) -> Option<Action> {
    Some(match action.clone() {
        Action::Expect(line) => Action::Expect(SegmentLine {
            flags: line.flags ^ Flags::FIN,
            optional: line.optional.difference(Flags::FIN),
            ..line
        }),
        Action::Accept(outcome) => Action::Accept(other_outcome(&outcome)),
        Action::Connected { socket, outcome } => Action::Connected { socket, outcome: other_outcome(&outcome) },
        Action::Read { socket, outcome } => Action::Read { socket, outcome: other_reading(outcome) },
        Action::Write { socket, payload, outcome } => {
            let outcome = other_taking(&payload, outcome);
            Action::Write { socket, payload, outcome }
        }
        Action::Counter { name, rise } => Action::Counter { name, rise: rise + 1 },
        Action::Drop { reason, count } if target == TargetKind::Engine => Action::Drop { reason, count: count + 1 },
        Action::HalfOpen(count) => Action::HalfOpen(count + 1),
        Action::Drop { .. }
        | Action::Silence
        | Action::Inject(_)
        | Action::Connect { .. }
        | Action::Shutdown { .. }
        | Action::Close { .. }
        | Action::Abort { .. } => return None,
    })
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
