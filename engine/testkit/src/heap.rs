//! What the thread of a test has on the heap.
//!
//! A test target that counts names [`Counting`] as its allocator. Unsafe code of this crate is here alone: the allocator adds
//! nothing but counting to the system's, and every call is passed on as it came, so that its contract is the system's own.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// Bytes that this thread has allocated, less those that it has freed; always zero under another allocator than [`Counting`].
pub fn live() -> isize {
    LIVE.get()
}

/// How often this thread has allocated or moved something.
pub fn calls() -> u64 {
    CALLS.get()
}

/// The system's allocator, counting.
#[derive(Debug)]
pub struct Counting;

fn count(before: usize, after: usize) {
    LIVE.set(LIVE.get() + after as isize - before as isize);
    CALLS.set(CALLS.get() + u64::from(after > 0));
}

// SAFETY: every method hands its arguments to the system's allocator unchanged, and its result back; the counters are cells of
// the thread without destructors, which allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(0, layout.size());
        // SAFETY: the caller keeps to the contract of `alloc`, which is the same there.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(0, layout.size());
        // SAFETY: as for `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout.size(), 0);
        // SAFETY: the pointer came from the system's allocator, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout.size(), size);
        // SAFETY: as for `dealloc`; the caller vouches for the new size.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
