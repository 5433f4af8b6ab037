//! Connections that wait their turn.

use std::collections::VecDeque;

/// Indices of connections, each at most once, first come first served. As long as indices stay below the number it was
/// made for, nothing is allocated after the start.
#[derive(Debug)]
pub(crate) struct ReadyList {
    queue: VecDeque<u32>,
    listed: Box<[bool]>,
}

impl ReadyList {
    /// An empty list of indices below `bound`.
    pub(crate) fn new(bound: usize) -> Self {
        Self { queue: VecDeque::with_capacity(bound), listed: vec![false; bound].into_boxed_slice() }
    }

    /// Puts an index at the end, unless it is listed already.
    pub(crate) fn push(&mut self, index: u32) {
        if let Some(listed) = self.listed.get_mut(index as usize)
            && !std::mem::replace(listed, true)
        {
            self.queue.push_back(index);
        }
    }

    /// Takes the first index.
    pub(crate) fn pop(&mut self) -> Option<u32> {
        let index = self.queue.pop_front()?;
        if let Some(listed) = self.listed.get_mut(index as usize) {
            *listed = false;
        }
        Some(index)
    }

    /// Indices listed.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::ReadyList;

    #[test]
    fn everybody_gets_a_turn_before_anybody_gets_two() {
        let mut ready = ReadyList::new(3);
        for index in [2, 0, 2, 1, 0, 7] {
            ready.push(index);
        }
        assert_eq!(ready.len(), 3);
        assert_eq!(ready.pop(), Some(2));
        ready.push(2);
        assert_eq!(std::iter::from_fn(|| ready.pop()).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(ready.is_empty());
    }
}
