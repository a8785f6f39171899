//! The names of the kernel's functions: a table behind the image, which `bootlm` fills in when it packs or boots a kernel
//! (tools/src/symbols.rs has the same layout).
//!
//! Little-endian 32-bit words: how long the table is in bytes, and how many functions it names; for each, by ascending address, how far
//! it begins above the image's start and how far its name begins above the table's; then the names, one behind the other. A kernel as
//! it was linked has a length of 0, and its reports have addresses alone.

use core::fmt;
use core::ops::Range;

// From the linker script. Only their addresses mean anything.
unsafe extern "C" {
    static image_start: u8;
    static text_end: u8;
    static names_start: u8;
}

/// The words before the functions'.
const HEADER_BYTES: usize = 8;

/// Return the addresses of the table, at least one word.
pub(crate) fn table_range() -> Range<u64> {
    let start = &raw const names_start;
    // SAFETY: the table has two words even where nobody filled it in, and the loader has put it there.
    let bytes = unsafe { start.cast::<u32>().read() };
    start as u64..start as u64 + u64::from(bytes).max(HEADER_BYTES as u64)
}

/// Return whether an address is that of an instruction of the kernel.
pub(super) fn is_code(address: u64) -> bool {
    (&raw const image_start as u64..&raw const text_end as u64).contains(&address)
}

/// An address that shows itself with its function's name: `0xffffffff80201234 in kernel::main + 0x34`.
#[derive(Clone, Copy)]
pub(crate) struct Symbol(pub(crate) u64);

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(address) = *self;
        match find(address) {
            Some((name, offset)) => write!(f, "{address:#018x} in {name} + {offset:#x}"),
            None => write!(f, "{address:#018x}"),
        }
    }
}

/// Return the function that has this address, and how far above its start it is.
fn find(address: u64) -> Option<(&'static str, u64)> {
    let range = is_code(address).then(table_range)?;
    // SAFETY: the table is this long, by its own first word, and nobody writes to it.
    let table =
        unsafe { core::slice::from_raw_parts(range.start as *const u8, (range.end - range.start) as usize) };
    let word = |index: usize| {
        let bytes = table.get(4 * index..4 * index + 4)?;
        bytes.try_into().map(u32::from_le_bytes).ok()
    };
    let n_functions = word(1)? as usize;
    let wanted = address - &raw const image_start as u64;
    // The last one that begins there or before.
    let (mut low, mut high) = (0, n_functions);
    while low < high {
        let middle = low + (high - low) / 2;
        if u64::from(word(2 + 2 * middle)?) <= wanted { low = middle + 1 } else { high = middle }
    }
    let index = low.checked_sub(1)?;
    let name_end = if low < n_functions { word(3 + 2 * low)? as usize } else { table.len() };
    let name = table.get(word(3 + 2 * index)? as usize..name_end)?;
    Some((core::str::from_utf8(name).ok()?, wanted - u64::from(word(2 + 2 * index)?)))
}
