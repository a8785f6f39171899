//! An ISO that starts by BIOS and by UEFI, from a CD and from a stick.
//!
//! xorriso writes the file system (ISO 9660 with Rock Ridge names, El Torito boot entries, and an MBR with an EFI
//! partition), as Limine's USAGE.md says; Limine adds its BIOS stage to the MBR.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::contents::{Contents, Entry};
use super::identity::Identity;
use crate::limine::{BIOS_CD, Limine, UEFI_CD};
use crate::process;

/// Write the ISO to the file `iso`.
pub(super) fn write(contents: &Contents, identity: &Identity, limine: &Limine, iso: &Path) -> Result<()> {
    let mut xorriso = Command::new("xorriso");
    // It takes its own time from there, and the identifiers that follow from it.
    let epoch = identity.epoch.seconds();
    xorriso.env("SOURCE_DATE_EPOCH", epoch.to_string());
    // -r: files belong to root and can be read, whatever they are here.
    xorriso.args(["-as", "mkisofs", "-quiet", "-r", "-volid", "BOOTLM", "-graft-points"]);
    xorriso.args(["--set_all_file_dates", &format!("={epoch}")]);
    xorriso.args(["--gpt_disk_guid", &identity.guid("disk").to_string()]);
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
    xorriso.arg("-o").arg(iso);
    for name in [BIOS_CD, UEFI_CD] {
        xorriso.arg(graft(&Entry::new(format!("boot/limine/{name}"), &limine.file(name))?));
    }
    for entry in &contents.entries {
        xorriso.arg(graft(entry));
    }
    process::run_quiet(&mut xorriso)?;
    limine.bios_install(iso, None)
}

/// Return xorriso's word for the entry: its path, in which `=` parts and `\` escapes, then the file.
fn graft(entry: &Entry) -> OsString {
    let mut word = OsString::from(entry.path.replace('\\', "\\\\").replace('=', "\\="));
    word.push("=");
    word.push(&entry.source);
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_the_characters_that_part_xorrisos_words() {
        let entry = Entry { path: "models/a=b\\c.gguf".into(), source: "/there/a=b".into(), size_bytes: 0 };
        assert_eq!(graft(&entry), "models/a\\=b\\\\c.gguf=/there/a=b");
    }
}
