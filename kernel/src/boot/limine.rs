//! Limine's door: the requests that its protocol (base revision 2) answers in place, read into a [`BootInfo`].

use arrayvec::{ArrayString, ArrayVec};
use limine::BaseRevision;
use limine::memory_map::EntryType;
use limine::request::{
    BootloaderInfoRequest, ExecutableAddressRequest, ExecutableCmdlineRequest, HhdmRequest, MemoryMapRequest,
    ModuleRequest,
};

use super::{BootInfo, MAX_MODULES, MAX_REGIONS, Module, Region, RegionKind, file_name, text};

/// The oldest revision with which current versions of Limine load us as they did with 8.2.
#[used]
#[unsafe(link_section = ".limine_requests")]
static BASE_REVISION: BaseRevision = BaseRevision::with_revision(2);

#[used]
#[unsafe(link_section = ".limine_requests")]
static LOADER: BootloaderInfoRequest = BootloaderInfoRequest::new();

#[used]
#[unsafe(link_section = ".limine_requests")]
static COMMAND_LINE: ExecutableCmdlineRequest = ExecutableCmdlineRequest::new();

#[used]
#[unsafe(link_section = ".limine_requests")]
static MEMORY_MAP: MemoryMapRequest = MemoryMapRequest::new();

#[used]
#[unsafe(link_section = ".limine_requests")]
static MODULES: ModuleRequest = ModuleRequest::new();

#[used]
#[unsafe(link_section = ".limine_requests")]
static EXECUTABLE_ADDRESS: ExecutableAddressRequest = ExecutableAddressRequest::new();

#[used]
#[unsafe(link_section = ".limine_requests")]
static DIRECT_MAP: HhdmRequest = HhdmRequest::new();

/// Return what Limine answered. Panics if an answer is missing without which nothing can be done.
pub(crate) fn boot_info() -> BootInfo {
    assert!(BASE_REVISION.is_supported(), "Limine is too old: base revision 2 is needed, Limine 8.2 has it");
    let direct_map = DIRECT_MAP.get_response().expect("Limine tells its direct map").offset();
    let address = EXECUTABLE_ADDRESS.get_response().expect("Limine tells the kernel's address");

    let modules = MODULES.get_response().map_or(&[][..], |modules| modules.modules());
    BootInfo {
        loader: loader(),
        command_line: COMMAND_LINE
            .get_response()
            .map_or_else(ArrayString::new, |line| text(line.cmdline().to_bytes())),
        memory: memory(),
        modules: modules.iter().take(MAX_MODULES).map(|file| module(file, direct_map)).collect(),
        modules_left_out: modules.len().saturating_sub(MAX_MODULES),
        kernel_physical: address.physical_base(),
        direct_map,
    }
}

/// Return "Limine 8.2.0".
fn loader() -> ArrayString<64> {
    let mut name = ArrayString::new();
    if let Some(loader) = LOADER.get_response() {
        for part in [loader.name(), " ", loader.version()] {
            name.push_str(&text::<31>(part.as_bytes()));
        }
    }
    name
}

/// Return the RAM of Limine's map, which is sorted. Its usable and reclaimable entries overlap nothing and are page-aligned.
fn memory() -> ArrayVec<Region, MAX_REGIONS> {
    let map = MEMORY_MAP.get_response().expect("Limine gives a memory map");
    let region = |entry: &&limine::memory_map::Entry| {
        let kind = match entry.entry_type {
            EntryType::USABLE => RegionKind::Free,
            EntryType::BOOTLOADER_RECLAIMABLE => RegionKind::LoaderReclaimable,
            EntryType::EXECUTABLE_AND_MODULES | EntryType::ACPI_RECLAIMABLE | EntryType::ACPI_NVS => {
                RegionKind::Kept
            }
            _ => return None,
        };
        Some(Region { range: entry.base..entry.base + entry.length, kind })
    };
    map.entries().iter().filter_map(region).collect()
}

/// Return a module, whose address Limine gives within its direct map.
fn module(file: &limine::file::File, direct_map: u64) -> Module {
    let start = file.addr() as u64 - direct_map;
    Module { name: text(file_name(file.path().to_bytes())), range: start..start + file.size() }
}
