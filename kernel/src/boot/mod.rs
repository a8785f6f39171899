//! What the loader left: two doors, one [`BootInfo`]. Nothing past this module knows which door it was.
//!
//! Everything is copied out of the loader's memory, except for the modules' bytes: those are used where they are.

pub(crate) mod limine;
pub(crate) mod pvh;

use core::ops::Range;

use arrayvec::{ArrayString, ArrayVec};
use clock::Date;
use screen::Layout;

/// The most regions of RAM that a memory map may have. The longest seen, by UEFI on a server, has some 100.
pub(crate) const MAX_REGIONS: usize = 512;
/// The most modules.
const MAX_MODULES: usize = 64;

/// The machine as the loader describes it.
pub(crate) struct BootInfo {
    /// The loader's name and version.
    pub(crate) loader: ArrayString<64>,
    /// The kernel's command line: words as [`shell::Options`] has them.
    pub(crate) command_line: ArrayString<4096>,
    /// All RAM, in ascending order, without overlap.
    pub(crate) memory: ArrayVec<Region, MAX_REGIONS>,
    /// The files that came with the kernel.
    pub(crate) modules: ArrayVec<Module, MAX_MODULES>,
    /// How many more files came for which there is no room in `modules`.
    pub(crate) modules_left_out: usize,
    /// The screen that the loader set up, if it did.
    pub(crate) framebuffer: Option<Framebuffer>,
    /// The physical address of the kernel's image.
    pub(crate) kernel_physical: u64,
    /// The physical address of the ACPI tables' root pointer, if the loader knows it.
    pub(crate) rsdp: Option<u64>,
    /// Which date it was when the kernel began, if the machine knows.
    pub(crate) date: Option<Date>,
    /// The cores beside the one that runs this.
    pub(crate) other_cores: OtherCores,
    /// The virtual address at which the loader's page tables map physical memory.
    pub(crate) direct_map: u64,
}

/// How the other cores are reached.
#[derive(Debug, Clone)]
pub(crate) enum OtherCores {
    /// The loader has started so many, and sent them to [`crate::arch::core_entry`].
    Waiting(usize),
    /// They sleep. The ACPI tables tell which there are.
    Asleep,
}

impl OtherCores {
    /// Return how many are on their way.
    pub(crate) fn n_waiting(&self) -> usize {
        match self {
            Self::Waiting(count) => *count,
            Self::Asleep => 0,
        }
    }
}

/// A range of RAM.
#[derive(Debug, Clone)]
pub(crate) struct Region {
    /// Physical addresses, not necessarily page-aligned.
    pub(crate) range: Range<u64>,
    pub(crate) kind: RegionKind,
}

/// Who uses a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RegionKind {
    /// Nobody.
    Free,
    /// The loader, until its page tables and structures are left behind.
    LoaderReclaimable,
    /// The kernel's image, modules, or the firmware's tables: to be left as they are.
    Kept,
}

/// A file that the loader put into memory.
#[derive(Debug, Clone)]
pub(crate) struct Module {
    /// Its name without a path, cut off at the end if it is very long.
    pub(crate) name: ArrayString<128>,
    /// Physical addresses.
    pub(crate) range: Range<u64>,
}

/// A screen as memory.
#[derive(Debug, Clone)]
pub(crate) struct Framebuffer {
    /// Physical addresses.
    pub(crate) range: Range<u64>,
    pub(crate) layout: Layout,
}

impl BootInfo {
    /// Return the ranges of a kind.
    pub(crate) fn ranges(&self, kind: RegionKind) -> impl Iterator<Item = Range<u64>> {
        self.memory.iter().filter(move |region| region.kind == kind).map(|region| region.range.clone())
    }

    /// Return how much RAM there is, whoever uses it.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory.iter().map(|region| region.range.end - region.range.start).sum()
    }

    /// Return the value of the command line's first word `key=value`.
    pub(crate) fn option(&self, key: &str) -> Option<&str> {
        shell::option(&self.command_line, key)
    }

    /// Write all this to the log.
    pub(crate) fn log(&self) {
        log::info!("brought by {}, command line: {}", self.loader, self.command_line);
        match self.date {
            Some(date) => log::info!("the kernel began at {date}"),
            None => log::info!("this machine has no clock that knows the date"),
        }
        log::info!("memory: {} bytes in {} regions", self.memory_bytes(), self.memory.len());
        for Region { range, kind } in &self.memory {
            log::debug!("memory {:#014x} to {:#014x}: {kind:?}", range.start, range.end);
        }
        for Module { name, range } in &self.modules {
            log::info!("module {name}: {} bytes at {:#x}", range.end - range.start, range.start);
        }
        if self.modules_left_out > 0 {
            log::warn!(
                "{} more boot modules are left out: {MAX_MODULES} are read. A tar archive may hold any number of files.",
                self.modules_left_out,
            );
        }
    }
}

/// Return as much of a loader's text as there is room for. What is not UTF-8 ends it.
fn text<const N: usize>(bytes: &[u8]) -> ArrayString<N> {
    let valid = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let mut text = ArrayString::new();
    for character in valid.chars() {
        if text.try_push(character).is_err() {
            break;
        }
    }
    text
}

/// Return the last part of a path.
fn file_name(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or(path)
}
