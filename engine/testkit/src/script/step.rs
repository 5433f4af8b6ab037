//! Lines become steps.

use super::lexer::Kind;
use super::line::Line;
use super::{Accepted, Action, Bytes, Ip, Outcome, Reading, ScriptError, Step, Taken, TargetKind, When};
use crate::target::{Direction, Queue, Ready};
use synward_proto::DropReason;

impl Line<'_> {
    /// Reads a line that is no header line.
    pub(super) fn step(&mut self) -> Result<Step, ScriptError> {
        let (only, ip) = self.only();
        let when = self.when()?;
        let action = self.action()?;
        self.end()?;
        if let (When::Between(..), false) = (when, matches!(action, Action::Expect(_))) {
            self.back(usize::MAX);
            return self.wanted("a single time: only a `<-` line can have a span of time");
        }
        Ok(Step { line: self.index + 1, text: self.text.trim().to_owned(), only, ip, when, action })
    }

    /// `engine:` or `kernel:`, `ip4:` or `ip6:`, or one of each.
    fn only(&mut self) -> (Option<TargetKind>, Option<Ip>) {
        let (mut target, mut ip) = (None, None);
        while self.peek_second() == Some(&Kind::Sign(":")) {
            let taken =
                [TargetKind::Engine, TargetKind::Kernel].into_iter().find(|only| self.take_word(&only.to_string()));
            let family = Ip::ALL.into_iter().find(|ip| self.take_word(&format!("ip{}", ip.number())));
            if taken.is_none() && family.is_none() {
                break;
            }
            (target, ip) = (taken.or(target), family.or(ip));
            self.take_sign(":");
        }
        (target, ip)
    }

    fn when(&mut self) -> Result<When, ScriptError> {
        if !self.take_sign("@") {
            return Ok(When::Same);
        }
        if self.take_sign("+") {
            return self.duration().map(When::After);
        }
        let from = self.duration()?;
        if self.take_sign("..") { Ok(When::Between(from, self.duration()?)) } else { Ok(When::At(from)) }
    }

    fn action(&mut self) -> Result<Action, ScriptError> {
        const WANTED: &str = "`->`, `<-`, a peer before an arrow, `silence`, `listen`, `accept`, `connect`, `connected`, \
             `read`, `write`, `shutdown`, `close`, `abort`, `set`, `poll`, `inq`, `outq`, `info`, `mtu`, `counter`, `drop` or \
             `half_open`";
        let named = matches!(self.peek_second(), Some(Kind::Sign("->" | "<-")));
        let peer = if named {
            let name = self.word("a peer's name")?;
            self.peer(name)
        } else {
            0
        };
        if self.take_sign("->") {
            if self.take_word("icmp") {
                return self.icmp(peer).map(Action::Icmp);
            }
            return self.segment(peer, true).map(Action::Inject);
        }
        if self.take_sign("<-") {
            return self.segment(peer, false).map(Action::Expect);
        }
        let verb = self.word(WANTED)?;
        match verb.as_str() {
            "silence" => Ok(Action::Silence),
            "accept" => self.accept(),
            "connect" => self.connect(),
            "connected" => self.connected(),
            "read" => self.read(),
            "write" => self.write(),
            "listen" => self.listen(),
            "shutdown" => self.shutdown(),
            "set" => self.set(),
            "poll" => self.poll(),
            "inq" => self.queued(Queue::In),
            "outq" => self.queued(Queue::Out),
            "info" => self.info(),
            "mtu" => Ok(Action::Mtu(self.number("a number of bytes below 65536")?)),
            "close" => Ok(Action::Close { socket: self.socket()? }),
            "abort" => Ok(Action::Abort { socket: self.socket()? }),
            "counter" => self.counter(),
            "drop" => self.dropped(),
            "half_open" => Ok(Action::HalfOpen(self.number("how many, as in `half_open 3`")?)),
            _ => {
                self.back(1);
                self.wanted(WANTED)
            }
        }
    }

    fn socket(&mut self) -> Result<String, ScriptError> {
        match self.variable("a socket, as in `$c`")? {
            (None, name) => Ok(name),
            (Some(_), _) => {
                self.back(1);
                self.wanted("a socket without a peer, as in `$c`")
            }
        }
    }

    /// `blocks` or `error ENAME`, where one of them stands.
    fn unsuccessful<T>(&mut self) -> Result<Option<Outcome<T>>, ScriptError> {
        if self.take_word("blocks") {
            return Ok(Some(Outcome::Blocks));
        }
        if self.take_word("error") {
            let name = self.word("the error's name, as in `error ECONNRESET`")?;
            return Ok(Some(Outcome::Error(name)));
        }
        Ok(None)
    }

    fn accept(&mut self) -> Result<Action, ScriptError> {
        if let Some(outcome) = self.unsuccessful()? {
            return Ok(Action::Accept(outcome));
        }
        let socket = self.socket()?;
        let from = if self.take_word("from") {
            let name = self.word("a peer's name")?;
            Some(self.peer(name))
        } else {
            None
        };
        Ok(Action::Accept(Outcome::Done(Accepted { socket, from })))
    }

    fn connect(&mut self) -> Result<Action, ScriptError> {
        let socket = self.socket()?;
        let peer = if self.take_word("to") {
            let name = self.word("a peer's name")?;
            self.peer(name)
        } else {
            0
        };
        self.peers[peer].answers(peer);
        let outcome = self.unsuccessful()?.unwrap_or(Outcome::Done(()));
        Ok(Action::Connect { socket, peer, outcome })
    }

    fn listen(&mut self) -> Result<Action, ScriptError> {
        let port = self.number("a port")?;
        let outcome = self.unsuccessful()?.unwrap_or(Outcome::Done(()));
        Ok(Action::Listen { port, outcome })
    }

    fn shutdown(&mut self) -> Result<Action, ScriptError> {
        let socket = self.socket()?;
        let direction = if self.at_end() {
            Direction::Write
        } else {
            [Direction::Read, Direction::Write, Direction::Both][self.choice(&["read", "write", "both"])?]
        };
        Ok(Action::Shutdown { socket, direction })
    }

    fn set(&mut self) -> Result<Action, ScriptError> {
        let socket = self.socket()?;
        let setting = self.setting()?;
        let outcome = self.unsuccessful()?.unwrap_or(Outcome::Done(()));
        Ok(Action::Set { socket, setting, outcome })
    }

    fn poll(&mut self) -> Result<Action, ScriptError> {
        let socket = self.socket()?;
        let mut ready = Ready::empty();
        while !self.at_end() {
            ready |= Ready::NAMES[self.choice(&Ready::NAMES.map(|(name, _)| name))?].1;
        }
        Ok(Action::Poll { socket, ready })
    }

    fn queued(&mut self, queue: Queue) -> Result<Action, ScriptError> {
        Ok(Action::Queued { socket: self.socket()?, queue, bytes: self.number("a number of bytes")? })
    }

    fn info(&mut self) -> Result<Action, ScriptError> {
        const WANTED: &str = "a field of TCP_INFO and its value, as in `info $c snd_cwnd 10`";
        let socket = self.socket()?;
        let mut fields = Vec::new();
        while fields.is_empty() || !self.at_end() {
            fields.push((self.word(WANTED)?, self.number(WANTED)?));
        }
        Ok(Action::Info { socket, fields })
    }

    fn connected(&mut self) -> Result<Action, ScriptError> {
        let socket = self.socket()?;
        let outcome = self.unsuccessful()?.unwrap_or(Outcome::Done(()));
        Ok(Action::Connected { socket, outcome })
    }

    fn read(&mut self) -> Result<Action, ScriptError> {
        let socket = self.socket()?;
        if let Some(outcome) = self.unsuccessful()? {
            return Ok(Action::Read { socket, outcome });
        }
        if self.take_word("eof") {
            return Ok(Action::Read { socket, outcome: Outcome::Done(Reading::Eof) });
        }
        let len = self.number("`eof`, `blocks`, `error E…` or a number of bytes, as in `read $c 5 \"hello\"`")?;
        let bytes = if self.at_end() { None } else { Some(self.text("the bytes in quotes")?) };
        if bytes.as_ref().is_some_and(|bytes| bytes.len() != len) {
            self.back(2);
            return self.wanted("the number of bytes in the quotes");
        }
        Ok(Action::Read { socket, outcome: Outcome::Done(Reading::Data { len, bytes }) })
    }

    fn write(&mut self) -> Result<Action, ScriptError> {
        let socket = self.socket()?;
        let payload = if self.take_word("len") {
            Bytes::Pattern(self.number("a number of bytes")?)
        } else {
            Bytes::Literal(self.text("the bytes in quotes, or `len` and a number")?)
        };
        let outcome = match self.unsuccessful()? {
            Some(outcome) => outcome,
            None if self.take_word("takes") => Outcome::Done(Taken::Some(self.number("a number of bytes")?)),
            None => Outcome::Done(Taken::All),
        };
        Ok(Action::Write { socket, payload, outcome })
    }

    fn counter(&mut self) -> Result<Action, ScriptError> {
        let name = self.word("a counter's name, as in `counter ListenOverflows +1`")?;
        self.sign("+")?;
        Ok(Action::Counter { name, rise: self.number("by how much it rose")? })
    }

    fn dropped(&mut self) -> Result<Action, ScriptError> {
        const WANTED: &str = "the name of a drop reason, as in `drop bad_cookie 1`";
        let reason = self.word(WANTED)?;
        if !DropReason::ALL.iter().any(|known| known.name() == reason) {
            self.back(1);
            return self.wanted(WANTED);
        }
        Ok(Action::Drop { reason, count: self.number("how many frames")? })
    }
}
