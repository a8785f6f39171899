//! The ISO, booted through Limine by both firmwares from both media. Where Limine is not at hand, this says SKIPPED and why.

use std::path::{Path, PathBuf};
use std::process::Command;

use boot_tests::{Guest, machine, model, output_of, ovmf};
use regex::Regex;
use tempfile::TempDir;
use tools::qemu::{Boot, Machine, Medium, Ovmf};

/// Return an ISO with the default model, or `None` after saying why there is none.
fn iso(dir: &TempDir, test: &str) -> Option<PathBuf> {
    boot_tests::iso(dir.path(), "tmep=1", &[model().into()], test)
}

/// Boot `iso` from both media and look at what the prompt comes after.
fn boots_from_both_media(iso: &Path, ovmf: Option<Ovmf>) {
    for (medium, processors) in [(Medium::Cd, 1), (Medium::Stick, 2)] {
        let boot = Boot::Image { image: iso.into(), medium, ovmf: ovmf.clone() };
        let mut guest = Guest::boot(&Machine { memory_mib: 1024, processors, ..machine(boot) });
        let start = guest.prompt();
        assert!(start.contains("by Limine "), "{medium:?}: {start}");
        assert!(start.contains(&format!("\ncores      {processors}, ")), "{medium:?}: {start}");
        let warning = "\ncommand line: there is no option tmep; did you mean temp?\n";
        assert!(start.contains(warning), "{medium:?}: {start}");
        let model = "\nSmolLM2-135M-Instruct.Q4_1.gguf: llama 135M Q4_1, 98.4 MB, context 2048 of 8192\n";
        assert!(start.contains(model), "{medium:?}: {start}");
        guest.leave();
    }
}

#[test]
fn the_iso_boots_to_the_prompt_by_bios() {
    let dir = tempfile::tempdir().unwrap();
    let Some(iso) = iso(&dir, "boot of the ISO by BIOS") else { return };
    boots_from_both_media(&iso, None);
}

#[test]
fn the_iso_boots_to_the_prompt_by_uefi() {
    let dir = tempfile::tempdir().unwrap();
    let test = "boot of the ISO by UEFI";
    let (Some(iso), Some(ovmf)) = (iso(&dir, test), ovmf(dir.path(), test)) else { return };
    boots_from_both_media(&iso, Some(ovmf));
}

#[test]
fn the_iso_has_a_partition_with_the_loader_that_uefi_looks_for() {
    let dir = tempfile::tempdir().unwrap();
    let Some(iso) = iso(&dir, "EFI partition of the ISO") else { return };
    let report =
        output_of(Command::new("xorriso").arg("-indev").arg(&iso).args(["-report_system_area", "plain"]));
    let report = String::from_utf8(report).unwrap();
    let partition = Regex::new(
        r"GPT start and size : +2 +(\d+) +\d+\n(?:.*\n)?GPT partition path : +2 +/boot/limine/limine-uefi-cd\.bin",
    );
    let start =
        partition.unwrap().captures(&report).unwrap_or_else(|| panic!("{report}"))[1].parse::<u64>().unwrap();
    // mtools' name for a file system inside an image: the image, and the offset in bytes.
    let image = format!("{}@@{}", iso.display(), start * 512);
    let files = output_of(Command::new("mdir").args(["-b", "-i", &image, "::/EFI/BOOT"]));
    let files = String::from_utf8(files).unwrap();
    assert!(files.contains("::/EFI/BOOT/BOOTX64.EFI"), "{files}");
}
