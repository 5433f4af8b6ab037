//! What the program is told of each listener, and what it counts there.
//!
//! Invariant defended (by the `Shared` and `Pod` implementations): see there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, Ordering};

use aya::maps::{MapData, PerCpuArray};

use crate::EbpfError;
use crate::mapped::{Mapped, Shared};

/// The place of what is owned without a guard.
pub(crate) const UNGUARDED: u32 = 0;
/// The place of all ranges of source ports.
pub(crate) const SOURCE_PORTS: u32 = 1;
/// The place of the first listener.
const FIRST: u32 = 2;
/// Places in the table.
pub(crate) const PLACES: u32 = 1026;

const WITH_SACK: u8 = 1;
const WITH_TIMESTAMPS: u8 = 2;
const WITH_WINDOW_SCALE: u8 = 4;
const WITH_MSS: u8 = 8;
const REQUIRES_TIMESTAMPS: u8 = 16;
const TAKES_CLIENTS: u8 = 32;

/// `struct listener`.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Listener {
    guarded: AtomicU32,
    up: AtomicU32,
    accept_queue_full: AtomicU32,
    mss_v4: AtomicU16,
    mss_v6: AtomicU16,
    window: AtomicU16,
    window_scale: AtomicU8,
    flags: AtomicU8,
    unused: [AtomicU32; 11],
}

const _: () = assert!(size_of::<Listener>() == 64);
// SAFETY: `repr(C)`, atomic integers without padding between them, 64 bytes in all.
unsafe impl Shared for Listener {}

/// What the program has counted at a listener, all processors together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct ListenerCounts {
    /// SYNs for the listener, whatever became of them.
    pub syns: u64,
    /// SYNs that the program answered with a cookie.
    pub cookies_sent: u64,
    /// Segments that brought a valid cookie home, and that the program has let pass for it.
    pub cookies_valid: u64,
    /// Segments dropped: nonsense, or neither of a known flow nor with a valid cookie.
    pub refused: u64,
    /// Segments that went on to the engine.
    pub passed: u64,
}

/// `struct listener_counts`, of one processor.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct CpuCounts {
    counts: ListenerCounts,
    to_skip: u64,
}

const _: () = assert!(size_of::<CpuCounts>() == 48);
// SAFETY: integers only, and the size asserted above leaves no padding.
unsafe impl aya::Pod for CpuCounts {}

impl std::ops::AddAssign for ListenerCounts {
    fn add_assign(&mut self, other: Self) {
        self.syns += other.syns;
        self.cookies_sent += other.cookies_sent;
        self.cookies_valid += other.cookies_valid;
        self.refused += other.refused;
        self.passed += other.passed;
    }
}

/// A listener that the program guards.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ListenerId(pub(crate) u32);

/// What the SYN-ACKs of a listener offer: what the engine's own would.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CookieOffer {
    /// The MSS over IPv4, bytes.
    pub mss_v4: u16,
    /// The MSS over IPv6, bytes.
    pub mss_v6: u16,
    /// The window, bytes; a SYN-ACK's is not scaled.
    pub window: u16,
    /// The shift of later windows, at most 14; `None` switches window scaling off.
    pub window_scale: Option<u8>,
    /// Whether SACK is permitted.
    pub sack: bool,
    /// Whether timestamps are used.
    pub timestamps: bool,
    /// Whether peers without timestamps get no cookie.
    pub timestamps_required: bool,
}

impl Default for CookieOffer {
    /// An MTU of 1,500 bytes, everything switched on as in Linux, and window scale 7.
    fn default() -> Self {
        Self {
            mss_v4: 1460,
            mss_v6: 1440,
            window: u16::MAX,
            window_scale: Some(7),
            sack: true,
            timestamps: true,
            timestamps_required: false,
        }
    }
}

/// The state of listeners, in memory that the program reads: for any number of threads, by plain stores.
#[derive(Debug)]
pub struct ListenerStates {
    places: Mapped<Listener>,
}

impl ListenerStates {
    /// Raises or lowers the shield of a listener, for every segment from now on. While that of any is up, source ports are
    /// open to known flows only.
    pub fn set_up(&self, listener: ListenerId, up: bool) {
        self.place(listener.0).up.store(up.into(), Ordering::SeqCst);
        // Whoever stores last has seen all: two threads cannot leave it wrong.
        loop {
            let any = self.places.values()[FIRST as usize..].iter().any(|it| it.up.load(Ordering::SeqCst) != 0);
            self.place(SOURCE_PORTS).up.store(any.into(), Ordering::SeqCst);
            if any == self.places.values()[FIRST as usize..].iter().any(|it| it.up.load(Ordering::SeqCst) != 0) {
                return;
            }
        }
    }

    /// Whether the shield of a listener is up.
    pub fn is_up(&self, listener: ListenerId) -> bool {
        self.place(listener.0).up.load(Ordering::Relaxed) != 0
    }

    /// Says whether the accept queue of a listener is full: then no cookie is sent.
    pub fn set_accept_queue_full(&self, listener: ListenerId, full: bool) {
        self.place(listener.0).accept_queue_full.store(full.into(), Ordering::SeqCst);
    }

    /// Has the cookies of a listener announce another MSS, bytes over IPv4 and over IPv6.
    pub fn set_mss(&self, listener: ListenerId, v4: u16, v6: u16) {
        let place = self.place(listener.0);
        place.mss_v4.store(v4, Ordering::Relaxed);
        place.mss_v6.store(v6, Ordering::Relaxed);
    }

    fn place(&self, place: u32) -> &Listener {
        &self.places.values()[place as usize]
    }
}

/// The listeners of one program.
pub(crate) struct Listeners {
    states: Arc<ListenerStates>,
    counts: PerCpuArray<MapData, CpuCounts>,
    /// Places that are free again.
    free: Vec<u32>,
    next: u32,
}

impl Listeners {
    pub(crate) fn new(places: Mapped<Listener>, counts: PerCpuArray<MapData, CpuCounts>) -> Self {
        Self { states: Arc::new(ListenerStates { places }), counts, free: Vec::new(), next: FIRST }
    }

    pub(crate) fn states(&self) -> Arc<ListenerStates> {
        Arc::clone(&self.states)
    }

    /// A place for a guarded listener. The program does not look there before the port leads there.
    pub(crate) fn add(&mut self, offer: &CookieOffer) -> Result<ListenerId, EbpfError> {
        let place = match self.free.pop() {
            Some(place) => place,
            None if self.next < PLACES => {
                self.next += 1;
                self.next - 1
            }
            None => return Err(EbpfError::TooManyListeners { limit: PLACES - FIRST }),
        };
        let it = self.states.place(place);
        let flag = |is: bool, flag: u8| if is { flag } else { 0 };
        let flags = TAKES_CLIENTS
            | WITH_MSS
            | flag(offer.sack, WITH_SACK)
            | flag(offer.timestamps, WITH_TIMESTAMPS)
            | flag(offer.window_scale.is_some(), WITH_WINDOW_SCALE)
            | flag(offer.timestamps_required, REQUIRES_TIMESTAMPS);
        self.states.set_mss(ListenerId(place), offer.mss_v4, offer.mss_v6);
        it.window.store(offer.window, Ordering::Relaxed);
        it.window_scale.store(offer.window_scale.unwrap_or(0).min(14), Ordering::Relaxed);
        it.flags.store(flags, Ordering::Relaxed);
        it.accept_queue_full.store(0, Ordering::Relaxed);
        it.up.store(0, Ordering::Relaxed);
        it.guarded.store(1, Ordering::Release);
        self.states.place(SOURCE_PORTS).guarded.store(1, Ordering::Release);
        Ok(ListenerId(place))
    }

    /// Gives a place back, to which no port leads any more.
    pub(crate) fn remove(&mut self, place: u32) {
        if place >= FIRST {
            self.states.set_up(ListenerId(place), false);
            self.free.push(place);
        }
    }

    pub(crate) fn counts(&self, listener: ListenerId) -> Result<ListenerCounts, EbpfError> {
        let per_cpu = self.counts.get(&listener.0, 0).map_err(|error| EbpfError::map("listener_counts", error))?;
        let mut sum = ListenerCounts::default();
        per_cpu.iter().for_each(|of_cpu| sum += of_cpu.counts);
        Ok(sum)
    }
}
