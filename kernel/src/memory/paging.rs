//! The kernel's own page tables.
//!
//! Two mappings make them up at first: all RAM as data (the direct map), and the kernel's image with each segment's own rights.
//! A page is either writable or executable, never both, and read-only pages hold for ring 0 (CR0.WP, set at entry).

use core::ops::Range;

use x86_64::registers::control::{Cr3, Cr3Flags};
use x86_64::registers::model_specific::{Efer, EferFlags, Msr};
use x86_64::structures::paging::{
    Mapper, OffsetPageTable, Page, PageSize, PageTable, PageTableFlags, PhysFrame, Size1GiB, Size2MiB,
    Size4KiB,
};
use x86_64::{PhysAddr, VirtAddr};

use super::frames::Frames;
use super::{DIRECT_MAP, KERNEL_BASE, PAGE_BYTES};
use crate::arch::features;
use crate::boot::BootInfo;

const TEXT: PageTableFlags = PageTableFlags::PRESENT;
const RODATA: PageTableFlags = TEXT.union(PageTableFlags::NO_EXECUTE);
pub(super) const DATA: PageTableFlags = RODATA.union(PageTableFlags::WRITABLE);

/// What a page of a device adds to [`DATA`]: it chooses the last of the four entries of [`MEMORY_TYPES`] ...
pub(super) const UNCACHED: PageTableFlags = PageTableFlags::NO_CACHE.union(PageTableFlags::WRITE_THROUGH);
/// ... or the second.
pub(super) const WRITE_COMBINING: PageTableFlags = PageTableFlags::WRITE_THROUGH;

/// The page attribute table (Intel SDM vol. 3, 13.12.2), four entries twice: write-back, write-combining, uncached unless an MTRR says
/// otherwise, uncached. At reset, the second is write-through, which nobody uses.
const MEMORY_TYPES: u64 = 0x0007_0106_0007_0106;
const IA32_PAT: u32 = 0x277;

// The bounds of the image's segments, from the linker script. Only their addresses mean anything.
unsafe extern "C" {
    static image_start: u8;
    static rodata_start: u8;
    static data_start: u8;
    static image_end: u8;
}

/// A tree of page tables.
pub(super) struct AddressSpace {
    root: PhysFrame,
    tables: OffsetPageTable<'static>,
    /// What a processor without the no-execute bit must not see, for it is reserved there.
    unsupported: PageTableFlags,
}

impl AddressSpace {
    /// Return page tables for this machine, not yet in use.
    ///
    /// # Safety
    /// `boot` describes this machine; `frames` are free, and mapped by the loader at `boot.direct_map`.
    pub(super) unsafe fn build(boot: &BootInfo, frames: &mut Frames) -> Self {
        let root = frames.take().expect("no memory is left for page tables");
        let loader_map = VirtAddr::new(boot.direct_map);
        let table: *mut PageTable = (loader_map + root.start_address().as_u64()).as_mut_ptr();
        // SAFETY: the frame is ours alone and mapped there, by the caller.
        let table = unsafe {
            table.write(PageTable::new());
            &mut *table
        };
        // SAFETY: the loader's direct map holds every frame that `frames` will give.
        let tables = unsafe { OffsetPageTable::new(table, loader_map) };
        let unsupported =
            if features::has_no_execute() { PageTableFlags::empty() } else { PageTableFlags::NO_EXECUTE };
        let mut space = Self { root, tables, unsupported };
        space.map_direct(boot, frames);
        space.map_image(boot, frames);
        space
    }

    /// Make these tables this core's, and return them as they are reached from now on.
    ///
    /// # Safety
    /// What runs and what it refers to is in the kernel's image: the loader's mappings are gone after this.
    pub(super) unsafe fn activate(self) -> Self {
        let table = VirtAddr::new(DIRECT_MAP + self.root.start_address().as_u64());
        // SAFETY: the image is mapped where it was, by `build`, and the rest is the caller's. NXE only where CPUID has it. The
        // root table lies in RAM, so in the direct map, and the old way to it is dropped here. Every x86_64 has the PAT, and what
        // changes in it concerns no page of the old tables.
        unsafe {
            set_up_core();
            if self.unsupported.is_empty() {
                Efer::update(|efer| efer.insert(EferFlags::NO_EXECUTE_ENABLE));
            }
            Cr3::write(self.root, Cr3Flags::empty());
            let root = &mut *table.as_mut_ptr::<PageTable>();
            Self { tables: OffsetPageTable::new(root, VirtAddr::new(DIRECT_MAP)), ..self }
        }
    }

    /// Return the tables as CR3 names them.
    pub(super) fn root(&self) -> u64 {
        self.root.start_address().as_u64()
    }

    /// Return the bits of the extended feature register that a core needs before it uses them.
    pub(super) fn features(&self) -> u32 {
        if self.unsupported.is_empty() { EferFlags::NO_EXECUTE_ENABLE.bits() as u32 } else { 0 }
    }

    /// Map one page. It must not be mapped yet: a second mapping is a bug of the caller.
    pub(super) fn map<S>(
        &mut self,
        page: VirtAddr,
        frame: PhysFrame<S>,
        flags: PageTableFlags,
        frames: &mut Frames,
    ) where
        S: PageSize + core::fmt::Debug,
        OffsetPageTable<'static>: Mapper<S>,
    {
        let page = Page::<S>::containing_address(page);
        let flags = flags - self.unsupported;
        let parents = PageTableFlags::PRESENT | PageTableFlags::WRITABLE;
        // SAFETY: the page is new, so no reference goes through it, and its frame belongs to the caller.
        let mapped = unsafe { self.tables.map_to_with_table_flags(page, frame, flags, parents, frames) };
        match mapped {
            Ok(new) => new.ignore(), // what was not mapped is in no TLB
            Err(error) => panic!("cannot map {page:?} to {frame:?}: {error:?}"),
        }
    }

    /// Map all RAM at [`DIRECT_MAP`], in pages of 1 GiB where the processor has them and a region fills them, else of 2 MiB.
    ///
    /// Regions are rounded outwards to 2 MiB. Device memory that comes to lie in such a page stays uncached by its MTRR.
    fn map_direct(&mut self, boot: &BootInfo, frames: &mut Frames) {
        let huge_pages = features::has_1gib_pages();
        let mut done = 0;
        for region in &boot.memory {
            let mut next = (region.range.start / Size2MiB::SIZE * Size2MiB::SIZE).max(done);
            while next < region.range.end {
                let page = VirtAddr::new(DIRECT_MAP + next);
                let huge = huge_pages
                    && next.is_multiple_of(Size1GiB::SIZE)
                    && region.range.end - next >= Size1GiB::SIZE;
                next += if huge {
                    let frame = PhysFrame::<Size1GiB>::containing_address(PhysAddr::new(next));
                    self.map(page, frame, DATA, frames);
                    Size1GiB::SIZE
                } else {
                    let frame = PhysFrame::<Size2MiB>::containing_address(PhysAddr::new(next));
                    self.map(page, frame, DATA, frames);
                    Size2MiB::SIZE
                };
            }
            done = done.max(next);
        }
    }

    /// Map the kernel's image where it is linked.
    fn map_image(&mut self, boot: &BootInfo, frames: &mut Frames) {
        let [start, rodata, data, end] =
            [&raw const image_start, &raw const rodata_start, &raw const data_start, &raw const image_end]
                .map(|symbol| symbol as u64);
        for (segment, flags) in [(start..rodata, TEXT), (rodata..data, RODATA), (data..end, DATA)] {
            for page in segment.step_by(PAGE_BYTES as usize) {
                let physical = PhysAddr::new(boot.kernel_physical + (page - start));
                let frame = PhysFrame::<Size4KiB>::containing_address(physical);
                self.map(VirtAddr::new(page), frame, flags, frames);
            }
        }
    }
}

/// Let this core understand the memory types of our pages.
pub(crate) fn set_up_core() {
    // SAFETY: every x86_64 has the PAT, and the entries in which it differs from the reset's are used by no page but ours.
    unsafe { Msr::new(IA32_PAT).write(MEMORY_TYPES) };
}

/// Return the physical addresses that the kernel's image is linked to.
pub(crate) fn image_physical_as_linked() -> Range<u64> {
    let [start, end] = [&raw const image_start, &raw const image_end].map(|at| at as u64 - KERNEL_BASE);
    start..end
}
