//! The prefixes whose sources the program drops or lets through: its tries and bitmaps (bpf/lists.h), and our own account
//! of them.
//!
//! A prefix enters its trie before its bits are set, and leaves it before they are cleared: at no moment does a source slip
//! past a prefix that is listed, nor is one refused that is not.
//!
//! Invariant defended (by the `Pod` implementation): every byte of a value is initialised, and any bytes are a valid one.

mod cover;
mod prefix;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use aya::Ebpf;
use aya::maps::lpm_trie::Key;
use aya::maps::{LpmTrie, MapData};

use crate::EbpfError;
use crate::shield::take_map;
use cover::{Cover4, Cover6};

pub(crate) use cover::CoverKeys;
pub use prefix::{Prefix, PrefixError};

/// What becomes of segments from a listed prefix.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ListVerdict {
    /// They are dropped, and counted as [`DroppedBlocked`](crate::ShieldCounter::DroppedBlocked).
    Drop,
    /// They are let past the limits on SYNs. (A shield that is up still answers its SYNs with cookies.)
    Allow,
}

/// A prefix in the list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listed {
    /// The prefix.
    pub prefix: Prefix,
    /// What becomes of segments from there.
    pub verdict: ListVerdict,
    /// Until when, in nanoseconds of CLOCK_MONOTONIC; `None`: until it is removed.
    pub expiry: Option<u64>,
}

/// Which sources are dropped or let through, whatever they send. Of prefixes that match a source, the longest one decides.
///
/// A prefix that has expired says nothing any more, but it hides shorter ones and takes its place until it is
/// [swept](Self::sweep) away: do so often.
///
/// What a source costs that is not listed does not grow with the list, but for sources that share an IPv4 /24 with a longer
/// prefix, or an IPv6 /48 with a longer one or its /32 with one of those lengths; and for all of IPv6 while a prefix shorter
/// than /16 is listed.
pub struct PrefixList {
    ipv4: LpmTrie<MapData, [u8; 4], Listing>,
    ipv6: LpmTrie<MapData, [u8; 16], Listing>,
    cover4: Cover4,
    cover6: Cover6,
    listed: BTreeMap<Prefix, Listing>,
    /// When those expire that do.
    expiries: BTreeSet<(u64, Prefix)>,
    capacity: u32,
}

/// `struct listing`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Listing {
    expiry: u64,
    verdict: u32,
    unused: u32,
}

const _: () = assert!(size_of::<Listing>() == 16);

// SAFETY: integers only, and the size asserted above leaves no padding.
unsafe impl aya::Pod for Listing {}

/// `BLOCKED` of `enum listed`.
const BLOCKED: u32 = 1;
/// `ALLOWED` of `enum listed`.
const ALLOWED: u32 = 2;

impl Listing {
    fn new(verdict: ListVerdict, expiry: Option<u64>) -> Self {
        let verdict = match verdict {
            ListVerdict::Drop => BLOCKED,
            ListVerdict::Allow => ALLOWED,
        };
        // Zero means never to the program. Nothing was listed at the start of the clock, so one has long passed, too.
        Self { expiry: expiry.map_or(0, |expiry| expiry.max(1)), verdict, unused: 0 }
    }

    fn expiry(&self) -> Option<u64> {
        (self.expiry != 0).then_some(self.expiry)
    }

    fn of(&self, prefix: Prefix) -> Listed {
        let verdict = if self.verdict == BLOCKED { ListVerdict::Drop } else { ListVerdict::Allow };
        Listed { prefix, verdict, expiry: self.expiry() }
    }
}

impl PrefixList {
    /// The list of the program in `object`, which was loaded with room for `capacity` prefixes; it is empty.
    pub(crate) fn take(object: &mut Ebpf, capacity: u32, keys: CoverKeys) -> Result<Self, EbpfError> {
        Ok(Self {
            ipv4: take_map(object, "listed_ipv4")?,
            ipv6: take_map(object, "listed_ipv6")?,
            cover4: Cover4::take(object)?,
            cover6: Cover6::take(object, keys)?,
            listed: BTreeMap::new(),
            expiries: BTreeSet::new(),
            capacity,
        })
    }

    /// The entries that a trie must have for `capacity` prefixes: one more, since kernels before 6.13 take a full trie for
    /// one in which nothing can be replaced.
    pub(crate) const fn trie_entries(capacity: u32) -> u32 {
        capacity.saturating_add(1)
    }

    /// Lists `prefix`, or lists it anew, from now on: until `expiry` (in nanoseconds of CLOCK_MONOTONIC), or until it is
    /// removed. False if it was listed before, however it was.
    ///
    /// # Errors
    /// [`EbpfError::PrefixListFull`], or the map's own; nothing has changed then.
    pub fn insert(&mut self, prefix: Prefix, verdict: ListVerdict, expiry: Option<u64>) -> Result<bool, EbpfError> {
        let before = self.listed.get(&prefix).copied();
        if before.is_none() && self.len() >= self.capacity as usize {
            return Err(EbpfError::PrefixListFull { capacity: self.capacity });
        }
        let listing = Listing::new(verdict, expiry);
        self.insert_in_trie(prefix, listing)?;
        self.listed.insert(prefix, listing);
        if let Some(expired) = before.and_then(|before| before.expiry()) {
            self.expiries.remove(&(expired, prefix));
        }
        if let Some(expiry) = listing.expiry() {
            self.expiries.insert((expiry, prefix));
        }
        if before.is_none() {
            self.cover(prefix);
        }
        Ok(before.is_none())
    }

    /// Removes `prefix` from the list. False if it was not listed.
    ///
    /// # Errors
    /// The map's own; nothing has changed then.
    pub fn remove(&mut self, prefix: Prefix) -> Result<bool, EbpfError> {
        let Some(listing) = self.listed.get(&prefix).copied() else { return Ok(false) };
        self.remove_from_trie(prefix)?;
        self.listed.remove(&prefix);
        if let Some(expiry) = listing.expiry() {
            self.expiries.remove(&(expiry, prefix));
        }
        self.uncover(prefix);
        Ok(true)
    }

    /// Removes what has expired at `now` (in nanoseconds of CLOCK_MONOTONIC), and says what that was. Costs next to nothing
    /// when nothing has.
    ///
    /// # Errors
    /// The map's own; what could not be removed is still listed.
    pub fn sweep(&mut self, now: u64) -> Result<Vec<Prefix>, EbpfError> {
        let mut swept = Vec::new();
        while let Some(&(expiry, prefix)) = self.expiries.first()
            && expiry <= now
        {
            self.remove(prefix)?;
            swept.push(prefix);
        }
        Ok(swept)
    }

    /// How `prefix` itself is listed; a shorter one that contains it does not count.
    pub fn get(&self, prefix: Prefix) -> Option<Listed> {
        self.listed.get(&prefix).map(|listing| listing.of(prefix))
    }

    /// All that is listed: IPv4 before IPv6, by address, networks before what they contain.
    pub fn iter(&self) -> impl Iterator<Item = Listed> {
        self.listed.iter().map(|(prefix, listing)| listing.of(*prefix))
    }

    /// How many prefixes are listed, of both families together.
    pub fn len(&self) -> usize {
        self.listed.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    fn insert_in_trie(&mut self, prefix: Prefix, listing: Listing) -> Result<(), EbpfError> {
        let length = prefix.length().into();
        match prefix.address() {
            IpAddr::V4(address) => self
                .ipv4
                .insert(&Key::new(length, address.octets()), listing, 0)
                .map_err(|error| EbpfError::map("listed_ipv4", error)),
            IpAddr::V6(address) => self
                .ipv6
                .insert(&Key::new(length, address.octets()), listing, 0)
                .map_err(|error| EbpfError::map("listed_ipv6", error)),
        }
    }

    fn remove_from_trie(&mut self, prefix: Prefix) -> Result<(), EbpfError> {
        let length = prefix.length().into();
        match prefix.address() {
            IpAddr::V4(address) => self
                .ipv4
                .remove(&Key::new(length, address.octets()))
                .map_err(|error| EbpfError::map("listed_ipv4", error)),
            IpAddr::V6(address) => self
                .ipv6
                .remove(&Key::new(length, address.octets()))
                .map_err(|error| EbpfError::map("listed_ipv6", error)),
        }
    }

    fn cover(&mut self, prefix: Prefix) {
        match prefix.address() {
            IpAddr::V4(network) => self.cover4.add(network, prefix.length()),
            IpAddr::V6(network) => self.cover6.add(network, prefix.length()),
        }
    }

    fn uncover(&mut self, prefix: Prefix) {
        match prefix.address() {
            IpAddr::V4(network) => self.cover4.remove(network, prefix.length(), &self.listed),
            IpAddr::V6(network) => self.cover6.remove(network, prefix.length()),
        }
    }
}
