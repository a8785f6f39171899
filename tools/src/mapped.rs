//! Files too large for memory: described from a map, their weights read.
//!
//! A page of a map that was looked at counts as this process's memory. So only what describes a file is looked at there; the
//! weights are read from the place in the file that the map tells.

use std::fs::File;
use std::ops::Deref;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use memmap2::MmapMut;

use crate::loading::map;

/// A file that is open, and all of its bytes.
#[derive(Debug)]
pub(crate) struct MappedFile {
    path: PathBuf,
    file: File,
    map: MmapMut,
}

impl MappedFile {
    /// Open the file `path`.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        let map = map(&file).with_context(|| format!("cannot map {}", path.display()))?;
        Ok(Self { path: path.to_path_buf(), file, map })
    }

    /// Return where the file is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Return where `part`, a slice of this map, begins in the file.
    pub(crate) fn offset_of(&self, part: &[u8]) -> u64 {
        (part.as_ptr().addr() - self.map.as_ptr().addr()) as u64
    }

    /// Fill `bytes` with those of the file from `offset` on.
    pub(crate) fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        let n_bytes = bytes.len();
        self.file
            .read_exact_at(bytes, offset)
            .with_context(|| format!("{}: cannot read {n_bytes} bytes at {offset}", self.path.display()))
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}
