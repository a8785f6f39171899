//! Who has which byte of the machine's memory, when the kernel has set itself up.

use arrayvec::ArrayVec;

use super::Memory;
use super::paging::image_physical;
use crate::boot::{BootInfo, RegionKind};

/// What the memory is used for, and how many bytes of it; all together are [`BootInfo::memory_bytes`].
pub(crate) type Account = ArrayVec<(&'static str, u64), 9>;

/// Return what becomes of all memory of which the heap has `heap_bytes`.
pub(super) fn account(boot: &BootInfo, memory: &Memory, heap_bytes: u64) -> Account {
    let bytes_of = |kind| boot.ranges(kind).map(|range| range.end - range.start).sum::<u64>();
    let image = image_physical(boot);
    let image_bytes = image.end - image.start;
    let modules_bytes = boot.modules.iter().map(|module| module.range.end - module.range.start).sum();
    let kept_bytes = bytes_of(RegionKind::Kept);
    let reclaimable_bytes = bytes_of(RegionKind::LoaderReclaimable);
    let loader_bytes = if memory.loader_is_left { 0 } else { reclaimable_bytes };
    let taken_bytes = bytes_of(RegionKind::Free) + reclaimable_bytes - loader_bytes;
    let Memory { frames_bytes, stack_bytes, .. } = *memory;
    let spare_bytes = memory.frames.free_bytes();
    Account::from([
        ("image", image_bytes),
        ("modules", modules_bytes),
        ("firmware", kept_bytes - image_bytes - modules_bytes),
        ("loader", loader_bytes),
        ("low memory", taken_bytes - frames_bytes),
        ("page tables", frames_bytes - stack_bytes - heap_bytes - spare_bytes),
        ("stacks", stack_bytes),
        ("heap", heap_bytes),
        ("spare", spare_bytes),
    ])
}
