//! Epoll: which of many sockets have something to do, as Linux's `fs/eventpoll.c` decides it.
//!
//! An item is on the ready list from when something happened to its socket. Whoever collects asks what the socket can do now:
//! nothing takes the item off the list; what is told keeps it there (level-triggered), or not (EPOLLET, EPOLLONESHOT).

use crate::descriptors::FileId;
use crate::engine::State;
use crate::errno::{Errno, Result};
use std::collections::{HashMap, VecDeque};
use std::ffi::c_int;

/// What is told whether it was asked for or not.
const ALWAYS: u32 = (libc::EPOLLERR | libc::EPOLLHUP) as u32;
/// How it is told, in the bits of what: they are all that is left of EPOLLONESHOT that has fired.
const HOW: u32 = (libc::EPOLLET as u32) | (libc::EPOLLONESHOT | libc::EPOLLWAKEUP | libc::EPOLLEXCLUSIVE) as u32;

/// An epoll instance.
#[derive(Default)]
pub(crate) struct Epoll {
    items: HashMap<FileId, Item>,
    ready: VecDeque<FileId>,
    /// FD_CLOEXEC, as a socket has it.
    pub(crate) close_on_exec: bool,
}

/// A socket that is looked at.
#[derive(Clone, Copy, Debug)]
struct Item {
    interest: u32,
    data: u64,
    /// On the list.
    listed: bool,
}

/// What somebody wants to hear of a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Interest {
    /// Bits of `EPOLL…`.
    pub(crate) events: u32,
    /// What comes back with them.
    pub(crate) data: u64,
}

/// What can be done with a list of sockets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Control {
    /// EPOLL_CTL_ADD.
    Add(Interest),
    /// EPOLL_CTL_MOD.
    Modify(Interest),
    /// EPOLL_CTL_DEL.
    Delete,
}

impl Epoll {
    /// One that looks at nothing.
    pub(crate) fn new(close_on_exec: bool) -> Self {
        Self { close_on_exec, ..Self::default() }
    }

    /// Something happened to a socket that is looked at.
    pub(crate) fn wake(&mut self, file: FileId, about: u32) {
        let Some(item) = self.items.get_mut(&file) else { return };
        // One that was told once, and only once, is asleep until it is modified.
        let asleep = item.interest & !HOW == 0;
        if asleep || item.interest & about & !HOW == 0 {
            return;
        }
        if !std::mem::replace(&mut item.listed, true) {
            self.ready.push_back(file);
        }
    }

    /// Forgets a socket; whether it was looked at.
    pub(crate) fn forget(&mut self, file: FileId) -> bool {
        self.ready.retain(|listed| *listed != file);
        self.items.remove(&file).is_some()
    }

    /// The sockets that are looked at.
    pub(crate) fn files(&self) -> impl Iterator<Item = FileId> + '_ {
        self.items.keys().copied()
    }

    fn put(&mut self, file: FileId, Interest { events, data }: Interest) {
        let listed = self.items.get(&file).is_some_and(|item| item.listed);
        self.items.insert(file, Item { interest: events | ALWAYS, data, listed });
    }
}

impl State {
    /// An epoll instance.
    ///
    /// # Errors
    /// EBADF when it was closed meanwhile.
    pub(crate) fn epoll(&mut self, file: FileId) -> Result<&mut Epoll> {
        self.epolls.get_mut(&file).ok_or(Errno::BAD_DESCRIPTOR)
    }

    /// Changes what an epoll instance looks at.
    ///
    /// # Errors
    /// EEXIST, ENOENT, EINVAL, EBADF.
    pub(crate) fn control(&mut self, epoll: FileId, file: FileId, control: Control) -> Result<()> {
        self.socket(file)?;
        let instance = self.epoll(epoll)?;
        let known = instance.items.get(&file).copied();
        match (control, known) {
            (Control::Add(_), Some(_)) => return Err(Errno(libc::EEXIST)),
            (Control::Modify(_) | Control::Delete, None) => return Err(Errno(libc::ENOENT)),
            (Control::Modify(interest), Some(item)) if (interest.events | item.interest) & EXCLUSIVE != 0 => {
                return Err(Errno::INVALID);
            }
            (Control::Add(interest) | Control::Modify(interest), _) => {
                instance.put(file, interest);
                if known.is_none() {
                    self.socket(file)?.watchers.push(epoll);
                }
                let events = self.events(file);
                self.epoll(epoll)?.wake(file, events);
                self.news = true;
            }
            (Control::Delete, Some(_)) => {
                instance.forget(file);
                self.socket(file)?.watchers.retain(|watcher| *watcher != epoll);
            }
        }
        Ok(())
    }

    /// Takes up to `most` events.
    ///
    /// # Errors
    /// EBADF; EAGAIN when there are none.
    pub(crate) fn collect(&mut self, epoll: FileId, most: usize) -> Result<Vec<Interest>> {
        let mut found = Vec::new();
        for _ in 0..self.epoll(epoll)?.ready.len() {
            if found.len() == most {
                break;
            }
            let Some(file) = self.epoll(epoll)?.ready.pop_front() else { break };
            let able = self.events(file);
            let instance = self.epoll(epoll)?;
            let Some(item) = instance.items.get_mut(&file) else { continue };
            let events = able & item.interest;
            let once = item.interest & libc::EPOLLONESHOT as u32 != 0;
            let edge = item.interest & libc::EPOLLET as u32 != 0;
            if events != 0 && once {
                item.interest &= HOW;
            }
            item.listed = events != 0 && !once && !edge;
            if item.listed {
                instance.ready.push_back(file);
            }
            if events != 0 {
                found.push(Interest { events, data: instance.items.get(&file).map_or(0, |item| item.data) });
            }
        }
        if found.is_empty() { Err(Errno::AGAIN) } else { Ok(found) }
    }

    /// Whether an epoll instance has events, as `poll` asks.
    pub(crate) fn has_events(&mut self, epoll: FileId) -> bool {
        let listed: Vec<_> =
            self.epolls.get(&epoll).into_iter().flat_map(|epoll| epoll.ready.iter().copied()).collect();
        listed.into_iter().any(|file| {
            let able = self.events(file);
            let item = self.epolls.get(&epoll).and_then(|epoll| epoll.items.get(&file));
            item.is_some_and(|item| able & item.interest != 0)
        })
    }

    /// Closes an epoll instance.
    pub(crate) fn close_epoll(&mut self, epoll: FileId) {
        let files: Vec<_> =
            self.epolls.remove(&epoll).into_iter().flat_map(|it| it.files().collect::<Vec<_>>()).collect();
        for file in files {
            if let Some(socket) = self.sockets.get_mut(&file) {
                socket.watchers.retain(|watcher| *watcher != epoll);
            }
        }
        self.news = true;
    }
}

/// What goes with EPOLL_CTL_ADD only.
const EXCLUSIVE: u32 = libc::EPOLLEXCLUSIVE as u32;

/// Reads the operation of `epoll_ctl`.
///
/// # Errors
/// EINVAL.
pub(crate) fn control(operation: c_int, interest: Option<Interest>) -> Result<Control> {
    match (operation, interest) {
        (libc::EPOLL_CTL_ADD, Some(interest)) => Ok(Control::Add(interest)),
        (libc::EPOLL_CTL_MOD, Some(interest)) => Ok(Control::Modify(interest)),
        (libc::EPOLL_CTL_DEL, None) => Ok(Control::Delete),
        _ => Err(Errno::INVALID),
    }
}
