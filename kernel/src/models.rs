//! The model files: what the loader brought, with archives opened.
//!
//! PVH carries one initrd, so several models come as one tar; an archive among Limine's modules is opened likewise. The bytes stay
//! where they are. Whether a file is a model at all is the engine's question.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::Range;

use tar_no_std::TarArchiveRef;

use crate::boot::BootInfo;
use crate::memory;

/// A file as [`shell::ModelFile`] wants it, with a name of its own.
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) bytes: &'static mut [u8],
}

/// Return the files in the modules. The log tells what cannot be read.
pub(crate) fn files(boot: &BootInfo) -> Vec<File> {
    let mut files = Vec::new();
    for module in &boot.modules {
        // SAFETY: modules lie in RAM, and their frames are never handed out; this is the one place that takes them.
        let bytes = unsafe { memory::physical_bytes(&module.range) };
        if !is_tar(bytes) {
            files.push(File { name: module.name.to_string(), bytes });
            continue;
        }
        let entries = match TarArchiveRef::new(bytes) {
            Ok(archive) => entries(&archive, bytes),
            Err(error) => {
                log::warn!("{}: not a whole tar archive: {error}", module.name);
                continue;
            }
        };
        let (mut rest, mut at) = (bytes, 0);
        for (name, range) in entries {
            let (_, others) = rest.split_at_mut(range.start - at);
            let (data, others) = others.split_at_mut(range.len());
            (rest, at) = (others, range.end);
            files.push(File { name, bytes: data });
        }
    }
    files
}

/// Return the names of an archive's files, and where in `bytes` they lie, in ascending order.
fn entries(archive: &TarArchiveRef<'_>, bytes: &[u8]) -> Vec<(String, Range<usize>)> {
    let entries = archive.entries().map(|entry| {
        let start = entry.data().as_ptr().addr() - bytes.as_ptr().addr();
        let name = last_part(entry.filename().as_str().unwrap_or("not UTF-8"));
        (name, start..start + entry.data().len())
    });
    entries.collect()
}

/// Return whether this is a tar archive: POSIX and GNU headers have "ustar" at byte 257 (POSIX.1-2017, pax, "ustar Interchange Format").
fn is_tar(bytes: &[u8]) -> bool {
    bytes.get(257..262) == Some(b"ustar")
}

fn last_part(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_string()
}
