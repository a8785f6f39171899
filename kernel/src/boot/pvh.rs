//! The PVH door: the start info of Xen's `arch-x86/hvm/start_info.h`, which QEMU's `-kernel` gives too, read into a [`BootInfo`].
//!
//! The structures lie anywhere below 4 GiB, in memory that the map calls usable; so do the modules. They are read here before
//! anything is allocated, and the modules' and the kernel's ranges are cut out of what is free.

use core::ffi::CStr;
use core::ops::Range;

use arrayvec::{ArrayString, ArrayVec};

use super::{BootInfo, MAX_MODULES, MAX_REGIONS, Module, OtherCores, Region, RegionKind, file_name, text};
use crate::drivers::cmos;
use crate::memory::{DIRECT_MAP, image_physical_as_linked};

const MAGIC: u32 = 0x336e_c578;

/// `struct hvm_start_info`, version 1.
#[derive(Clone, Copy)]
#[repr(C)]
struct StartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    module_count: u32,
    module_list: u64,
    command_line: u64,
    rsdp: u64,
    memory_map: u64,
    memory_map_count: u32,
    reserved: u32,
}

/// `struct hvm_modlist_entry`.
#[derive(Clone, Copy)]
#[repr(C)]
struct ModuleEntry {
    address: u64,
    bytes: u64,
    command_line: u64,
    reserved: u64,
}

/// `struct hvm_memmap_table_entry`.
#[derive(Clone, Copy)]
#[repr(C)]
struct MemoryMapEntry {
    address: u64,
    bytes: u64,
    kind: u32,
    reserved: u32,
}

/// E820 types (ACPI 6.5, table 15.3).
const RAM: u32 = 1;
const ACPI_RECLAIMABLE: u32 = 3;
const ACPI_NVS: u32 = 4;

/// The entry maps so much of physical memory.
const MAPPED_BYTES: u64 = 4 << 30;

/// Return what the loader's start info says.
///
/// # Safety
/// `start_info` is the physical address of the start info, and the page tables are the entry's.
pub(crate) unsafe fn boot_info(start_info: u64) -> BootInfo {
    // SAFETY: by the caller; every address below is one that the loader gives for the purpose.
    unsafe {
        let info: StartInfo = read(start_info, 0);
        assert!(
            info.magic == MAGIC && info.version >= 1,
            "the PVH start info has magic {:#x} and version {}, not {MAGIC:#x} and at least 1",
            info.magic,
            info.version,
        );
        let command_line = c_string(info.command_line);
        let modules = modules(&info, &command_line);
        let memory = memory(&info, &modules);
        BootInfo {
            loader: text(b"PVH"),
            command_line,
            memory,
            modules,
            modules_left_out: (info.module_count as usize).saturating_sub(MAX_MODULES),
            framebuffer: None,
            kernel_physical: image_physical_as_linked().start,
            rsdp: (info.rsdp != 0).then_some(info.rsdp),
            date: cmos::date(),
            other_cores: OtherCores::Asleep,
            direct_map: DIRECT_MAP,
        }
    }
}

/// Return the modules. A module has no name in PVH, but it may have a command line, whose first word then is its path. QEMU
/// gives its initrd none; so the first module is called by the kernel's own `initrd=NAME`, else "initrd".
unsafe fn modules(info: &StartInfo, command_line: &str) -> ArrayVec<Module, MAX_MODULES> {
    let module = |index: u32| {
        // SAFETY: the list has this many entries, by the caller.
        let (entry, words): (ModuleEntry, ArrayString<4096>) = unsafe {
            let entry: ModuleEntry = read(info.module_list, index);
            (entry, c_string(entry.command_line))
        };
        let own_name = words.split_whitespace().next();
        let name = own_name.or(shell::option(command_line, "initrd")).unwrap_or("initrd");
        Module { name: text(file_name(name.as_bytes())), range: entry.address..entry.address + entry.bytes }
    };
    (0..info.module_count).take(MAX_MODULES).map(module).collect()
}

/// Return the RAM of the map, sorted, with the kernel and the modules cut out of what is free.
unsafe fn memory(info: &StartInfo, modules: &[Module]) -> ArrayVec<Region, MAX_REGIONS> {
    let mut kept: ArrayVec<Range<u64>, { MAX_MODULES + 1 }> =
        modules.iter().map(|module| module.range.clone()).collect();
    kept.push(image_physical_as_linked()); // where a PVH loader puts it
    kept.sort_unstable_by_key(|range| range.start);

    let mut regions = ArrayVec::new();
    for index in 0..info.memory_map_count {
        // SAFETY: the map has this many entries, by the caller.
        let entry: MemoryMapEntry = unsafe { read(info.memory_map, index) };
        let range = entry.address..entry.address + entry.bytes;
        match entry.kind {
            RAM => cut(range, &kept, &mut regions),
            ACPI_RECLAIMABLE | ACPI_NVS => regions.push(Region { range, kind: RegionKind::Kept }),
            _ => {}
        }
    }
    regions.sort_unstable_by_key(|region| region.range.start);
    regions
}

/// Split RAM into what is free and what is `kept`, which is sorted and may begin or end anywhere.
fn cut(ram: Range<u64>, kept: &[Range<u64>], regions: &mut ArrayVec<Region, MAX_REGIONS>) {
    let mut put = |range: Range<u64>, kind| {
        if !range.is_empty() {
            regions.push(Region { range, kind });
        }
    };
    let mut next = ram.start;
    for range in kept {
        let start = range.start.clamp(next, ram.end);
        let end = range.end.clamp(next, ram.end);
        put(next..start, RegionKind::Free);
        put(start..end, RegionKind::Kept);
        next = end;
    }
    put(next..ram.end, RegionKind::Free);
}

/// Return entry `index` of the table at a physical address.
///
/// # Safety
/// The table is there and has such an entry.
unsafe fn read<T: Copy>(table: u64, index: u32) -> T {
    let address = table + u64::from(index) * size_of::<T>() as u64;
    assert!(
        address < MAPPED_BYTES - size_of::<T>() as u64,
        "the loader's structure at {address:#x} is above 4 GiB, where the kernel's entry does not reach"
    );
    // SAFETY: the entry maps this address at the direct map's; the rest is the caller's.
    unsafe { ((DIRECT_MAP + address) as *const T).read_unaligned() }
}

/// Return the text at a physical address, where 0 means that there is none.
///
/// # Safety
/// A zero-terminated string is there.
unsafe fn c_string<const N: usize>(address: u64) -> ArrayString<N> {
    if address == 0 {
        return ArrayString::new();
    }
    // SAFETY: the assertion in `read` covers the first byte; the rest is the caller's.
    unsafe {
        let _: u8 = read(address, 0);
        text(CStr::from_ptr((DIRECT_MAP + address) as *const _).to_bytes())
    }
}
