//! The system's allocator with a counter that only the memory rows switch on. Off, it costs every
//! runtime the same: one relaxed load and a branch that is always predicted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

pub(crate) struct Counting;

static ON: AtomicBool = AtomicBool::new(false);
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// Starts counting; what was allocated before is not in the figures.
pub(crate) fn start_counting() {
    ON.store(true, Relaxed);
}

/// Bytes asked for and not given back since the start (without the allocator's own overhead).
/// Meaningful as a difference only: memory from before the start may be freed after it.
pub(crate) fn live() -> usize {
    LIVE.load(Relaxed)
}

fn count(added: usize, removed: usize) {
    if ON.load(Relaxed) {
        LIVE.fetch_add(added.wrapping_sub(removed), Relaxed);
    }
}

// SAFETY: every call goes unchanged to `System`, which keeps the contract; counting has no effect
// on what is returned.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promise, handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promise, handed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: the caller's promise, handed on.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: the caller's promise, handed on.
        unsafe { System.dealloc(memory, layout) }
    }
}
