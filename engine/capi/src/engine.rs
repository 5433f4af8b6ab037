//! An engine, and how threads share it: one lock for all of its sockets, and one place to sleep.
//!
//! A call takes the lock, hears what the shard has to say, tries what it was asked for, and lets go. One that has to wait tries
//! again after news: of the threads that wait, one sleeps at the engine's bell, and the others until that one, or a thread
//! that came by, has heard something.

use crate::config::{Config, Mode};
use crate::descriptors::FileId;
use crate::epoll::Epoll;
use crate::errno::{Errno, Result};
use crate::frames::Frames;
use crate::network::Network;
use crate::ports::Ports;
use crate::socket::Socket;
use crate::stepped::Stepper;
use crate::threaded::{self, Ends, Known, Threaded};
use std::collections::{BTreeMap, HashMap};
use std::ffi::c_int;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use synward_engine::{EngineConfig, News, Observer, Sleep, SocketCore, SocketId};
use synward_proto::Endpoint;

/// How long a call may wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Patience {
    /// Not at all.
    None,
    /// Until then.
    Until(Instant),
    /// For ever.
    Endless,
}

impl Patience {
    /// As long as this; `None` is for ever.
    pub(crate) fn lasting(span: Option<Duration>) -> Self {
        span.and_then(|span| Instant::now().checked_add(span)).map_or(Self::Endless, Self::Until)
    }

    /// As `poll` and `epoll_wait` are told: milliseconds, and for ever if negative.
    pub(crate) fn of_millis(millis: c_int) -> Self {
        match u64::try_from(millis) {
            Ok(0) => Self::None,
            Ok(millis) => Self::lasting(Some(Duration::from_millis(millis))),
            Err(_) => Self::Endless,
        }
    }

    /// What is left of it; `None` when it is over, and within that `None` is for ever.
    pub(crate) fn left(self) -> Option<Option<Duration>> {
        match self {
            Self::None => None,
            Self::Endless => Some(None),
            Self::Until(end) => {
                Some(end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()).map(Some)?)
            }
        }
    }
}

/// An engine.
pub(crate) struct Engine {
    state: Mutex<State>,
    /// Notified when something was heard or has changed.
    changed: Condvar,
    sleep: Sleep,
    number: u64,
    is_stepped: bool,
    network: Arc<Network>,
    observer: Observer,
    frames: Option<Frames>,
}

/// What turns the poll loop.
pub(crate) enum Drive {
    /// The calls.
    Stepped(Box<Stepper>),
    /// A thread.
    Threaded(Threaded),
    /// Nothing any more.
    Closed,
}

/// All that is behind the lock.
pub(crate) struct State {
    pub(crate) core: SocketCore,
    pub(crate) drive: Drive,
    pub(crate) config: EngineConfig,
    pub(crate) network: Arc<Network>,
    pub(crate) ports: Ports,
    pub(crate) sockets: HashMap<FileId, Socket>,
    /// In the order in which they were made, so that equal calls have equal results.
    pub(crate) epolls: BTreeMap<FileId, Epoll>,
    /// Which sockets have connections.
    pub(crate) by_name: HashMap<SocketId, FileId>,
    /// The sockets that listen, and how many connections had come to each when it was last looked at.
    pub(crate) listening: BTreeMap<FileId, u64>,
    /// What the shard has said in this call.
    heard: Vec<(SocketId, News)>,
    next_file: u64,
    /// Something was heard or has changed since those who wait last tried.
    pub(crate) news: bool,
    /// Threads that wait.
    waiting: u32,
    /// One of them sleeps at the bell.
    asleep: bool,
}

/// Engines that this process has opened so far.
static OPENED: AtomicU64 = AtomicU64::new(0);

impl Engine {
    /// Opens an engine.
    ///
    /// # Errors
    /// The errno, and a sentence about it.
    pub(crate) fn open(config: Config) -> std::result::Result<Arc<Self>, (Errno, String)> {
        let Config { mode, addresses, link, engine } = config;
        let kept = engine.clone();
        let (drive, ends, frames, network) = match mode {
            Mode::Stepped => {
                let (stepper, ends) = Stepper::new(engine)?;
                (Drive::Stepped(Box::new(stepper)), ends, None, Network::given(addresses, link))
            }
            Mode::Frames => {
                let (threaded, ends, frames) = Threaded::on_frames(engine)?;
                (Drive::Threaded(threaded), ends, Some(frames), Network::given(addresses, link))
            }
            Mode::Interface(name) => {
                let (threaded, ends, network) = Threaded::on_interface(&name, addresses, engine)?;
                (Drive::Threaded(threaded), ends, None, network)
            }
        };
        let Ends { sockets: core, observer } = ends;
        let number = OPENED.fetch_add(1, Ordering::Relaxed);
        let is_stepped = matches!(drive, Drive::Stepped(_));
        let network = Arc::new(network);
        let (sleep, state) = (core.sleep(), Mutex::new(State::new(core, drive, kept, Arc::clone(&network))));
        Ok(Arc::new(Self { state, changed: Condvar::new(), sleep, number, is_stepped, network, observer, frames }))
    }

    /// Its place in the order in which engines were opened.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The wire that the caller holds the other end of, where the engine has a thread of its own.
    pub(crate) fn frames(&self) -> Option<&Frames> {
        self.frames.as_ref()
    }

    /// What it knows of the network.
    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// Waits until a listener is known wherever segments arrive, or nowhere any more.
    ///
    /// # Errors
    /// ENETDOWN when the engine does not answer.
    pub(crate) fn await_listener(&self, local: &Endpoint, known: Known) -> Result<()> {
        if self.is_stepped { Ok(()) } else { threaded::await_listener(&self.observer, local, known) }
    }

    /// Whether the caller turns it, so that no call can wait.
    pub(crate) fn is_stepped(&self) -> bool {
        self.is_stepped
    }

    /// Resets all connections and ends the thread, if there is one. Calls that wait fail with EBADF.
    pub(crate) fn close(&self) {
        let drive = {
            // Also what a panic has left half done is ended.
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.reset_everything();
            state.news = true;
            let drive = std::mem::replace(&mut state.drive, Drive::Closed);
            self.let_go(state);
            drive
        };
        if let Some(frames) = &self.frames {
            frames.close();
        }
        if let Drive::Threaded(threaded) = drive {
            threaded.end();
        }
    }

    /// Does something at once.
    ///
    /// # Errors
    /// Those of `attempt`; EBADF when the engine was closed, EIO when it broke.
    pub(crate) fn call<T>(&self, attempt: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let mut state = self.lock()?;
        state.settle();
        let outcome = attempt(&mut state);
        if self.is_stepped {
            state.settle();
        }
        self.let_go(state);
        outcome
    }

    /// Does something at once with what there is, and hears nothing before or after.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub(crate) fn at_once<T>(&self, attempt: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        attempt(&mut *self.lock()?)
    }

    /// Tries something again and again, after news, until it does not fail with EAGAIN or patience is over.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub(crate) fn wait<T>(&self, patience: Patience, mut attempt: impl FnMut(&mut State) -> Result<T>) -> Result<T> {
        let mut state = self.lock()?;
        loop {
            state.settle();
            let outcome = attempt(&mut state);
            let left = patience.left().filter(|_| !self.is_stepped);
            match (outcome, left) {
                (Err(Errno::AGAIN), Some(left)) => state = self.await_news(state, left)?,
                (outcome, _) => {
                    if self.is_stepped {
                        state.settle();
                    }
                    self.let_go(state);
                    return outcome;
                }
            }
        }
    }

    fn await_news<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        left: Option<Duration>,
    ) -> Result<MutexGuard<'a, State>> {
        if std::mem::take(&mut state.news) {
            self.changed.notify_all();
        }
        state.waiting += 1;
        if state.asleep {
            state = match left {
                Some(left) => self.changed.wait_timeout(state, left).map_err(|_| Errno::IO)?.0,
                None => self.changed.wait(state).map_err(|_| Errno::IO)?,
            };
        } else {
            if state.may_sleep() {
                state.asleep = true;
                drop(state);
                self.sleep.wait(left);
                state = self.state.lock().map_err(|_| Errno::IO)?;
                state.asleep = false;
            }
            state.core.rise();
            // Those who slept elsewhere look again, and one of them sleeps here next.
            self.changed.notify_all();
        }
        state.waiting -= 1;
        if state.is_closed() { Err(Errno::BAD_DESCRIPTOR) } else { Ok(state) }
    }

    fn lock(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.state.lock().map_err(|_| Errno::IO)?;
        if state.is_closed() { Err(Errno::BAD_DESCRIPTOR) } else { Ok(state) }
    }

    /// Wakes those who wait, if there is news.
    fn let_go(&self, mut state: MutexGuard<'_, State>) {
        let wake = std::mem::take(&mut state.news) && state.waiting > 0;
        let asleep = state.asleep;
        drop(state);
        if wake {
            self.changed.notify_all();
            if asleep {
                self.sleep.end();
            }
        }
    }
}

impl State {
    fn new(core: SocketCore, drive: Drive, config: EngineConfig, network: Arc<Network>) -> Self {
        Self {
            core,
            drive,
            network,
            ports: Ports::new(config.source_ports.clone()),
            config,
            sockets: HashMap::new(),
            epolls: BTreeMap::new(),
            by_name: HashMap::new(),
            listening: BTreeMap::new(),
            heard: Vec::new(),
            next_file: 0,
            news: false,
            waiting: 0,
            asleep: false,
        }
    }

    /// A name for a file.
    pub(crate) fn next_file(&mut self) -> FileId {
        self.next_file += 1;
        FileId(self.next_file)
    }

    fn is_closed(&self) -> bool {
        matches!(self.drive, Drive::Closed)
    }

    /// Hears everything that there is to hear. Where the calls turn the engine, it first comes to rest.
    pub(crate) fn settle(&mut self) {
        loop {
            let turned = match &mut self.drive {
                Drive::Stepped(stepper) => stepper.turn(),
                Drive::Threaded(_) | Drive::Closed => false,
            };
            let heard = self.hear();
            if !turned && (heard == 0 || !matches!(self.drive, Drive::Stepped(_))) {
                return;
            }
        }
    }

    fn hear(&mut self) -> usize {
        let mut heard = std::mem::take(&mut self.heard);
        let events = self.core.poll_with(|socket, news| heard.push((socket, news)));
        for (socket, news) in heard.drain(..) {
            self.take_news(socket, news);
        }
        self.heard = heard;
        self.look_for_arrivals();
        events
    }

    /// Whether the thread may sleep: says that it does, and looks once more.
    fn may_sleep(&mut self) -> bool {
        self.core.doze() && !self.look_for_arrivals()
    }

    /// Closes everything, with resets.
    fn reset_everything(&mut self) {
        let files: Vec<_> = self.sockets.keys().copied().collect();
        for file in files {
            self.discard(file);
        }
        self.epolls.clear();
        self.settle();
    }
}

#[cfg(test)]
mod tests {
    use super::Engine;
    use crate::config::{Config, Words};
    use crate::errno::{Errno, Result};
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn an_engine_in_which_something_panicked_answers_no_more() {
        let words = Words { seed: 1, ..Words::STEPPED };
        let engine =
            Config::read(&words).map(Engine::open).expect("fine").map_err(|(_, problem)| problem).expect("opens");
        assert_eq!(engine.call(|state| Ok(state.next_file().0)), Ok(1));
        let panicked = catch_unwind(AssertUnwindSafe(|| engine.call(|_| -> Result<()> { panic!("on purpose") })));
        assert!(panicked.is_err());
        assert_eq!(engine.call(|_| Ok(())), Err(Errno::IO));
        engine.close();
    }
}
