//! Entries in TIME-WAIT: small, many, and the oldest gives way when there are too many.

use crate::timer_wheel::TimerId;
use slab::Slab;
use synward_proto::Tuple;
use synward_proto::connection::TimeWait;

/// A tuple in TIME-WAIT.
#[derive(Debug)]
pub(crate) struct TimeWaitEntry {
    pub(crate) tuple: Tuple,
    pub(crate) state: TimeWait,
    pub(crate) timer: Option<TimerId>,
}

#[derive(Debug)]
struct Node {
    entry: TimeWaitEntry,
    older: u32,
    newer: u32,
}

/// No node.
const NONE: u32 = u32::MAX;

/// Entries in TIME-WAIT, in the order in which they came (Linux: `tcp_max_tw_buckets`, which drops the newest instead).
#[derive(Debug)]
pub(crate) struct TimeWaits {
    nodes: Slab<Node>,
    oldest: u32,
    newest: u32,
    limit: usize,
}

impl TimeWaits {
    /// None, and room for so many.
    pub(crate) fn new(limit: usize) -> Self {
        Self { nodes: Slab::with_capacity(limit), oldest: NONE, newest: NONE, limit }
    }

    /// Entries.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The most there can be; every index is below it.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Whether one more would be too many.
    pub(crate) fn is_full(&self) -> bool {
        self.nodes.len() >= self.limit
    }

    /// The entry that came first.
    pub(crate) fn oldest(&self) -> Option<u32> {
        (self.oldest != NONE).then_some(self.oldest)
    }

    /// The entry at an index.
    pub(crate) fn get(&self, index: u32) -> Option<&TimeWaitEntry> {
        self.nodes.get(index as usize).map(|node| &node.entry)
    }

    /// The entry at an index.
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut TimeWaitEntry> {
        self.nodes.get_mut(index as usize).map(|node| &mut node.entry)
    }

    /// Adds the newest entry.
    pub(crate) fn insert(&mut self, entry: TimeWaitEntry) -> u32 {
        let index = self.nodes.insert(Node { entry, older: self.newest, newer: NONE }) as u32;
        match self.nodes.get_mut(self.newest as usize) {
            Some(node) => node.newer = index,
            None => self.oldest = index,
        }
        self.newest = index;
        index
    }

    /// Removes an entry.
    pub(crate) fn remove(&mut self, index: u32) -> Option<TimeWaitEntry> {
        let Node { entry, older, newer } = self.nodes.try_remove(index as usize)?;
        match self.nodes.get_mut(older as usize) {
            Some(node) => node.newer = newer,
            None => self.oldest = newer,
        }
        match self.nodes.get_mut(newer as usize) {
            Some(node) => node.older = older,
            None => self.newest = older,
        }
        Some(entry)
    }
}
