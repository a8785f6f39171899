//! The kernel's own page tables.
//!
//! Two mappings make them up at first: all RAM but the image as data (the direct map), and the kernel's image with each segment's own
//! rights. A page is either writable or executable, never both, by whatever address; read-only pages hold for ring 0 (CR0.WP, set at
//! entry), and the models are read-only but while their weights are put into another order.

use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use x86_64::instructions::tlb;
use x86_64::registers::control::{Cr3, Cr3Flags, Cr4};
use x86_64::registers::model_specific::{Efer, EferFlags, Msr};
use x86_64::structures::paging::mapper::{MappedFrame, TranslateResult};
use x86_64::structures::paging::{
    Mapper, OffsetPageTable, Page, PageSize, PageTable, PageTableFlags, PhysFrame, Size1GiB, Size2MiB,
    Size4KiB, Translate,
};
use x86_64::{PhysAddr, VirtAddr};

use super::frames::Frames;
use super::{DIRECT_MAP, KERNEL_BASE, PAGE_BYTES};
use crate::arch::{features, symbols};
use crate::boot::{BootInfo, Module};

const TEXT: PageTableFlags = PageTableFlags::PRESENT;
pub(super) const RODATA: PageTableFlags = TEXT.union(PageTableFlags::NO_EXECUTE);
pub(super) const DATA: PageTableFlags = RODATA.union(PageTableFlags::WRITABLE);

/// What a page of a device adds to [`DATA`]: it chooses the last of the four entries of [`MEMORY_TYPES`] ...
pub(super) const UNCACHED: PageTableFlags = PageTableFlags::NO_CACHE.union(PageTableFlags::WRITE_THROUGH);
/// ... or the second.
pub(super) const WRITE_COMBINING: PageTableFlags = PageTableFlags::WRITE_THROUGH;

/// The sizes of pages.
const PAGE_SIZES: [u64; 3] = [Size1GiB::SIZE, Size2MiB::SIZE, PAGE_BYTES];

/// The page attribute table (Intel SDM vol. 3, 13.12.2), four entries twice: write-back, write-combining, uncached unless an MTRR says
/// otherwise, uncached. At reset, the second is write-through, which nobody uses.
const MEMORY_TYPES: u64 = 0x0007_0106_0007_0106;
const IA32_PAT: u32 = 0x277;

// The bounds of the image's segments, from the linker script. Only their addresses mean anything.
unsafe extern "C" {
    static image_start: u8;
    static rodata_start: u8;
    static boot_stack_guard: u8;
    static names_start: u8;
}

/// The root of the tables in use; 0 as long as these are the loader's.
static ROOT: AtomicU64 = AtomicU64::new(0);

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
            ROOT.store(self.root(), Ordering::Relaxed);
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

    /// Map all RAM at [`DIRECT_MAP`], in pages as large as the processor has them and what lies there allows: the modules
    /// cannot be written to, and the kernel's image is not there at all, since its segments have rights of their own.
    ///
    /// Regions are rounded outwards to 2 MiB. Device memory that comes to lie in such a page stays uncached by its MTRR.
    fn map_direct(&mut self, boot: &BootInfo, frames: &mut Frames) {
        let image = image_physical(boot);
        let is_uniform = |block: &Range<u64>| {
            let mut special =
                boot.modules.iter().map(|module| &module.range).chain([&image]).map(whole_pages);
            special.all(|range| {
                let overlaps = range.start < block.end && block.start < range.end;
                !overlaps || range.start <= block.start && block.end <= range.end
            })
        };
        let sizes = if features::has_1gib_pages() { &PAGE_SIZES[..] } else { &PAGE_SIZES[1..] };
        let mut done = 0;
        for region in &boot.memory {
            let mut next = (region.range.start / Size2MiB::SIZE * Size2MiB::SIZE).max(done);
            while next < region.range.end {
                let fits = |&&size: &&u64| {
                    let ends_within = size < Size1GiB::SIZE || region.range.end - next >= size;
                    next.is_multiple_of(size) && ends_within && is_uniform(&(next..next + size))
                };
                let size = *sizes.iter().find(fits).unwrap_or(&PAGE_BYTES);
                let is_module = |module: &Module| whole_pages(&module.range).contains(&next);
                let flags = if boot.modules.iter().any(is_module) { RODATA } else { DATA };
                if !whole_pages(&image).contains(&next) {
                    let (page, frame) = (VirtAddr::new(DIRECT_MAP + next), PhysAddr::new(next));
                    match size {
                        Size1GiB::SIZE => {
                            self.map::<Size1GiB>(page, PhysFrame::containing_address(frame), flags, frames)
                        }
                        Size2MiB::SIZE => {
                            self.map::<Size2MiB>(page, PhysFrame::containing_address(frame), flags, frames)
                        }
                        _ => self.map::<Size4KiB>(page, PhysFrame::containing_address(frame), flags, frames),
                    }
                }
                next += size;
            }
            done = done.max(next);
        }
    }

    /// Map the kernel's image where it is linked.
    fn map_image(&mut self, boot: &BootInfo, frames: &mut Frames) {
        let [start, rodata, names] =
            [&raw const image_start, &raw const rodata_start, &raw const names_start]
                .map(|symbol| symbol as u64);
        let guard = boot_stack_guard_page();
        let segments = [
            (start..rodata, TEXT),
            (rodata..guard.start, RODATA),
            (guard.end..names, DATA),
            (symbols::table_range(), RODATA),
        ];
        for (segment, flags) in segments {
            for page in segment.step_by(PAGE_BYTES as usize) {
                let physical = PhysAddr::new(boot.kernel_physical + (page - start));
                let frame = PhysFrame::<Size4KiB>::containing_address(physical);
                self.map(VirtAddr::new(page), frame, flags, frames);
            }
        }
    }
}

/// Let this core understand the memory types of our pages, and refuse what this kernel never does: run code of the lower half, or
/// touch its data.
pub(crate) fn set_up_core() {
    let guards = features::guards();
    // SAFETY: every x86_64 has the PAT, and the entries in which it differs from the reset's are used by no page but ours. CPUID has
    // the guards, and no page of the kernel is a user's.
    unsafe {
        Msr::new(IA32_PAT).write(MEMORY_TYPES);
        Cr4::update(|cr4| cr4.insert(guards));
    }
}

/// Let bytes of the direct map be written to, or not; all of each page that they lie in. The other cores may still know the pages as
/// they were, up to [`forget_translations`].
pub(crate) fn set_writable(bytes: &[u8], writable: bool) {
    let root = DIRECT_MAP + ROOT.load(Ordering::Relaxed);
    // SAFETY: our tables are in use since the boot, and lie in the direct map; only the first core changes them, here.
    let mut tables = unsafe {
        OffsetPageTable::new(&mut *VirtAddr::new(root).as_mut_ptr::<PageTable>(), VirtAddr::new(DIRECT_MAP))
    };
    let Range { start: mut next, end } = whole_pages(&{
        let start = bytes.as_ptr().addr() as u64;
        start..start + bytes.len() as u64
    });
    while next < end {
        let at = VirtAddr::new(next);
        let TranslateResult::Mapped { frame, mut flags, .. } = tables.translate(at) else {
            panic!("{at:?} is to be writable or not, and is not mapped");
        };
        flags.set(PageTableFlags::WRITABLE, writable);
        // SAFETY: the page stays where it is, and nobody writes to what is read-only from now on.
        unsafe {
            match frame {
                MappedFrame::Size1GiB(_) => update::<Size1GiB>(&mut tables, at, flags),
                MappedFrame::Size2MiB(_) => update::<Size2MiB>(&mut tables, at, flags),
                MappedFrame::Size4KiB(_) => update::<Size4KiB>(&mut tables, at, flags),
            }
        }
        next = (next / frame.size() + 1) * frame.size();
    }
}

/// Give the page at an address these flags.
///
/// # Safety
/// As with [`Mapper::update_flags`].
unsafe fn update<S: PageSize>(tables: &mut OffsetPageTable<'_>, at: VirtAddr, flags: PageTableFlags)
where
    for<'t> OffsetPageTable<'t>: Mapper<S>,
{
    // SAFETY: by the caller.
    match unsafe { tables.update_flags(Page::<S>::containing_address(at), flags - PageTableFlags::HUGE_PAGE) }
    {
        Ok(changed) => changed.flush(),
        Err(error) => panic!("cannot change the page at {at:?}: {error:?}"),
    }
}

/// Let this core look at the page tables anew.
pub(crate) fn forget_translations() {
    tlb::flush_all();
}

/// Return the page below the boot's stack, which is not mapped.
pub(super) fn boot_stack_guard_page() -> Range<u64> {
    let start = &raw const boot_stack_guard as u64;
    start..start + PAGE_BYTES
}

/// Return the physical addresses of the kernel's image.
pub(super) fn image_physical(boot: &BootInfo) -> Range<u64> {
    let linked = image_physical_as_linked();
    boot.kernel_physical..boot.kernel_physical + (linked.end - linked.start)
}

/// Return a range with the rest of its first and last page.
fn whole_pages(range: &Range<u64>) -> Range<u64> {
    range.start / PAGE_BYTES * PAGE_BYTES..range.end.next_multiple_of(PAGE_BYTES)
}

/// Return the physical addresses that the kernel's image is linked to.
pub(crate) fn image_physical_as_linked() -> Range<u64> {
    let end = symbols::table_range().end.next_multiple_of(PAGE_BYTES);
    &raw const image_start as u64 - KERNEL_BASE..end - KERNEL_BASE
}

/// Return the word at an address, if our page tables are in use and have it. For the report of a failure, which must not fail itself.
pub(crate) fn read_word(address: u64) -> Option<u64> {
    if !address.is_multiple_of(size_of::<u64>() as u64) {
        return None;
    }
    let address = VirtAddr::try_new(address).ok()?;
    let mut table = Some(ROOT.load(Ordering::Relaxed)).filter(|&root| root != 0)?;
    for index in [address.p4_index(), address.p3_index(), address.p2_index(), address.p1_index()] {
        // SAFETY: our page tables lie in RAM, which the direct map has.
        let tables = unsafe { &*((DIRECT_MAP + table) as *const PageTable) };
        let entry = &tables[index];
        if !entry.flags().contains(PageTableFlags::PRESENT) {
            return None;
        }
        if entry.flags().contains(PageTableFlags::HUGE_PAGE) {
            break;
        }
        table = entry.addr().as_u64();
    }
    // SAFETY: the page is mapped, and reading memory of the kernel does nothing.
    Some(unsafe { address.as_ptr::<u64>().read_volatile() })
}
