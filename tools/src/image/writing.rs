//! An image onto a device: asked for, written, read back and compared.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use indicatif::DecimalBytes;
use rustix::fs::{Advice, OFlags, fadvise};
use rustix::io::Errno;

use super::device::Device;
use crate::progress::{Progress, Unit};

/// How much is written before the device is waited for, so that the bar tells what has arrived there.
const CHUNK_BYTES: usize = 4 << 20;

impl Device {
    /// Write `image` to the device after the person at `answers` has typed its name, and compare what is there then.
    ///
    /// What is shown goes to stderr.
    pub fn write(&self, image: &Path, answers: &mut dyn BufRead) -> Result<()> {
        let not_read = || image.display().to_string();
        let mut source = File::open(image).with_context(not_read)?;
        let n_bytes = source.metadata().with_context(not_read)?.len();
        ensure!(
            n_bytes <= self.size_bytes,
            "{} has room for {}; the image has {}",
            self.path.display(),
            DecimalBytes(self.size_bytes),
            DecimalBytes(n_bytes)
        );
        let mut target = self.open()?;
        self.ask(n_bytes, answers)?;

        let on_device = || self.path.display().to_string();
        let progress = Progress::new("writing", Unit::Bytes, Some(n_bytes));
        copy(&mut source, &mut target, progress).with_context(on_device)?;
        // Without what this machine remembers of it, the device itself has to say what is on it.
        target.sync_all().with_context(on_device)?;
        fadvise(&target, 0, None, Advice::DontNeed).with_context(on_device)?;
        let progress = Progress::new("reading back", Unit::Bytes, Some(n_bytes));
        compare(&mut source, &mut target, progress).with_context(on_device)
    }

    /// Open the device for nobody else: with O_EXCL the kernel refuses one that is in use in any way (open(2)).
    fn open(&self) -> Result<File> {
        let flags = OFlags::EXCL.bits().cast_signed();
        let opened = OpenOptions::new().read(true).write(true).custom_flags(flags).open(&self.path);
        opened.map_err(|error| {
            let why = match Errno::from_io_error(&error) {
                Some(Errno::BUSY) => {
                    ": something else uses it, such as swap, LVM, RAID or an encrypted volume"
                }
                Some(Errno::ACCESS | Errno::PERM) => ": writing to a device takes root, as with sudo -E",
                _ => "",
            };
            anyhow::Error::new(error).context(format!("{} cannot be opened{why}", self.path.display()))
        })
    }

    /// Show what the device is, and return an error unless its name is the answer.
    fn ask(&self, n_bytes: u64, answers: &mut dyn BufRead) -> Result<()> {
        eprintln!("{self}");
        eprint!("All of it will be lost. To write {} to it, type {}: ", DecimalBytes(n_bytes), self.name);
        let mut answer = String::new();
        answers.read_line(&mut answer).context("stdin")?;
        if answer.trim() != self.name {
            bail!("the answer was not {}, so nothing was written", self.name);
        }
        Ok(())
    }
}

/// Copy all of `source` to the beginning of `target`.
fn copy(source: &mut File, target: &mut File, mut progress: Progress) -> io::Result<()> {
    source.rewind()?;
    target.rewind()?;
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let n = read_all(source, &mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        target.write_all(&buffer[..n])?;
        target.sync_data()?;
        progress.advance(n as u64);
    }
}

/// Return an error with the first byte in which `target` does not begin with all of `source`.
fn compare(source: &mut File, target: &mut File, mut progress: Progress) -> Result<()> {
    source.rewind()?;
    target.rewind()?;
    let mut expected = vec![0; CHUNK_BYTES];
    let mut found = vec![0; CHUNK_BYTES];
    let mut n_equal = 0;
    loop {
        let n = read_all(source, &mut expected)?;
        if n == 0 {
            return Ok(());
        }
        target.read_exact(&mut found[..n])?;
        if let Some(at) = expected[..n].iter().zip(&found).position(|(one, other)| one != other) {
            bail!(
                "byte {} was written as {:#04x} and is read as {:#04x}: the device is broken, or smaller than it says",
                n_equal + at,
                expected[at],
                found[at]
            );
        }
        n_equal += n;
        progress.advance(n as u64);
    }
}

/// Fill `buffer` from `file` and return how much of it is filled, less only at the end of the file.
fn read_all(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut n = 0;
    while n < buffer.len() {
        match file.read(&mut buffer[n..])? {
            0 => break,
            more => n += more,
        }
    }
    Ok(n)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::process::Command;

    use super::super::device::tests::FakeSystem;
    use super::*;

    /// A loop device of 6 MiB over a file, which goes away with this.
    struct Loop {
        path: PathBuf,
        dir: tempfile::TempDir,
    }

    impl Loop {
        const SIZE_BYTES: u64 = 6 << 20;

        /// Return one, or `None` after saying why there is none.
        fn new(test: &str) -> Option<Self> {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("medium");
            File::create(&file).unwrap().set_len(Self::SIZE_BYTES).unwrap();
            let made = Command::new("losetup").args(["--find", "--show"]).arg(&file).output();
            match made {
                Ok(output) if output.status.success() => {
                    let path = String::from_utf8(output.stdout).unwrap().trim().into();
                    Some(Self { path, dir })
                }
                other => {
                    // eprintln! would be kept by the test harness.
                    writeln!(io::stderr(), "SKIPPED: {test}: no loop device can be made here: {other:?}")
                        .unwrap();
                    None
                }
            }
        }

        /// Return the device, in a system that calls it a removable one of its size.
        fn device(&self) -> Device {
            let name = self.path.file_name().unwrap().to_str().unwrap();
            let number = fs::read_to_string(format!("/sys/block/{name}/dev")).unwrap();
            FakeSystem::new("usb1", name, number.trim(), Self::SIZE_BYTES / 512).find(&self.path).unwrap()
        }

        /// Write an image of `n_bytes` bytes and return its path.
        fn image(&self, n_bytes: usize) -> PathBuf {
            let path = self.dir.path().join("bootlm.img");
            let bytes: Vec<u8> =
                (0..n_bytes as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
            fs::write(&path, bytes).unwrap();
            path
        }

        fn name(&self) -> String {
            self.path.file_name().unwrap().to_str().unwrap().into()
        }
    }

    impl Drop for Loop {
        fn drop(&mut self) {
            let gone = Command::new("losetup").arg("--detach").arg(&self.path).status().unwrap();
            assert!(gone.success());
        }
    }

    #[test]
    fn an_image_arrives_on_a_device_whose_name_was_typed() {
        let Some(medium) = Loop::new("writing an image to a device") else { return };
        let image = medium.image(5_000_001);
        let device = medium.device();
        for answer in ["", "yes\n", "sdb\n"] {
            let error = device.write(&image, &mut answer.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("nothing was written"), "{error}");
        }
        let before = fs::read(medium.dir.path().join("medium")).unwrap();
        assert!(before.iter().all(|byte| *byte == 0), "something was written");

        device.write(&image, &mut format!("{}\n", medium.name()).as_bytes()).unwrap();
        let bytes = fs::read(&image).unwrap();
        let after = fs::read(medium.dir.path().join("medium")).unwrap();
        assert!(after[..bytes.len()] == bytes && after[bytes.len()..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_device_that_is_in_use_or_too_small_is_refused_before_the_question() {
        let Some(medium) = Loop::new("a device in use") else { return };
        let device = medium.device();
        let image = medium.image(Loop::SIZE_BYTES as usize + 1);
        let error = device.write(&image, &mut "".as_bytes()).unwrap_err().to_string();
        assert!(error.contains("6.29 MB") && error.contains("room"), "{error}");

        let _user = device.open().unwrap();
        let error = device.write(&medium.image(100), &mut "".as_bytes()).unwrap_err().to_string();
        assert!(error.contains("something else uses it"), "{error}");
    }

    #[test]
    fn the_first_byte_that_does_not_come_back_is_told() {
        let n_bytes = CHUNK_BYTES + 10;
        let mut bytes = vec![7; n_bytes];
        let (mut source, mut target) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        source.write_all(&bytes).unwrap();
        let progress = || Progress::new("", Unit::Bytes, None);
        copy(&mut source, &mut target, progress()).unwrap();
        compare(&mut source, &mut target, progress()).unwrap();

        bytes[CHUNK_BYTES + 3] = 9;
        target.rewind().unwrap();
        target.write_all(&bytes).unwrap();
        let error = compare(&mut source, &mut target, progress()).unwrap_err().to_string();
        assert!(
            error.contains(&format!("byte {} was written as 0x07 and is read as 0x09", CHUNK_BYTES + 3)),
            "{error}"
        );
        target.set_len(CHUNK_BYTES as u64).unwrap();
        compare(&mut source, &mut target, progress()).unwrap_err();
    }
}
