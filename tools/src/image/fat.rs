//! A FAT32 file system around given files: how large it has to be, and its making.
//!
//! The rules are those of Microsoft's "FAT: General Overview of On-Disk Format" (fatgen103). The system is as large as the files
//! are: whoever wants other models makes another image, since the boot loader's configuration names each.

use std::fs::File;
use std::io::{self, Read, Write};

use anyhow::{Context, Result, ensure};
use fatfs::{Dir, FatType, FileSystem, FormatVolumeOptions, FsOptions, ReadWriteSeek};

use super::contents::{Contents, Entry};
use super::identity::{Epoch, Identity};
use super::partition::Partition;
use crate::progress::{Progress, Unit};

/// The longest file, 1 byte below 4 GiB: a directory has 32 bits for it.
pub(crate) const MAX_FILE_BYTES: u64 = u32::MAX as u64;

/// With fewer clusters it is no FAT32; they count from 65,525 on, and "16 more or less" are to be kept away from that.
const MIN_CLUSTERS: u64 = 65_525 + 16;

/// The smallest cluster is a sector, and larger ones than 32 KiB are not understood everywhere.
const SECTOR_BYTES: u64 = 512;
const MAX_CLUSTER_BYTES: u64 = 32 << 10;

/// What comes before the first FAT, more than fatfs keeps free; it also holds the boot sector and its copy.
const RESERVED_BYTES: u64 = 64 * SECTOR_BYTES;

/// A directory's entry for a name of 255 characters: 20 parts of 13 characters, and itself, of 32 bytes each.
const MAX_NAME_BYTES: u64 = 21 * 32;

/// The sizes of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    cluster_bytes: u64,
    /// All of it, in whole MiB.
    pub(super) size_bytes: u64,
    /// What comes before the first cluster, or nearly so.
    table_bytes: u64,
}

impl Layout {
    /// Return the smallest layout that has room for files of these sizes, with clusters as large as FAT32 lets them be: a boot loader
    /// follows them one by one.
    pub(super) fn of(sizes_bytes: &[u64]) -> Self {
        let mut cluster_bytes = MAX_CLUSTER_BYTES;
        while cluster_bytes > SECTOR_BYTES && n_clusters(sizes_bytes, cluster_bytes) < MIN_CLUSTERS {
            cluster_bytes /= 2;
        }
        let n_clusters = n_clusters(sizes_bytes, cluster_bytes).max(MIN_CLUSTERS);
        // Two FATs, whose entries are 32 bits.
        let table_bytes = RESERVED_BYTES + 2 * 4 * n_clusters;
        let size_bytes = (table_bytes + cluster_bytes * n_clusters).next_multiple_of(1 << 20);
        Self { cluster_bytes, size_bytes, table_bytes }
    }
}

/// Return how many clusters files of these sizes take, each beginning a new one, and the directories that list them.
fn n_clusters(sizes_bytes: &[u64], cluster_bytes: u64) -> u64 {
    let files: u64 = sizes_bytes.iter().map(|size| size.div_ceil(cluster_bytes)).sum();
    let directories = sizes_bytes.len() as u64 * (1 + MAX_NAME_BYTES.div_ceil(cluster_bytes));
    files + directories + 1
}

/// Return an error unless every file can be in a FAT, where Limine finds it.
pub(super) fn check(contents: &Contents) -> Result<()> {
    for Entry { path, size_bytes, .. } in &contents.entries {
        ensure!(
            *size_bytes <= MAX_FILE_BYTES,
            "{path} has {size_bytes} bytes; a file in a FAT file system has at most {MAX_FILE_BYTES}"
        );
        // Limine compares the lower halves of UTF-16 with bytes.
        ensure!(
            path.is_ascii(),
            "{path}: Limine finds only ASCII names in a FAT file system; rename the file"
        );
    }
    Ok(())
}

/// Make the file system in `image` from the byte `start` on, where `layout.size_bytes` bytes are zero, and copy the files into it.
pub(super) fn write(
    image: &File,
    start: u64,
    layout: Layout,
    contents: &Contents,
    identity: &Identity,
) -> Result<()> {
    let mut partition =
        Partition::new(image, start, layout.size_bytes, usize::try_from(layout.table_bytes)?)?;
    let volume_id = identity.guid("file system").as_fields().0;
    let options = FormatVolumeOptions::new()
        .fat_type(FatType::Fat32)
        .bytes_per_cluster(u32::try_from(layout.cluster_bytes)?)
        .volume_id(volume_id)
        .volume_label(*b"BOOTLM     ");
    fatfs::format_volume(&mut partition, options).context("cannot make a FAT file system")?;

    // fatfs wants what tells it the time to live for ever: 12 bytes for every image that one run makes.
    let epoch: &'static Epoch = Box::leak(Box::new(identity.epoch));
    let options = FsOptions::new().time_provider(epoch).update_accessed_date(false);
    let system = FileSystem::new(&mut partition, options).context("cannot open the FAT file system")?;
    let n_bytes = contents.entries.iter().map(|entry| entry.size_bytes).sum();
    let mut progress = Progress::new("packing", Unit::Bytes, Some(n_bytes));
    for entry in &contents.entries {
        let cannot = || format!("cannot pack {}", entry.source.display());
        let mut source = File::open(&entry.source).with_context(cannot)?;
        copy(&mut source, &system.root_dir(), &entry.path, &mut progress).with_context(cannot)?;
    }
    system.unmount().and_then(|()| partition.finish()).context("cannot finish the FAT file system")
}

/// Copy `source` to the file `path` below `root`, with the folders that lead to it.
fn copy<T: ReadWriteSeek>(
    source: &mut File,
    root: &Dir<'_, T>,
    path: &str,
    progress: &mut Progress,
) -> io::Result<()> {
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    let mut dir = root.clone();
    for folder in folders.split('/') {
        dir = dir.create_dir(folder)?; // or open the one that is there
    }
    let mut file = dir.create_file(name)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = source.read(&mut buffer)?;
        if n == 0 {
            return file.flush();
        }
        file.write_all(&buffer[..n])?;
        progress.advance(n as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Seek;
    use std::os::unix::fs::FileExt;
    use std::path::Path;

    use super::*;

    /// Return the type of FAT that a boot sector describes, by its number of clusters alone, as fatgen103 has it.
    fn n_clusters_of(boot_sector: &[u8]) -> u32 {
        let u16_at = |at: usize| u32::from(boot_sector[at]) | u32::from(boot_sector[at + 1]) << 8;
        let u32_at = |at| u16_at(at) | u16_at(at + 2) << 16;
        let (per_cluster, reserved, n_fats) = (boot_sector[13], u16_at(14), boot_sector[16]);
        (u32_at(32) - reserved - u32::from(n_fats) * u32_at(36)) / u32::from(per_cluster)
    }

    #[test]
    fn every_layout_is_a_fat32_with_room_for_its_files() {
        let epoch = Epoch::parse("1700000000").unwrap();
        let dir = tempfile::tempdir().unwrap();
        for (n_files, size_bytes, cluster_bytes) in [
            (0, 0, 512),
            (1, 1, 512),
            (60, 1 << 20, 512),
            (60, 100, 512),
            (2, 50_000_000, 1024),
            (1, 200 << 20, 2048),
            (3, 64 << 20, 2048),
        ] {
            let contents = Contents { entries: sparse_files(dir.path(), n_files, size_bytes) };
            let layout = Layout::of(&vec![size_bytes; n_files]);
            assert_eq!(layout.cluster_bytes, cluster_bytes, "{n_files} files of {size_bytes}");

            let image = tempfile::tempfile().unwrap();
            image.set_len(layout.size_bytes).unwrap();
            write(&image, 0, layout, &contents, &Identity::new(epoch, &contents)).unwrap();
            let mut boot_sector = [0; 512];
            image.read_exact_at(&mut boot_sector, 0).unwrap();
            let n_clusters = u64::from(n_clusters_of(&boot_sector));
            assert!(n_clusters >= MIN_CLUSTERS, "{n_clusters} clusters");
            // No more is free than what the names could have taken, a MiB, and what FAT32 has at least.
            let files = n_files as u64 * size_bytes;
            let most =
                (files + (2 << 20) + n_files as u64 * 1024).max((MIN_CLUSTERS + 4096) * 512 + (1 << 20));
            assert!(layout.size_bytes < most * 103 / 100, "{layout:?} for {files} bytes");
        }
        // Clusters of 32 KiB, from 2 GiB on, whatever more there is.
        assert_eq!(Layout::of(&[3 << 30]).cluster_bytes, MAX_CLUSTER_BYTES);
        assert!(Layout::of(&[MAX_FILE_BYTES; 3]).size_bytes > 3 * MAX_FILE_BYTES);
    }

    fn sparse_files(dir: &Path, n_files: usize, size_bytes: u64) -> Vec<Entry> {
        let entry = |n| {
            let source = dir.join(format!("{n}"));
            File::create(&source).unwrap().set_len(size_bytes).unwrap();
            let name = format!("models/{n:0200}.gguf"); // long names take room, too
            Entry::new(name, &source).unwrap()
        };
        (0..n_files).map(entry).collect()
    }

    #[test]
    fn files_come_back_as_they_were_with_the_time_of_the_image() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("x");
        let bytes: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        fs::write(&source, &bytes).unwrap();
        let entries = ["boot/limine/limine.conf", "models/Some Model.Q4_1.gguf", "models/b.bin"];
        let entries = entries.map(|path| Entry::new(path, &source).unwrap()).to_vec();
        let contents = Contents { entries };
        let identity = Identity::new(Epoch::parse("1700000000").unwrap(), &contents);

        let layout = Layout::of(&[bytes.len() as u64; 3]);
        let mut image = tempfile::tempfile().unwrap();
        image.set_len(layout.size_bytes).unwrap();
        write(&image, 0, layout, &contents, &identity).unwrap();

        image.rewind().unwrap();
        let system = FileSystem::new(&image, FsOptions::new()).unwrap();
        assert_eq!(system.volume_label(), "BOOTLM");
        assert_eq!(system.volume_id(), identity.guid("file system").as_fields().0);
        assert!(!system.read_status_flags().unwrap().dirty());
        let root = system.root_dir();
        for Entry { path, .. } in &contents.entries {
            let mut read = Vec::new();
            root.open_file(path).unwrap().read_to_end(&mut read).unwrap();
            assert_eq!(read, bytes, "{path}");
        }
        let names: Vec<_> = root.open_dir("models").unwrap().iter().map(Result::unwrap).collect();
        assert_eq!(names.last().unwrap().file_name(), "b.bin");
        // date --utc --date=@1700000000: Tue Nov 14 22:13:20 UTC 2023
        assert_eq!(names.last().unwrap().modified().date, fatfs::Date { year: 2023, month: 11, day: 14 });
    }

    #[test]
    fn a_file_that_fat_cannot_hold_or_limine_not_find_is_refused() {
        let entry = |path: &str, size_bytes| Entry { path: path.into(), source: path.into(), size_bytes };
        let refused = |entry| check(&Contents { entries: vec![entry] }).unwrap_err().to_string();
        let error = refused(entry("models/a.bin", MAX_FILE_BYTES + 1));
        assert!(error.contains("4294967296") && error.contains("4294967295"), "{error}");
        assert!(refused(entry("models/häuser.gguf", 1)).contains("ASCII"));
        check(&Contents { entries: vec![entry("models/a.bin", MAX_FILE_BYTES)] }).unwrap();
    }
}
