//! Packs the kernel, the models and Limine into one ISO that starts by BIOS and by UEFI, from a CD and from a stick.
//!
//! It does not build the kernel and does not look into the models. xorriso writes the file system (ISO 9660 with Rock
//! Ridge names, El Torito boot entries, and an MBR with an EFI partition); Limine adds its BIOS stage to the MBR.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::limine::{BIOS_CD, BIOS_SYS, Limine, UEFI_CD, UEFI_LOADER};
use crate::process;

/// What goes into an ISO.
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
    /// Write the ISO to `output`, which is replaced only by a whole one.
    pub fn write(&self, limine: &Limine, output: &Path) -> Result<()> {
        let dir = output.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        let scratch = tempfile::tempdir_in(dir).with_context(|| dir.display().to_string())?;
        let conf = scratch.path().join("limine.conf");
        fs::write(&conf, self.configuration()?)?;
        let iso = scratch.path().join("iso");

        let mut xorriso = Command::new("xorriso");
        xorriso.args(["-as", "mkisofs", "-quiet", "-R", "-volid", "BOOTLM", "-graft-points", "-o"]).arg(&iso);
        // El Torito's two entries: a BIOS one of 4 sectors, which is what BIOSes load, and a UEFI one ...
        xorriso.args([
            "-b",
            &format!("boot/limine/{BIOS_CD}"),
            "-no-emul-boot",
            "-boot-load-size",
            "4",
            "-boot-info-table",
        ]);
        xorriso.args(["--efi-boot", &format!("boot/limine/{UEFI_CD}")]);
        // ... which is the EFI partition as well when the image lies on a stick.
        xorriso.args(["-efi-boot-part", "--efi-boot-image", "--protective-msdos-label"]);
        xorriso.arg(graft("boot/limine/limine.conf", &conf)?);
        for name in [BIOS_SYS, BIOS_CD, UEFI_CD] {
            xorriso.arg(graft(&format!("boot/limine/{name}"), &limine.file(name))?);
        }
        xorriso.arg(graft(&format!("EFI/BOOT/{UEFI_LOADER}"), &limine.file(UEFI_LOADER))?);
        xorriso.arg(graft("boot/bootlm-kernel", self.kernel)?);
        for model in self.models {
            xorriso.arg(graft(&format!("models/{}", file_name(model)?), model)?);
        }
        process::run_quiet(&mut xorriso)?;

        limine.bios_install(&iso)?;
        fs::rename(&iso, output)
            .with_context(|| format!("cannot rename the finished image to {}", output.display()))
    }

    /// Return the text of `limine.conf`: the template, then the command line, then a module line for each model.
    ///
    /// The lines are made here because Limine refuses to boot when one names a file that is missing.
    fn configuration(&self) -> Result<String> {
        let mut conf =
            fs::read_to_string(self.limine_conf).with_context(|| self.limine_conf.display().to_string())?;
        ensure!(!self.command_line.contains(['\n', '\r']), "the kernel's command line must be one line");
        if !self.command_line.is_empty() {
            conf.push_str(&format!("    cmdline: {}\n", self.command_line));
        }
        for model in self.models {
            conf.push_str(&format!("    module_path: boot():/models/{}\n", file_name(model)?));
        }
        Ok(conf)
    }
}

/// Return xorriso's word for "the file `source` under the name `target`", in which `=` parts and `\` escapes.
///
/// A symbolic link stands for the file behind it; xorriso would pack the link itself, which boots as an empty file.
fn graft(target: &str, source: &Path) -> Result<OsString> {
    let file = fs::canonicalize(source).with_context(|| format!("cannot pack {}", source.display()))?;
    let mut word = OsString::from(target.replace('\\', "\\\\").replace('=', "\\="));
    word.push("=");
    word.push(file);
    Ok(word)
}

/// Return the name of the file `path`, or an error when it is one that no boot loader could be told.
fn file_name(path: &Path) -> Result<&str> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.with_context(|| format!("{}: the name of a model file must be UTF-8", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_has_the_command_line_and_a_line_per_model() {
        let dir = tempfile::tempdir().unwrap();
        let conf = dir.path().join("limine.conf");
        fs::write(&conf, "/bootlm\n").unwrap();
        let models = ["m/a.gguf".into(), "b.gguf".into()];
        let image = |command_line| Image { kernel: &conf, limine_conf: &conf, models: &models, command_line };
        let modules = "    module_path: boot():/models/a.gguf\n    module_path: boot():/models/b.gguf\n";
        assert_eq!(image("").configuration().unwrap(), format!("/bootlm\n{modules}"));
        let with = image("prompt=\"a b\" once").configuration().unwrap();
        assert_eq!(with, format!("/bootlm\n    cmdline: prompt=\"a b\" once\n{modules}"));
        let error = image("a\ntimeout: 9").configuration().unwrap_err().to_string();
        assert!(error.contains("one line"), "{error}");
    }

    #[test]
    fn packs_the_file_behind_a_symbolic_link_and_names_a_missing_one() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("a=b.gguf"), dir.path().join("link.gguf"));
        fs::write(&file, "GGUF").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let behind = fs::canonicalize(&file).unwrap();
        let word = graft("models/a=b.gguf", &link).unwrap();
        assert_eq!(word.to_str().unwrap(), format!("models/a\\=b.gguf={}", behind.display()));

        fs::remove_file(&file).unwrap();
        let error = format!("{:#}", graft("models/link.gguf", &link).unwrap_err());
        assert!(error.contains(link.to_str().unwrap()), "{error}");
    }
}
