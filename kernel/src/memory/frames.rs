//! Which frames of physical memory are free: a list of ranges, taken from and never given back.
//!
//! The kernel hands memory out once at boot: frames to page tables and stacks, the rest to the heap. So this is no general frame
//! allocator, and needs no bitmap. The first MiB is never used: firmware writes there, and other cores start there.

use core::ops::Range;

use arrayvec::ArrayVec;
use x86_64::PhysAddr;
use x86_64::structures::paging::{FrameAllocator, PhysFrame, Size2MiB, Size4KiB};

use super::PAGE_BYTES;
use crate::boot::MAX_REGIONS;

const FIRST_USED: u64 = 1 << 20;

/// The free frames.
pub(crate) struct Frames {
    /// Page-aligned, none of them empty.
    free: ArrayVec<Range<u64>, { 2 * MAX_REGIONS }>,
}

impl Frames {
    /// The size of what [`Frames::take_block`] takes.
    pub(crate) const BLOCK_BYTES: u64 = 2 << 20;

    pub(crate) const fn new() -> Self {
        Self { free: ArrayVec::new_const() }
    }

    /// Add the whole frames in a range of free memory.
    pub(crate) fn add(&mut self, range: Range<u64>) {
        let start = range.start.max(FIRST_USED).next_multiple_of(PAGE_BYTES);
        let end = range.end / PAGE_BYTES * PAGE_BYTES;
        self.put(start..end);
    }

    /// Return how much is free.
    pub(crate) fn free_bytes(&self) -> u64 {
        self.free.iter().map(|range| range.end - range.start).sum()
    }

    /// Take one frame, from the start of the first range: the loaders' page tables reach low memory first.
    pub(crate) fn take(&mut self) -> Option<PhysFrame<Size4KiB>> {
        let first = self.free.first_mut()?;
        let frame = first.start;
        first.start += PAGE_BYTES;
        if first.is_empty() {
            self.free.remove(0);
        }
        Some(PhysFrame::containing_address(PhysAddr::new(frame)))
    }

    /// Take 2 MiB that are aligned to 2 MiB, from as far up as there are any.
    pub(crate) fn take_block(&mut self) -> Option<PhysFrame<Size2MiB>> {
        let (index, block) = self.free.iter().enumerate().rev().find_map(|(index, range)| {
            let end = range.end / Self::BLOCK_BYTES * Self::BLOCK_BYTES;
            let block = end.checked_sub(Self::BLOCK_BYTES)?;
            (block >= range.start).then_some((index, block))
        })?;
        let range = self.free.remove(index);
        self.put(range.start..block);
        self.put(block + Self::BLOCK_BYTES..range.end);
        Some(PhysFrame::containing_address(PhysAddr::new(block)))
    }

    /// Keep a range, if anything is in it.
    fn put(&mut self, range: Range<u64>) {
        if !range.is_empty() {
            self.free.push(range);
        }
    }
}

// SAFETY: a frame leaves the list when it is taken, and ranges are added once.
unsafe impl FrameAllocator<Size4KiB> for Frames {
    fn allocate_frame(&mut self) -> Option<PhysFrame<Size4KiB>> {
        self.take()
    }
}
