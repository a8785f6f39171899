//! The names of the kernel's functions, put behind its image, so that its reports have them (kernel/src/arch/symbols.rs reads them).
//!
//! What an ELF file has of names is no part of what a loader brings into memory. So the kernel's last segment, which is empty as
//! linked, is given a table, and what belongs to no segment, three quarters of the file, is left out: Limine takes memory for all of
//! it, in one piece, which a machine of 128 MiB may not have. The table: little-endian 32-bit words for its length in bytes and for the
//! number of functions; for each function, by ascending address, how far it begins above the image's start and how far its name begins
//! above the table's; then the names.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use object::elf::{FileHeader64, PT_LOAD};
use object::read::elf::ElfFile64;
use object::read::elf::{FileHeader, ProgramHeader};
use object::{LittleEndian, Object, ObjectSymbol, SymbolKind};
use rustc_demangle::demangle;

/// The bytes of a program header, and where in it stand the segment's place in the file, its size there and its size in memory
/// (`Elf64_Phdr`).
const PROGRAM_HEADER_BYTES: usize = 56;
const OFFSET: usize = 8;
const FILE_BYTES: usize = 32;
const MEMORY_BYTES: usize = 40;

/// Where the file's header says what sections there are: their place, 8 bytes; their number and the one with their names, 2 bytes each
/// (`Elf64_Ehdr`).
const SECTIONS: [Range<usize>; 2] = [40..48, 60..64];

/// Segments begin at pages.
const PAGE_BYTES: usize = 4096;

/// Write the kernel with the names of its functions into `dir`, and return where. A file that is no kernel of ours is an error.
pub fn with_symbols(kernel: &Path, dir: &Path) -> Result<PathBuf> {
    let in_kernel = || format!("the kernel {}", kernel.display());
    let file = fs::read(kernel).with_context(|| format!("{}; `make kernel` builds it", in_kernel()))?;
    let named = named(file).with_context(in_kernel)?;
    fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    let output = dir.join("bootlm-kernel-named");
    // Another run may be reading the file that is there.
    let scratch = tempfile::NamedTempFile::new_in(dir).with_context(|| dir.display().to_string())?;
    fs::write(&scratch, named)
        .and_then(|()| Ok(scratch.persist(&output)?))
        .with_context(|| output.display().to_string())?;
    Ok(output)
}

/// Return the kernel `file` with the names of its functions.
fn named(mut file: Vec<u8>) -> Result<Vec<u8>> {
    let (table, header_at, end) = {
        let elf = ElfFile64::<LittleEndian>::parse(file.as_slice())?;
        let symbols: BTreeMap<_, _> =
            elf.symbols().filter_map(|symbol| Some((symbol.name().ok()?, symbol.address()))).collect();
        let address = |name: &str| {
            symbols
                .get(name)
                .copied()
                .with_context(|| format!("no symbol {name}; it has to be the file that the linker wrote"))
        };
        let (image_start, names_start) = (address("image_start")?, address("names_start")?);
        let functions: BTreeMap<u64, String> = elf
            .symbols()
            .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.is_definition())
            .filter_map(|symbol| Some((symbol.address(), format!("{:#}", demangle(symbol.name().ok()?)))))
            .collect();
        let header = elf.elf_header();
        let segments = header.program_headers(LittleEndian, file.as_slice())?;
        let index = segments
            .iter()
            .position(|segment| {
                segment.p_type(LittleEndian) == PT_LOAD && segment.p_vaddr(LittleEndian) == names_start
            })
            .context("no segment begins at names_start")?;
        let end = segments.iter().map(|it| it.p_offset(LittleEndian) + it.p_filesz(LittleEndian)).max();
        (
            table(&functions, image_start)?,
            FileHeader64::e_phoff(header, LittleEndian) as usize + index * PROGRAM_HEADER_BYTES,
            end.context("no segments")? as usize,
        )
    };
    file.truncate(end);
    SECTIONS.into_iter().for_each(|field| file[field].fill(0));
    let at = end.next_multiple_of(PAGE_BYTES);
    file.resize(at, 0);
    file.extend_from_slice(&table);
    for (field, value) in [(OFFSET, at), (FILE_BYTES, table.len()), (MEMORY_BYTES, table.len())] {
        file[header_at + field..][..size_of::<u64>()].copy_from_slice(&(value as u64).to_le_bytes());
    }
    Ok(file)
}

/// Return the table of `functions`, which have addresses above `image_start`.
fn table(functions: &BTreeMap<u64, String>, image_start: u64) -> Result<Vec<u8>> {
    ensure!(!functions.is_empty(), "it names no functions; was it stripped?");
    let mut name_at = 8 + 8 * functions.len();
    let mut words = Vec::new();
    for (address, name) in functions {
        words.extend([
            address.checked_sub(image_start).context("a function lies below the image")? as usize,
            name_at,
        ]);
        name_at += name.len();
    }
    let words = [name_at, functions.len()].into_iter().chain(words);
    let mut table = Vec::with_capacity(name_at);
    for word in words {
        table.extend(u32::try_from(word)?.to_le_bytes());
    }
    functions.values().for_each(|name| table.extend(name.as_bytes()));
    Ok(table)
}
