//! What a device is, as the Linux kernel describes it, and whether an image may be written over it.
//!
//! Facts come from sysfs (Documentation/ABI/stable/sysfs-block) and /proc/self/mountinfo (proc(5)). Only what can be pulled out is
//! written to, and nothing that is in use: a wrong letter must not cost a person their disk.

use std::fmt;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use indicatif::DecimalBytes;

/// sysfs counts in these, whatever the device's own sectors are.
const SECTOR_BYTES: u64 = 512;

/// Where the kernel tells about devices.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places<'a> {
    pub(super) sysfs: &'a Path,
    pub(super) mountinfo: &'a Path,
}

impl Places<'static> {
    /// Return those of the running system.
    pub(super) fn of_system() -> Self {
        Self { sysfs: Path::new("/sys"), mountinfo: Path::new("/proc/self/mountinfo") }
    }
}

/// A whole device. Having one tells that it can be pulled out, can be written to, and has nothing mounted.
#[derive(Debug)]
pub struct Device {
    pub(super) path: PathBuf,
    /// The kernel's name, such as `sdb`.
    pub(super) name: String,
    model: String,
    pub(super) size_bytes: u64,
    partitions: Vec<Partition>,
}

#[derive(Debug)]
struct Partition {
    name: String,
    size_bytes: u64,
}

impl Device {
    /// Return the device at `path`, such as `/dev/sdb`, or why no image may be written to it.
    pub fn find(path: &Path) -> Result<Self> {
        Self::find_in(path, Places::of_system())
    }

    pub(super) fn find_in(path: &Path, places: Places<'_>) -> Result<Self> {
        let metadata = fs::metadata(path).with_context(|| path.display().to_string())?;
        ensure!(
            metadata.file_type().is_block_device(),
            "{}: expected a block device such as /dev/sdX",
            path.display()
        );
        let (major, minor) = (rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev()));
        Self::describe(path, &format!("{major}:{minor}"), places)
            .with_context(|| format!("{} is not written to", path.display()))
    }

    /// Return the device whose number is `number`, as sysfs writes it.
    fn describe(path: &Path, number: &str, places: Places<'_>) -> Result<Self> {
        let link = places.sysfs.join("dev/block").join(number);
        let dir = fs::canonicalize(&link).with_context(|| link.display().to_string())?;
        if dir.join("partition").exists() {
            let disk = dir.parent().map_or_else(String::new, name_of);
            bail!("it is a partition; an image takes the whole device, /dev/{disk}");
        }

        let mounts =
            fs::read_to_string(places.mountinfo).with_context(|| places.mountinfo.display().to_string())?;
        let mut partitions = Vec::new();
        refuse_mounted(&dir, &mounts)?;
        for entry in fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
            let part = entry?.path();
            if part.join("partition").exists() {
                refuse_mounted(&part, &mounts)?;
                partitions.push(Partition { name: name_of(&part), size_bytes: size_bytes(&part)? });
            }
        }
        partitions
            .sort_by(|one, other| one.name.len().cmp(&other.name.len()).then(one.name.cmp(&other.name)));

        ensure!(
            is_removable(&dir)?,
            "it is built into this machine: neither removable, nor at a USB port, nor a memory card"
        );
        ensure!(attribute(&dir, "ro")? == "0", "it is write-protected");
        // A partition table is counted in the device's sectors.
        let sector = attribute(&dir, "queue/logical_block_size")?;
        ensure!(sector == "512", "it has sectors of {sector} bytes; the image is made for those of 512");
        let model = [attribute(&dir, "device/vendor"), attribute(&dir, "device/model")];
        let model = model.into_iter().flatten().collect::<Vec<_>>().join(" ");
        let size_bytes = size_bytes(&dir)?;
        ensure!(size_bytes > 0, "there is no medium in it");
        Ok(Self { path: path.into(), name: name_of(&dir), model, size_bytes, partitions })
    }
}

/// What a person has to know before all of it is lost.
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let model = if self.model.is_empty() { "a device without a name" } else { &self.model };
        write!(f, "{}: {model}, {}", self.path.display(), DecimalBytes(self.size_bytes))?;
        for Partition { name, size_bytes } in &self.partitions {
            write!(f, "\n  {name}  {}", DecimalBytes(*size_bytes))?;
        }
        Ok(())
    }
}

/// Return an error when the device or partition that `dir` describes has a mounted file system.
fn refuse_mounted(dir: &Path, mounts: &str) -> Result<()> {
    let (name, number) = (name_of(dir), attribute(dir, "dev")?);
    for line in mounts.lines() {
        // Some file systems, such as btrfs, have numbers of their own, and only name their device.
        let (before, behind) = line.split_once(" - ").unwrap_or((line, ""));
        let mut fields = before.split(' ').skip(2);
        let (Some(mounted), Some(point)) = (fields.next(), fields.nth(1)) else { continue };
        let source = behind.split(' ').nth(1).and_then(|source| source.strip_prefix("/dev/"));
        if mounted != number && source != Some(&name) {
            continue;
        }
        ensure!(point != "/", "{name} holds the system that is running");
        bail!("{name} is mounted at {point}; unmount it first: umount {point}");
    }
    Ok(())
}

/// Return whether a person can pull the device out. A disk in a USB case says that it is not removable itself.
fn is_removable(dir: &Path) -> Result<bool> {
    let at_usb = dir.components().any(|part| part.as_os_str().to_string_lossy().starts_with("usb"));
    let is_card = attribute(dir, "device/type").is_ok_and(|kind| kind == "SD");
    Ok(at_usb || is_card || attribute(dir, "removable")? == "1")
}

fn size_bytes(dir: &Path) -> Result<u64> {
    let text = attribute(dir, "size")?;
    let n_sectors: Option<u64> = text.parse().ok();
    let size = n_sectors.and_then(|n| n.checked_mul(SECTOR_BYTES));
    size.with_context(|| format!("{}/size: expected a number of sectors, found {text:?}", dir.display()))
}

/// Return an attribute of the device or partition that `dir` describes.
fn attribute(dir: &Path, name: &str) -> Result<String> {
    let path = dir.join(name);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok(text.trim().to_string())
}

fn name_of(dir: &Path) -> String {
    dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A sysfs with one disk, and mounts.
    pub(in super::super) struct FakeSystem {
        root: tempfile::TempDir,
        disk: PathBuf,
    }

    impl FakeSystem {
        /// Return one with a removable disk, whose folder lies below `devices/BUS`.
        pub(in super::super) fn new(bus: &str, name: &str, number: &str, n_sectors: u64) -> Self {
            let root = tempfile::tempdir().unwrap();
            let disk = root.path().join("devices").join(bus).join(name);
            let fake = Self { root, disk };
            fake.describe("", number, n_sectors);
            fs::create_dir(fake.disk.join("device")).unwrap();
            fs::create_dir(fake.disk.join("queue")).unwrap();
            for (attribute, value) in [
                ("removable", "1"),
                ("ro", "0"),
                ("queue/logical_block_size", "512"),
                ("device/vendor", "ACME    "),
                ("device/model", "Stick 3.2 "),
            ] {
                fake.set(attribute, value);
            }
            fs::write(fake.root.path().join("mountinfo"), "22 27 0:21 / /proc rw - proc proc rw\n").unwrap();
            fake
        }

        /// Write what disk and partition have, and the link from the number to it.
        fn describe(&self, part: &str, number: &str, n_sectors: u64) {
            let dir = self.disk.join(part);
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("dev"), format!("{number}\n")).unwrap();
            fs::write(dir.join("size"), format!("{n_sectors}\n")).unwrap();
            let links = self.root.path().join("dev/block");
            fs::create_dir_all(&links).unwrap();
            symlink(&dir, links.join(number)).unwrap();
        }

        fn set(&self, attribute: &str, value: &str) {
            fs::write(self.disk.join(attribute), format!("{value}\n")).unwrap();
        }

        fn add_partition(&self, name: &str, number: &str, n_sectors: u64) {
            self.describe(name, number, n_sectors);
            fs::write(self.disk.join(name).join("partition"), "1\n").unwrap();
        }

        fn mount(&self, line: &str) {
            fs::write(
                self.root.path().join("mountinfo"),
                format!("1 1 0:5 / /dev rw - tmpfs dev rw\n{line}\n"),
            )
            .unwrap();
        }

        /// Find `path` in this system, whose device number is that of the real one.
        pub(in super::super) fn find(&self, path: &Path) -> Result<Device> {
            let mountinfo = self.root.path().join("mountinfo");
            Device::find_in(path, Places { sysfs: self.root.path(), mountinfo: &mountinfo })
        }

        fn describe_number(&self, number: &str) -> Result<Device> {
            let mountinfo = self.root.path().join("mountinfo");
            let places = Places { sysfs: self.root.path(), mountinfo: &mountinfo };
            Device::describe(Path::new("/dev/sdb"), number, places)
        }

        #[track_caller]
        fn refusal(&self, number: &str) -> String {
            self.describe_number(number).unwrap_err().to_string()
        }
    }

    #[test]
    fn a_stick_is_described_by_model_size_and_partitions() {
        let fake = FakeSystem::new("pci0/usb1/1-2", "sdb", "8:16", 60_555_264);
        fake.add_partition("sdb10", "8:26", 2048);
        fake.add_partition("sdb2", "8:18", 4096);
        fake.set("removable", "0"); // as a disk in a USB case says
        let device = fake.describe_number("8:16").unwrap();
        assert_eq!(device.name, "sdb");
        assert_eq!(
            device.to_string(),
            "/dev/sdb: ACME Stick 3.2, 31.00 GB\n  sdb2  2.10 MB\n  sdb10  1.05 MB"
        );
    }

    #[test]
    fn what_is_mounted_is_refused_by_its_number_or_its_name() {
        let fake = FakeSystem::new("usb1", "sdb", "8:16", 60_555_264);
        fake.add_partition("sdb1", "8:17", 4096);
        for (line, part) in [
            (
                "36 27 8:17 / /media/stick rw,noatime shared:1 - vfat /dev/sdb1 rw",
                "sdb1 is mounted at /media/stick",
            ),
            ("36 27 0:44 /sub /mnt rw - btrfs /dev/sdb1 rw", "sdb1 is mounted at /mnt"),
            ("36 27 8:16 / /mnt rw - ext4 /dev/disk/by-id/x rw", "sdb is mounted at /mnt"),
            ("36 27 8:17 / / rw - ext4 /dev/root rw", "sdb1 holds the system that is running"),
        ] {
            fake.mount(line);
            assert!(fake.refusal("8:16").contains(part), "{}", fake.refusal("8:16"));
        }
        fake.mount("36 27 8:1 / / rw - ext4 /dev/sda1 rw");
        fake.describe_number("8:16").unwrap();
    }

    #[test]
    fn what_cannot_be_pulled_out_is_refused_and_a_card_can() {
        let fake = FakeSystem::new("pci0/ata1", "sda", "8:0", 60_555_264);
        fake.set("removable", "0");
        assert!(fake.refusal("8:0").contains("built into this machine"));
        fake.set("device/type", "MMC"); // a chip on the board
        assert!(fake.refusal("8:0").contains("built into this machine"));
        fake.set("device/type", "SD");
        fake.describe_number("8:0").unwrap();
    }

    #[test]
    fn a_partition_a_locked_device_larger_sectors_and_an_empty_reader_are_refused() {
        let fake = FakeSystem::new("usb1", "sdb", "8:16", 60_555_264);
        fake.add_partition("sdb1", "8:17", 4096);
        assert!(fake.refusal("8:17").contains("the whole device, /dev/sdb"), "{}", fake.refusal("8:17"));
        fake.set("ro", "1");
        assert!(fake.refusal("8:16").contains("write-protected"));
        fake.set("ro", "0");
        fake.set("queue/logical_block_size", "4096");
        assert!(fake.refusal("8:16").contains("sectors of 4096 bytes"));
        fake.set("queue/logical_block_size", "512");
        fake.set("size", "0");
        assert!(fake.refusal("8:16").contains("no medium"));
    }

    #[test]
    fn what_is_no_block_device_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for path in [file.path(), Path::new("/dev/null")] {
            let error = Device::find(path).unwrap_err().to_string();
            assert!(error.contains("expected a block device"), "{error}");
        }
        let error = format!("{:#}", Device::find(Path::new("/dev/no-such-device")).unwrap_err());
        assert!(error.contains("/dev/no-such-device"), "{error}");
    }
}
