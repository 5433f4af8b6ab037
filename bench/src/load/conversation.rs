//! One connection: asked, answered, and perhaps asked again.

use super::question::{Answer, question};
use crate::paced::Request;
use rustix::event::epoll::EventFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// What every conversation of a run is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject {
    pub(super) target: SocketAddr,
    pub(super) request: Request,
    /// Whether there is one question only. Over HTTP the server is told, and its close belongs to the answer.
    pub(super) once: bool,
}

/// What an event has brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Progress {
    /// More is to come.
    Pending,
    /// The answer is complete, after this time.
    Answered(Duration),
}

/// A connection on its way to an answer, or between two.
#[derive(Debug)]
pub(super) struct Conversation {
    stream: TcpStream,
    subject: Subject,
    step: Step,
    since: Instant,
}

#[derive(Debug)]
enum Step {
    /// So many bytes of the question have been sent; none while the connection is being made.
    Asking(usize),
    Listening(Answer),
    /// The answer is complete but for the server's close.
    Closing,
    Idle,
}

/// The other end is done, or the connection is.
const END: EventFlags = EventFlags::RDHUP.union(EventFlags::HUP).union(EventFlags::ERR);

impl Conversation {
    /// What a conversation waits for. By edges: it is registered once, and each event means that something is new.
    pub(super) const EVENTS: EventFlags =
        EventFlags::IN.union(EventFlags::OUT).union(EventFlags::RDHUP).union(EventFlags::ET);

    /// Starts to connect.
    pub(super) fn open(subject: Subject) -> io::Result<Self> {
        let family = if subject.target.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
        match rustix::net::connect(&socket, &subject.target) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Self { stream: socket.into(), subject, step: Step::Asking(0), since: Instant::now() })
    }

    /// Asks once more.
    pub(super) fn ask(&mut self) -> io::Result<()> {
        self.since = Instant::now();
        self.send(0)
    }

    /// Whether an answer is due since before this moment.
    pub(super) fn waits_since(&self, moment: Instant) -> bool {
        !matches!(self.step, Step::Idle) && self.since < moment
    }

    /// Goes on as far as it can. That an event was meant for a predecessor does no harm.
    pub(super) fn on_event(&mut self, events: EventFlags, scratch: &mut [u8]) -> io::Result<Progress> {
        match self.step {
            Step::Asking(sent) => self.send(sent).map(|()| Progress::Pending),
            Step::Listening(_) | Step::Closing => self.receive(events, scratch),
            Step::Idle if events.intersects(END) => Err(closed("closed between two requests")),
            Step::Idle => Ok(Progress::Pending),
        }
    }

    /// Sends what is left of the question. On a new connection this also brings to light how connecting went.
    fn send(&mut self, sent: usize) -> io::Result<()> {
        let question = question(self.subject.request, self.subject.once);
        let sent = match self.stream.write(&question[sent..]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => sent,
            outcome => sent + outcome?,
        };
        self.step = match sent == question.len() {
            true => Step::Listening(Answer::to(self.subject.request)),
            false => Step::Asking(sent),
        };
        Ok(())
    }

    /// Receives until nothing more can be there: a short read has emptied the socket, unless the other end is done, too.
    fn receive(&mut self, events: EventFlags, scratch: &mut [u8]) -> io::Result<Progress> {
        loop {
            let len = match self.stream.read(scratch) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Progress::Pending),
                outcome => outcome?,
            };
            if self.take(&scratch[..len])? {
                self.step = Step::Idle;
                return Ok(Progress::Answered(self.since.elapsed()));
            }
            if len < scratch.len() && !events.intersects(END) {
                return Ok(Progress::Pending);
            }
        }
    }

    /// Takes what was read, nothing at the end of the stream; whether the conversation has its answer.
    fn take(&mut self, bytes: &[u8]) -> io::Result<bool> {
        match &mut self.step {
            Step::Listening(_) if bytes.is_empty() => Err(closed("closed before the end of the answer")),
            Step::Listening(answer) => {
                let complete = answer.take(bytes)?;
                let ends_with_close = self.subject.once && matches!(self.subject.request, Request::Http);
                if complete && ends_with_close {
                    self.step = Step::Closing;
                }
                Ok(complete && !ends_with_close)
            }
            Step::Closing if bytes.is_empty() => Ok(true),
            Step::Asking(_) | Step::Closing | Step::Idle => Err(closed("more than the answer")),
        }
    }
}

impl AsFd for Conversation {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn closed(how: &'static str) -> io::Error {
    io::Error::new(ErrorKind::ConnectionAborted, how)
}
