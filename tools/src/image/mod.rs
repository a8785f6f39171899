//! Packs the kernel, the models and Limine into one file that boots, and writes it to a stick.
//!
//! An image is an ISO or the image of a USB stick; which, its name's ending says. Both boot by BIOS and by UEFI and hold the same
//! files under the same names ([`contents`]). The kernel is not built here, and no model is looked into. Images of the same
//! files are the same bytes ([`identity`]).

mod configuration;
mod contents;
mod device;
mod fat;
mod identity;
mod iso;
mod partition;
mod usb;
mod writing;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use self::contents::Contents;
pub use self::device::Device;
pub(crate) use self::fat::MAX_FILE_BYTES;
use self::identity::{Epoch, Identity};
use crate::limine::Limine;

/// What goes into an image.
#[derive(Debug)]
pub struct Image<'a> {
    /// The kernel's ELF file.
    pub kernel: &'a Path,
    /// The boot loader's configuration, to which a line per model is added.
    pub limine_conf: &'a Path,
    /// The model files, which keep their names.
    pub models: &'a [PathBuf],
    /// What the kernel finds on its command line.
    pub command_line: &'a str,
}

impl Image<'_> {
    /// Write the image to `output`, which is replaced only by a whole one: an ISO where its name ends in `.iso`, a USB stick's
    /// where it ends in `.img`.
    pub fn write(&self, limine: &Limine, output: &Path) -> Result<()> {
        let kind = Kind::of(output)?;
        let epoch = Epoch::of_environment()?;
        let dir = output.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        let scratch = tempfile::tempdir_in(dir).with_context(|| dir.display().to_string())?;
        let contents = Contents::gather(self, limine, scratch.path())?;
        let identity = Identity::new(epoch, &contents);

        let image = scratch.path().join("image");
        match kind {
            Kind::Iso => iso::write(&contents, &identity, limine, &image)?,
            Kind::Usb => usb::write(&contents, &identity, limine, &image)?,
        }
        fs::rename(&image, output)
            .with_context(|| format!("cannot rename the finished image to {}", output.display()))
    }
}

/// What a medium's image can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// ISO 9660, which is a CD's and, as it carries partitions too, a stick's.
    Iso,
    /// Partitions with a FAT file system.
    Usb,
}

impl Kind {
    fn of(output: &Path) -> Result<Self> {
        match output.extension().and_then(|ending| ending.to_str()) {
            Some("iso") => Ok(Self::Iso),
            Some("img") => Ok(Self::Usb),
            _ => bail!(
                "{}: the name of an image must end in .iso, for a CD, or in .img, for a USB stick",
                output.display()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_says_what_kind_of_image_it_is() {
        assert_eq!(Kind::of(Path::new("target/bootlm.iso")).unwrap(), Kind::Iso);
        assert_eq!(Kind::of(Path::new("bootlm.img")).unwrap(), Kind::Usb);
        for name in ["bootlm", "bootlm.vhd", "iso"] {
            let error = Kind::of(Path::new(name)).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(".iso") && error.contains(".img"), "{error}");
        }
    }
}
