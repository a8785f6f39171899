//! The image of a USB stick that starts by BIOS and by UEFI: a GUID partition table and a FAT32 file system.
//!
//! | from | |
//! |---|---|
//! | 0 | master boot record: Limine's first BIOS stage, and a partition that keeps others away |
//! | 1 sector | the partition table |
//! | 32 KiB | the BIOS boot partition: Limine's second stage, which takes 32 KiB of it (Limine's USAGE.md, "BIOS/GPT") |
//! | 1 MiB | the EFI system partition, with all files |
//! | the last MiB | the copy of the partition table |
//!
//! UEFI specification 2.10, chapter 5 (tables) and section 3.5 (the loader's path). A stick that is larger than the image has the copy before its end,
//! where the first table says that it is.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::path::Path;

use anyhow::{Context, Result};
use gpt::GptConfig;
use gpt::disk::LogicalBlockSize;
use gpt::mbr::ProtectiveMBR;
use gpt::partition::Partition;
use gpt::partition_types::{BIOS, EFI, Type};

use super::contents::Contents;
use super::fat;
use super::identity::Identity;
use crate::limine::Limine;

const MIB: u64 = 1 << 20;
const SECTOR_BYTES: u64 = 512;
const BIOS_START_BYTES: u64 = 32 << 10;
const SYSTEM_START_BYTES: u64 = MIB;

/// The numbers of the partitions, in the order in which they lie.
const BIOS_NUMBER: u32 = 1;
const SYSTEM_NUMBER: u32 = 2;

/// Write the stick's image to the file `image`.
pub(super) fn write(contents: &Contents, identity: &Identity, limine: &Limine, image: &Path) -> Result<()> {
    fat::check(contents)?;
    let sizes_bytes: Vec<_> = contents.entries.iter().map(|entry| entry.size_bytes).collect();
    let layout = fat::Layout::of(&sizes_bytes);
    let system_end = SYSTEM_START_BYTES + layout.size_bytes;
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(image)?;
    file.set_len(system_end + MIB)?;

    write_table(&mut file, system_end, identity).context("cannot write the partition table")?;
    fat::write(&file, SYSTEM_START_BYTES, layout, contents, identity)?;
    limine.bios_install(image, Some(BIOS_NUMBER))?;
    file.sync_all().with_context(|| image.display().to_string())
}

/// Write both copies of the table whose last partition ends at the byte `system_end`.
fn write_table(file: &mut File, system_end: u64, identity: &Identity) -> Result<()> {
    let n_sectors = file.metadata()?.len() / SECTOR_BYTES;
    ProtectiveMBR::with_lb_size(u32::try_from(n_sectors - 1).unwrap_or(u32::MAX)).overwrite_lba0(file)?;

    let partition = |name: &str, kind: Type, start: u64, end: u64| Partition {
        part_type_guid: kind,
        part_guid: identity.guid(name),
        first_lba: start / SECTOR_BYTES,
        last_lba: end / SECTOR_BYTES - 1,
        flags: 0,
        name: name.into(),
    };
    let partitions = BTreeMap::from([
        (BIOS_NUMBER, partition("BIOS boot", BIOS, BIOS_START_BYTES, SYSTEM_START_BYTES)),
        (SYSTEM_NUMBER, partition("EFI system", EFI, SYSTEM_START_BYTES, system_end)),
    ]);
    let config = GptConfig::new().writable(true).logical_block_size(LogicalBlockSize::Lb512);
    let mut table = config.create_from_device(file, Some(identity.guid("disk")))?;
    table.update_partitions(partitions)?;
    table.write()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, SeekFrom};

    use super::super::identity::Epoch;
    use super::*;

    #[test]
    fn both_copies_of_the_table_have_the_two_partitions() {
        let identity = Identity::new(Epoch::parse("1700000000").unwrap(), &Contents { entries: Vec::new() });
        let mut file = tempfile::tempfile().unwrap();
        file.set_len(40 * MIB).unwrap();
        write_table(&mut file, 39 * MIB, &identity).unwrap();

        let disk = GptConfig::new().only_valid_headers(true).open_from_device(&file).unwrap();
        assert_eq!(*disk.guid(), identity.guid("disk"));
        // UEFI specification 2.10, table 5-5: the array takes 16 KiB at least.
        assert_eq!(disk.primary_header().unwrap().num_parts, 128);
        let found: Vec<_> = disk.partitions().values().filter(|partition| partition.is_used()).collect();
        let found =
            found.iter().map(|part| (part.part_type_guid.guid.to_string(), part.first_lba, part.last_lba));
        assert_eq!(
            found.collect::<Vec<_>>(),
            [
                ("21686148-6449-6e6f-744e-656564454649".into(), 64, 2047),
                ("c12a7328-f81f-11d2-ba4b-00a0c93ec93b".into(), 2048, 39 * 2048 - 1),
            ]
        );
        // The master boot record's only partition is of type EE and has all sectors but its own (table 5-4).
        let mut record = [0; 512];
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_exact(&mut record).unwrap();
        assert_eq!((record[446 + 4], &record[510..]), (0xEE, &[0x55, 0xAA][..]));
        assert_eq!(record[446 + 12..446 + 16], (40 * 2048 - 1_u32).to_le_bytes());
    }
}
