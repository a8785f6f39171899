//! The heap: one range of pages with a first-fit list over it.
//!
//! Its users allocate few and large blocks once (the tokenizer's tables, the KV cache) and small ones between tokens, so a list is
//! enough. A request that cannot be met is remembered, so that a report can say what was needed and what there was. What is given back
//! is zeroed, so that nothing that was said stays in free memory.

use core::alloc::{GlobalAlloc, Layout};
use core::fmt;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicUsize, Ordering};

use linked_list_allocator::Heap;
use spin::Mutex;
use x86_64::VirtAddr;

struct KernelHeap {
    list: Mutex<Heap>,
    /// The size of the last request that could not be met, 0 if there was none.
    refused: AtomicUsize,
}

#[global_allocator]
static HEAP: KernelHeap = KernelHeap { list: Mutex::new(Heap::empty()), refused: AtomicUsize::new(0) };

/// Give the heap its memory.
///
/// # Safety
/// The range is mapped, writable and used by nobody else. To be called once.
pub(super) unsafe fn init(start: VirtAddr, bytes: u64) {
    // SAFETY: by the caller.
    unsafe { HEAP.list.lock().init(start.as_mut_ptr(), bytes as usize) }
}

/// Return how many bytes can still be allocated, in one piece or in several.
pub(crate) fn free_bytes() -> u64 {
    HEAP.list.lock().free() as u64
}

// SAFETY: the list gives out each byte of a range that `init`'s caller vouched for once, under a lock, with the layout asked for.
unsafe impl GlobalAlloc for KernelHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match self.list.lock().allocate_first_fit(layout) {
            Ok(block) => block.as_ptr(),
            Err(()) => {
                self.refused.store(layout.size(), Ordering::Relaxed);
                ptr::null_mut()
            }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(block) {
            // SAFETY: the caller got this block from `alloc` with this layout, and is done with it.
            unsafe {
                block.write_bytes(0, layout.size());
                self.list.lock().deallocate(block, layout);
            }
        }
    }
}

/// Return whether a request could not be met. After one that was met by less, a panic may be another's fault; its report tells both.
pub(crate) fn has_refused() -> bool {
    HEAP.refused.load(Ordering::Relaxed) != 0
}

/// What the report of a failure says about the heap. It waits for no lock: the failure may have come while one was held.
pub(crate) struct Report;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match HEAP.list.try_lock() {
            Some(list) => write!(f, "heap: {} bytes used, {} free", list.used(), list.free())?,
            None => write!(f, "heap: in the middle of a change")?,
        }
        match HEAP.refused.load(Ordering::Relaxed) {
            0 => Ok(()),
            bytes => write!(f, "\nout of memory: {bytes} bytes were asked for, more than any free piece"),
        }
    }
}
