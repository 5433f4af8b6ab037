//! The ways that entries of the SYN table came by, interned: many peers come over few routers, and what is the same for
//! all of them need not be stored in each 64-byte entry.

use crate::Link;
use crate::segment::{MacAddr, VlanTag};
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;
use siphasher::sip::SipHasher13;

/// The local address that was asked for, and the way back to the neighbour that asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Way {
    pub(super) local: IpAddr,
    pub(super) link: Link,
}

/// The index of no way.
const NIL: u16 = u16::MAX;

/// A bounded set of ways, each with the number of entries that use it.
#[derive(Debug)]
pub(super) struct LinkTable {
    /// Peers on the link choose their link address and their VLAN tags: the hash is keyed.
    hasher: SipHasher13,
    /// The first way of each bucket.
    heads: Vec<u16>,
    rows: Vec<Row>,
    /// The first unused row.
    free: u16,
    /// The way used last: in a flood nearly always the way used next.
    recent: u16,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    way: Way,
    uses: u32,
    /// The next row of the bucket, or of the unused ones.
    next: u16,
}

impl LinkTable {
    /// An empty table of `capacity` rows.
    pub(super) fn new(capacity: u16, hasher: SipHasher13) -> Self {
        let capacity = capacity.clamp(1, NIL - 1);
        let unused = Way { local: IpAddr::from([0; 4]), link: Link::default() };
        let rows = (1..=capacity)
            .map(|next| Row { way: unused, uses: 0, next: if next == capacity { NIL } else { next } })
            .collect();
        let buckets = usize::from(capacity).next_power_of_two();
        Self { hasher, heads: vec![NIL; buckets], rows, free: 0, recent: 0 }
    }

    /// The way under an index that [`acquire`](Self::acquire) gave.
    pub(super) fn way(&self, index: u16) -> &Way {
        &self.rows[usize::from(index)].way
    }

    /// The index of `way`, with one more use; `None` when the table is full of others.
    pub(super) fn acquire(&mut self, way: &Way) -> Option<u16> {
        let recent = &mut self.rows[usize::from(self.recent)];
        if recent.uses > 0 && recent.way == *way {
            recent.uses += 1;
            return Some(self.recent);
        }
        let bucket = self.bucket(way);
        let index = self.find(bucket, way).or_else(|| self.add(bucket, way))?;
        self.rows[usize::from(index)].uses += 1;
        self.recent = index;
        Some(index)
    }

    /// One use less; the last one frees the row.
    pub(super) fn release(&mut self, index: u16) {
        let row = &mut self.rows[usize::from(index)];
        row.uses -= 1;
        if row.uses > 0 {
            return;
        }
        let (way, next) = (row.way, row.next);
        let bucket = self.bucket(&way);
        self.unlink(bucket, index, next);
        self.rows[usize::from(index)].next = self.free;
        self.free = index;
    }

    fn find(&self, bucket: usize, way: &Way) -> Option<u16> {
        let mut index = self.heads[bucket];
        while index != NIL {
            let row = &self.rows[usize::from(index)];
            if row.way == *way {
                return Some(index);
            }
            index = row.next;
        }
        None
    }

    fn add(&mut self, bucket: usize, way: &Way) -> Option<u16> {
        let index = self.free;
        let row = self.rows.get_mut(usize::from(index))?;
        self.free = row.next;
        *row = Row { way: *way, uses: 0, next: self.heads[bucket] };
        self.heads[bucket] = index;
        Some(index)
    }

    /// Takes `index`, which `next` follows, out of its bucket.
    fn unlink(&mut self, bucket: usize, index: u16, next: u16) {
        if self.heads[bucket] == index {
            self.heads[bucket] = next;
            return;
        }
        let mut before = self.heads[bucket];
        while before != NIL {
            let row = &mut self.rows[usize::from(before)];
            if row.next == index {
                row.next = next;
                return;
            }
            before = row.next;
        }
    }

    fn bucket(&self, way: &Way) -> usize {
        let Way { local, link: Link { local: MacAddr(ours), remote: MacAddr(theirs), outer, inner } } = *way;
        let mut bytes = [0; 36];
        bytes[..16].copy_from_slice(&crate::Endpoint::new(local, 0).addr_bytes());
        bytes[16..22].copy_from_slice(&ours);
        bytes[22..28].copy_from_slice(&theirs);
        for (part, tag) in bytes[28..].chunks_exact_mut(4).zip([outer, inner]) {
            let VlanTag { protocol, control } = tag.unwrap_or_default();
            part[..2].copy_from_slice(&protocol.to_be_bytes());
            part[2..].copy_from_slice(&control.to_be_bytes());
        }
        self.hasher.hash(&bytes) as usize & (self.heads.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::{LinkTable, Way};
    use crate::Link;
    use crate::segment::{MacAddr, VlanTag};
    use alloc::vec::Vec;
    use core::net::IpAddr;
    use proptest::prelude::*;
    use siphasher::sip::SipHasher13;

    fn way(neighbour: u8, vlan: u16) -> Way {
        let outer = (vlan > 0).then_some(VlanTag { protocol: 0x8100, control: vlan });
        let link = Link { local: MacAddr([2; 6]), remote: MacAddr([neighbour; 6]), outer, inner: None };
        Way { local: IpAddr::from([10, 0, 0, 1]), link }
    }

    fn table(capacity: u16) -> LinkTable {
        LinkTable::new(capacity, SipHasher13::new_with_key(&[7; 16]))
    }

    #[test]
    fn the_same_way_is_stored_once_and_a_tag_makes_another() {
        let mut table = table(8);
        let first = table.acquire(&way(1, 0)).unwrap();
        assert_eq!(table.acquire(&way(1, 0)), Some(first));
        let tagged = table.acquire(&way(1, 5)).unwrap();
        assert_ne!(tagged, first);
        assert_eq!(*table.way(tagged), way(1, 5));
        assert_eq!(table.acquire(&way(1, 0)), Some(first));
    }

    #[test]
    fn a_full_table_refuses_and_a_released_row_is_used_again() {
        let mut table = table(2);
        let (one, two) = (table.acquire(&way(1, 0)).unwrap(), table.acquire(&way(2, 0)).unwrap());
        assert_eq!(table.acquire(&way(3, 0)), None);
        assert_eq!(table.acquire(&way(1, 0)), Some(one));
        table.release(one);
        assert_eq!(table.acquire(&way(3, 0)), None, "one use is left");
        table.release(one);
        assert_eq!(table.acquire(&way(3, 0)), Some(one));
        assert_eq!(*table.way(two), way(2, 0));
    }

    proptest! {
        /// Against a plain list of uses: what is in use is found under one index, and never more than fit.
        #[test]
        fn behaves_like_a_list(steps in prop::collection::vec((0u8..12, any::<bool>()), 1..300)) {
            let mut table = table(6);
            let mut uses: Vec<(u8, u16)> = Vec::new();
            for (neighbour, acquire) in steps {
                let held = uses.iter().find(|(who, _)| *who == neighbour).map(|(_, index)| *index);
                if acquire {
                    let mut distinct: Vec<u16> = uses.iter().map(|(_, index)| *index).collect();
                    distinct.sort_unstable();
                    distinct.dedup();
                    let got = table.acquire(&way(neighbour, 0));
                    match held {
                        Some(index) => prop_assert_eq!(got, Some(index)),
                        None => prop_assert_eq!(got.is_some(), distinct.len() < 6),
                    }
                    uses.extend(got.map(|index| (neighbour, index)));
                } else if let Some(at) = uses.iter().position(|(who, _)| *who == neighbour) {
                    table.release(uses.remove(at).1);
                }
                for (who, index) in &uses {
                    prop_assert_eq!(*table.way(*index), way(*who, 0));
                }
            }
        }
    }
}
