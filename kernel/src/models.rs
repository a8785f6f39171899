//! The model files: what the loader brought, with archives opened.
//!
//! PVH carries one initrd, so several models come as one tar; an archive among Limine's modules is opened likewise. The bytes stay
//! where they are. Whether a file is a model at all is the engine's question.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use tar_no_std::TarArchiveRef;

use crate::boot::BootInfo;
use crate::memory;

/// A file as [`shell::ModelFile`] wants it, with a name of its own.
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) bytes: &'static [u8],
}

/// Return the files in the modules. The log tells what cannot be read.
pub(crate) fn files(boot: &BootInfo) -> Vec<File> {
    let mut files = Vec::new();
    for module in &boot.modules {
        // SAFETY: modules lie in RAM, and their frames are never handed out.
        let bytes = unsafe { memory::physical_bytes(&module.range) };
        if !is_tar(bytes) {
            files.push(File { name: module.name.to_string(), bytes });
            continue;
        }
        match TarArchiveRef::new(bytes) {
            Ok(archive) => files.extend(archive.entries().map(|entry| File {
                name: last_part(entry.filename().as_str().unwrap_or("not UTF-8")),
                bytes: entry.data(),
            })),
            Err(error) => log::warn!("{}: not a whole tar archive: {error}", module.name),
        }
    }
    files
}

/// Return whether this is a tar archive: POSIX and GNU headers have "ustar" at byte 257 (POSIX.1-2017, pax, "ustar Interchange Format").
fn is_tar(bytes: &[u8]) -> bool {
    bytes.get(257..262) == Some(b"ustar")
}

fn last_part(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_string()
}
