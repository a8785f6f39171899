//! Who owns which byte: the frames of the machine's memory, the kernel's own page tables, the heap.
//!
//! The address space, from the bottom of the higher half:
//!
//! | from | what |
//! |---|---|
//! | [`DIRECT_MAP`] | all RAM but the image, at its physical address plus this: page tables, and the models where the loader put them, R-- |
//! | [`HEAP`] | everything free, gathered page by page into one range |
//! | [`STACKS`] | stacks, each with an unmapped page below it |
//! | [`DEVICES`] | device registers, uncached; the framebuffer, write-combining |
//! | [`KERNEL_BASE`] | the kernel's image: text R-X, rodata R--, an unmapped page, the boot's stack and data RW-, the functions' names R-- |
//!
//! Nothing is mapped in the lower half, so a null pointer and its neighbours fault. All of this is built once at boot; then
//! [`Memory`] is given up and only the heap changes.

mod account;
pub(crate) mod dma;
pub(crate) mod frames;
pub(crate) mod heap;
mod paging;

use core::ops::Range;
use core::ptr::NonNull;

use engine::platform::Clock;
use x86_64::structures::paging::{PageTableFlags, PhysFrame, Size2MiB, Size4KiB};
use x86_64::{PhysAddr, VirtAddr};

use crate::arch::core_entry;
use crate::boot::{BootInfo, RegionKind};
pub(crate) use account::Account;
use dma::DmaPage;
use frames::Frames;
use paging::AddressSpace;
pub(crate) use paging::{
    forget_translations, image_physical_as_linked, read_word, set_up_core, set_writable,
};

/// Where the direct map of physical memory begins. The PVH entry's page tables have it there as well.
pub(crate) const DIRECT_MAP: u64 = 0xffff_8000_0000_0000;
const HEAP: u64 = 0xffff_c000_0000_0000;
const STACKS: u64 = 0xffff_e000_0000_0000;
const DEVICES: u64 = 0xffff_f000_0000_0000;
/// What the linker script adds to the image's physical addresses.
pub(crate) const KERNEL_BASE: u64 = 0xffff_ffff_8000_0000;

pub(crate) const PAGE_BYTES: u64 = 4096;

/// The stack of a core that computes, the first one or another. The engine keeps its buffers in the heap, but for what a product of floats
/// keeps beside the core, some 150 KiB.
pub(crate) const STACK_BYTES: u64 = 512 * 1024;

/// Frames that the heap leaves for page tables: those of its own last pages, and of devices.
const RESERVE_BYTES: u64 = 256 * 1024;

/// How long the other cores may take to leave the loader's page tables.
const ADOPTION_LIMIT_NS: u64 = 500_000_000;

/// The machine's memory while the kernel sets itself up.
pub(crate) struct Memory {
    frames: Frames,
    space: AddressSpace,
    next_stack: u64,
    next_device: u64,
    /// How much memory there was to be handed out, and how much of it stacks have.
    frames_bytes: u64,
    stack_bytes: u64,
    /// Whether what the loader used is the kernel's.
    loader_is_left: bool,
}

impl Memory {
    /// Leave the loader's page tables for the kernel's own, and take what the loader used.
    ///
    /// # Safety
    /// `boot` describes this machine, and nothing in it is used by anyone else. To be called once, on the boot stack.
    pub(crate) unsafe fn take_over(boot: &BootInfo, clock: &dyn Clock) -> Self {
        let mut frames = Frames::new();
        for range in boot.ranges(RegionKind::Free) {
            frames.add(range);
        }
        let mut frames_bytes = frames.free_bytes();
        // SAFETY: the map is the machine's, by the caller, and the frames are free.
        let space = unsafe { AddressSpace::build(boot, &mut frames) };
        // SAFETY: the new tables map the kernel's image, and with it this code and its stack, where they are now.
        let space = unsafe { space.activate() };
        core_entry::give_page_tables(space.root(), space.features());
        let loader_is_left =
            core_entry::wait_for_adoption(boot.other_cores.n_waiting(), clock, ADOPTION_LIMIT_NS);
        if loader_is_left {
            let before_bytes = frames.free_bytes();
            for range in boot.ranges(RegionKind::LoaderReclaimable) {
                frames.add(range);
            }
            frames_bytes += frames.free_bytes() - before_bytes;
        } else {
            log::warn!("a core did not leave the loader's memory, which stays as it is for its sake");
        }
        Self {
            frames,
            space,
            next_stack: STACKS,
            next_device: DEVICES,
            frames_bytes,
            stack_bytes: 0,
            loader_is_left,
        }
    }

    /// Return the top of a new stack of so many bytes, with an unmapped page below it.
    pub(crate) fn new_stack(&mut self, bytes: u64) -> VirtAddr {
        let bottom = self.next_stack + PAGE_BYTES;
        let top = bottom + bytes.next_multiple_of(PAGE_BYTES);
        for page in (bottom..top).step_by(PAGE_BYTES as usize) {
            let frame = self.frames.take().expect("no memory is left for a stack");
            self.space.map(VirtAddr::new(page), frame, paging::DATA, &mut self.frames);
        }
        self.next_stack = top;
        self.stack_bytes += top - bottom;
        VirtAddr::new(top)
    }

    /// Return a page to be shared with a device; `None` if no memory is left. The lowest are given first, below 4 GiB.
    pub(crate) fn new_dma_page(&mut self) -> Option<DmaPage> {
        self.frames.take().map(DmaPage::new)
    }

    /// Map the page that holds a device's registers, uncached.
    pub(crate) fn map_device(&mut self, frame: PhysFrame<Size4KiB>) -> NonNull<u8> {
        let start = frame.start_address().as_u64();
        self.map_registers(&(start..start + PAGE_BYTES))
    }

    /// Map a device's registers, uncached.
    pub(crate) fn map_registers(&mut self, range: &Range<u64>) -> NonNull<u8> {
        self.map_physical(range, paging::DATA | paging::UNCACHED)
    }

    /// Map what the firmware has left in memory, to be read.
    pub(crate) fn map_firmware(&mut self, range: &Range<u64>) -> NonNull<u8> {
        self.map_physical(range, paging::RODATA)
    }

    /// Map a framebuffer, write-combining: writes are gathered to whole lines of the bus, and reads are slow.
    pub(crate) fn map_framebuffer(&mut self, range: &Range<u64>) -> NonNull<u8> {
        self.map_physical(range, paging::DATA | paging::WRITE_COMBINING)
    }

    /// Map physical addresses that are no RAM, and return where they begin.
    fn map_physical(&mut self, range: &Range<u64>, flags: PageTableFlags) -> NonNull<u8> {
        let first = range.start / PAGE_BYTES * PAGE_BYTES;
        let start = self.next_device + (range.start - first);
        for physical in (first..range.end).step_by(PAGE_BYTES as usize) {
            let frame = PhysFrame::<Size4KiB>::containing_address(PhysAddr::new(physical));
            let page = VirtAddr::new(self.next_device);
            self.space.map(page, frame, flags, &mut self.frames);
            self.next_device += PAGE_BYTES;
        }
        NonNull::new(start as *mut u8).expect("an address of the higher half is not null")
    }

    /// Give all free memory but a small reserve to the heap, and return who has what.
    pub(crate) fn fill_heap(&mut self, boot: &BootInfo) -> Account {
        let mut end = HEAP;
        while self.frames.free_bytes() > RESERVE_BYTES + Frames::BLOCK_BYTES
            && let Some(block) = self.frames.take_block()
        {
            self.space.map::<Size2MiB>(VirtAddr::new(end), block, paging::DATA, &mut self.frames);
            end += Frames::BLOCK_BYTES;
        }
        while self.frames.free_bytes() > RESERVE_BYTES
            && let Some(frame) = self.frames.take()
        {
            self.space.map::<Size4KiB>(VirtAddr::new(end), frame, paging::DATA, &mut self.frames);
            end += PAGE_BYTES;
        }
        // SAFETY: the range was just mapped, to frames that nobody else has.
        unsafe { heap::init(VirtAddr::new(HEAP), end - HEAP) };
        account::account(boot, self, end - HEAP)
    }
}

/// Return how far an address lies within its page.
pub(crate) fn page_offset(address: u64) -> usize {
    (address % PAGE_BYTES) as usize
}

/// Return whether an address that is not mapped lies below a stack: nothing else is missing in that part of the address space, nor
/// in the image.
pub(crate) fn is_stack_guard(address: u64) -> bool {
    (STACKS..DEVICES).contains(&address) || paging::boot_stack_guard_page().contains(&address)
}

/// Return physical memory as bytes, in the direct map.
///
/// # Safety
/// The range is RAM of the memory map, and nobody else reads it or writes to it any more.
pub(crate) unsafe fn physical_bytes(range: &Range<u64>) -> &'static mut [u8] {
    let start = (DIRECT_MAP + range.start) as *mut u8;
    // SAFETY: the direct map holds all RAM for ever; the rest is the caller's.
    unsafe { core::slice::from_raw_parts_mut(start, (range.end - range.start) as usize) }
}
