//! The descriptors of this process: one table for sockets, epoll instances and engines.
//!
//! They are numbers that the kernel never gives, so that one that goes to the wrong call is EBADF there and not somebody's
//! file. As POSIX wants it, the lowest that is free is given next.

use crate::engine::Engine;
use crate::errno::{Errno, Result};
use std::collections::BTreeSet;
use std::ffi::c_int;
use std::sync::{Arc, PoisonError, RwLock};

/// The first of them. The kernel's limit of open files is far below (`fs.nr_open`, at most 2³¹ in theory and 2³⁰ by default on
/// no system).
pub(crate) const FIRST: c_int = 1 << 30;
/// The most of them at once.
const MOST: usize = 1 << 24;

/// Names a socket or an epoll instance within its engine. Never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct FileId(pub(crate) u64);

/// What a descriptor stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// An engine.
    Engine,
    /// A socket of one.
    Socket(FileId),
    /// An epoll instance of one.
    Epoll(FileId),
}

/// A descriptor that is open.
#[derive(Clone)]
pub(crate) struct Open {
    /// Whose it is.
    pub(crate) engine: Arc<Engine>,
    /// What it is.
    pub(crate) kind: Kind,
}

#[derive(Default)]
struct Table {
    slots: Vec<Option<Open>>,
    free: BTreeSet<usize>,
}

/// The table is whole between any two statements, so a panic elsewhere with the lock held spoils nothing.
static TABLE: RwLock<Table> = RwLock::new(Table { slots: Vec::new(), free: BTreeSet::new() });

/// Gives a descriptor.
///
/// # Errors
/// EMFILE.
pub(crate) fn give(engine: &Arc<Engine>, kind: Kind) -> Result<c_int> {
    let mut table = TABLE.write().unwrap_or_else(PoisonError::into_inner);
    let open = Some(Open { engine: Arc::clone(engine), kind });
    let index = match table.free.pop_first() {
        Some(index) => {
            table.slots[index] = open;
            index
        }
        None if table.slots.len() >= MOST => return Err(Errno(libc::EMFILE)),
        None => {
            table.slots.push(open);
            table.slots.len() - 1
        }
    };
    // Below the most.
    Ok(FIRST + index as c_int)
}

fn index_of(descriptor: c_int) -> Result<usize> {
    descriptor
        .checked_sub(FIRST)
        .and_then(|index| usize::try_from(index).ok())
        .filter(|&index| index < MOST)
        .ok_or(Errno::BAD_DESCRIPTOR)
}

/// What a descriptor stands for.
///
/// # Errors
/// EBADF.
pub(crate) fn look_up(descriptor: c_int) -> Result<Open> {
    let index = index_of(descriptor)?;
    let table = TABLE.read().unwrap_or_else(PoisonError::into_inner);
    table.slots.get(index).cloned().flatten().ok_or(Errno::BAD_DESCRIPTOR)
}

/// Takes a descriptor back, and gives what it stood for.
///
/// # Errors
/// EBADF.
pub(crate) fn take(descriptor: c_int) -> Result<Open> {
    let index = index_of(descriptor)?;
    let mut table = TABLE.write().unwrap_or_else(PoisonError::into_inner);
    let open = table.slots.get_mut(index).and_then(Option::take).ok_or(Errno::BAD_DESCRIPTOR)?;
    table.free.insert(index);
    Ok(open)
}

/// Takes back all that belongs to an engine.
pub(crate) fn take_all_of(engine: &Arc<Engine>) {
    let mut table = TABLE.write().unwrap_or_else(PoisonError::into_inner);
    let Table { slots, free } = &mut *table;
    for (index, slot) in slots.iter_mut().enumerate() {
        if slot.take_if(|open| Arc::ptr_eq(&open.engine, engine)).is_some() {
            free.insert(index);
        }
    }
}

/// The engine that was opened first of those that are open.
pub(crate) fn first_engine() -> Option<Open> {
    let table = TABLE.read().unwrap_or_else(PoisonError::into_inner);
    let engines = table.slots.iter().flatten().filter(|open| open.kind == Kind::Engine);
    engines.min_by_key(|open| open.engine.number()).cloned()
}

/// The socket that a descriptor stands for.
///
/// # Errors
/// EBADF, ENOTSOCK.
pub(crate) fn socket(descriptor: c_int) -> Result<(Arc<Engine>, FileId)> {
    match look_up(descriptor)? {
        Open { engine, kind: Kind::Socket(id) } => Ok((engine, id)),
        Open { kind: Kind::Engine | Kind::Epoll(_), .. } => Err(Errno::NOT_SOCKET),
    }
}

/// The epoll instance that a descriptor stands for.
///
/// # Errors
/// EBADF, EINVAL.
pub(crate) fn epoll(descriptor: c_int) -> Result<(Arc<Engine>, FileId)> {
    match look_up(descriptor)? {
        Open { engine, kind: Kind::Epoll(id) } => Ok((engine, id)),
        Open { kind: Kind::Engine | Kind::Socket(_), .. } => Err(Errno::INVALID),
    }
}

/// The engine that a descriptor stands for.
///
/// # Errors
/// EBADF, EINVAL.
pub(crate) fn engine(descriptor: c_int) -> Result<Arc<Engine>> {
    match look_up(descriptor)? {
        Open { engine, kind: Kind::Engine } => Ok(engine),
        Open { kind: Kind::Socket(_) | Kind::Epoll(_), .. } => Err(Errno::INVALID),
    }
}
