//! Limine's door: the requests that its protocol (base revision 2) answers in place, read into a [`BootInfo`].

use arrayvec::{ArrayString, ArrayVec};
use clock::Date;
use limine::BaseRevision;
use limine::framebuffer::MemoryModel;
use limine::memory_map::EntryType;
use limine::request::{
    BootloaderInfoRequest, DateAtBootRequest, ExecutableAddressRequest, ExecutableFileRequest,
    FramebufferRequest, HhdmRequest, MemoryMapRequest, ModuleRequest, MpRequest, RsdpRequest,
};
use screen::{Channel, Layout};

use super::{
    BootInfo, Framebuffer, MAX_MODULES, MAX_REGIONS, Module, OtherCores, Region, RegionKind, file_name, text,
};
use crate::arch::core_entry::core_entry;

/// The oldest revision with which current versions of Limine load us as they did with 8.2.
#[used]
#[unsafe(link_section = ".limine_requests")]
static BASE_REVISION: BaseRevision = BaseRevision::with_revision(2);

#[used]
#[unsafe(link_section = ".limine_requests")]
static LOADER: BootloaderInfoRequest = BootloaderInfoRequest::new();

#[used]
#[unsafe(link_section = ".limine_requests")]
static KERNEL: ExecutableFileRequest = ExecutableFileRequest::new();

#[used]
#[unsafe(link_section = ".limine_requests")]
static MEMORY_MAP: MemoryMapRequest = MemoryMapRequest::new();

#[used]
#[unsafe(link_section = ".limine_requests")]
static MODULES: ModuleRequest = ModuleRequest::new();

#[used]
#[unsafe(link_section = ".limine_requests")]
static FRAMEBUFFERS: FramebufferRequest = FramebufferRequest::new();

#[used]
#[unsafe(link_section = ".limine_requests")]
static EXECUTABLE_ADDRESS: ExecutableAddressRequest = ExecutableAddressRequest::new();

#[used]
#[unsafe(link_section = ".limine_requests")]
static DIRECT_MAP: HhdmRequest = HhdmRequest::new();

#[used]
#[unsafe(link_section = ".limine_requests")]
static CORES: MpRequest = MpRequest::new();

#[used]
#[unsafe(link_section = ".limine_requests")]
static RSDP: RsdpRequest = RsdpRequest::new();

#[used]
#[unsafe(link_section = ".limine_requests")]
static DATE: DateAtBootRequest = DateAtBootRequest::new();

/// Return what Limine answered. Panics if an answer is missing without which nothing can be done.
pub(crate) fn boot_info() -> BootInfo {
    assert!(BASE_REVISION.is_supported(), "Limine is too old: base revision 2 is needed, Limine 8.2 has it");
    let direct_map = DIRECT_MAP.get_response().expect("Limine tells its direct map").offset();
    let address = EXECUTABLE_ADDRESS.get_response().expect("Limine tells the kernel's address");

    let modules = MODULES.get_response().map_or(&[][..], |modules| modules.modules());
    BootInfo {
        loader: loader(),
        // There is a request for the line alone, which Limine 8.2 does not know.
        command_line: KERNEL
            .get_response()
            .map_or_else(ArrayString::new, |kernel| text(kernel.file().string().to_bytes())),
        memory: memory(),
        modules: modules.iter().take(MAX_MODULES).map(|file| module(file, direct_map)).collect(),
        modules_left_out: modules.len().saturating_sub(MAX_MODULES),
        framebuffer: framebuffer(direct_map),
        kernel_physical: address.physical_base(),
        // Of this revision, its address is one in the direct map.
        rsdp: RSDP.get_response().and_then(|rsdp| (rsdp.address() as u64).checked_sub(direct_map)),
        date: DATE.get_response().and_then(|date| Date::after_1970(date.timestamp().as_secs() as i64)),
        other_cores: other_cores(),
        direct_map,
    }
}

/// Send the cores that Limine has started to our entry, and return them.
fn other_cores() -> OtherCores {
    let Some(cores) = CORES.get_response() else { return OtherCores::Waiting(0) };
    let first = cores.bsp_lapic_id();
    let others = cores.cpus().iter().filter(|core| core.lapic_id != first);
    OtherCores::Waiting(others.map(|core| core.goto_address.write(core_entry)).count())
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

/// Return the first screen; a machine with several has the loader's own text on that one too. Its address is in the direct map.
fn framebuffer(direct_map: u64) -> Option<Framebuffer> {
    let found = FRAMEBUFFERS.get_response()?.framebuffers().next()?;
    let channel = |shift, bits| Channel { shift, bits };
    let layout = Layout {
        width: found.width() as usize,
        height: found.height() as usize,
        pitch: found.pitch() as usize,
        bits_per_pixel: found.bpp().into(),
        red: channel(found.red_mask_shift(), found.red_mask_size()),
        green: channel(found.green_mask_shift(), found.green_mask_size()),
        blue: channel(found.blue_mask_shift(), found.blue_mask_size()),
    };
    let start = found.addr() as u64 - direct_map;
    let is_rgb = found.memory_model() == MemoryModel::RGB;
    is_rgb.then_some(Framebuffer { range: start..start + layout.bytes()? as u64, layout })
}

/// Return a module, whose address Limine gives within its direct map.
fn module(file: &limine::file::File, direct_map: u64) -> Module {
    let start = file.addr() as u64 - direct_map;
    Module { name: text(file_name(file.path().to_bytes())), range: start..start + file.size() }
}
