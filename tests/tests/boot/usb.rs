//! The image of a USB stick, booted through Limine by both firmwares, and read by others. Where Limine is not at hand, this says
//! SKIPPED and why.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use boot_tests::{Guest, image, machine, output_of, ovmf};
use engine::testing::ChainModel;
use tempfile::TempDir;
use tools::qemu::{Boot, Medium, Ovmf};
use tools::split::split;

/// A name with what long names have and short ones have not.
const NAME: &str = "A chain, of tokens.F32.gguf";

/// Write a model that answers "fine" into `dir`.
fn model(dir: &Path) -> PathBuf {
    let path = dir.join(NAME);
    fs::write(&path, ChainModel::answers("fine").file()).unwrap();
    path
}

/// Return the image of a stick with that model, or `None` after saying why there is none.
fn stick(dir: &TempDir, test: &str) -> Option<PathBuf> {
    image(&dir.path().join("bootlm.img"), "temp=0", &[model(dir.path())], test)
}

fn boots_and_answers(image: &Path, medium: Medium, ovmf: Option<Ovmf>) {
    let boot = Boot::Image { image: image.into(), medium, ovmf };
    let mut guest = Guest::boot(&machine(boot));
    let start = guest.prompt();
    assert!(start.contains("by Limine "), "{medium:?}: {start}");
    assert!(start.contains(&format!("\n{NAME}: llama 231K F32")), "{medium:?}: {start}");
    assert_eq!(guest.ask("How are you?"), "fine", "{medium:?}");
    guest.leave();
}

#[test]
fn the_stick_boots_by_bios_and_so_does_a_disk_with_its_image() {
    let dir = tempfile::tempdir().unwrap();
    let Some(image) = stick(&dir, "boot of the stick by BIOS") else { return };
    for medium in [Medium::Stick, Medium::Disk] {
        boots_and_answers(&image, medium, None);
    }
}

#[test]
fn the_stick_boots_by_uefi() {
    let dir = tempfile::tempdir().unwrap();
    let test = "boot of the stick by UEFI";
    let (Some(image), Some(ovmf)) = (stick(&dir, test), ovmf(dir.path(), test)) else { return };
    boots_and_answers(&image, Medium::Stick, Some(ovmf));
}

#[test]
fn a_model_in_parts_is_one_when_the_stick_has_booted() {
    let dir = tempfile::tempdir().unwrap();
    let parts = split(&model(dir.path()), 600_000, dir.path()).unwrap();
    assert_eq!(parts.len(), 2);
    let output = dir.path().join("bootlm.img");
    let Some(image) = image(&output, "temp=0", &parts, "boot of a model in parts") else { return };
    let mut guest = Guest::boot(&machine(Boot::Image { image, medium: Medium::Disk, ovmf: None }));
    let start = guest.prompt();
    assert!(start.contains("\nA chain, of tokens.F32-00001-of-00002.gguf: llama 231K F32"), "{start}");
    assert_eq!(guest.ask("How are you?"), "fine");
    guest.leave();
}

#[test]
fn mtools_find_the_loader_and_the_model_in_its_file_system() {
    let dir = tempfile::tempdir().unwrap();
    let Some(image) = stick(&dir, "file system of the stick") else { return };
    // mtools' name for a file system inside an image: the image, and the offset in bytes.
    let system = format!("{}@@1M", image.display());
    let files = output_of(Command::new("mdir").args(["-b", "-i", &system, "::/EFI/BOOT"]));
    assert_eq!(String::from_utf8(files).unwrap().trim(), "::/EFI/BOOT/BOOTX64.EFI");
    let copy = output_of(Command::new("mtype").args(["-i", &system, &format!("::/models/{NAME}")]));
    assert!(copy == fs::read(dir.path().join(NAME)).unwrap(), "the model is not as it was");
}

/// Two images of the same files at other places, made at another time.
#[test]
fn the_same_files_make_the_same_bytes() {
    for name in ["bootlm.img", "bootlm.iso"] {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let mut images = Vec::new();
        for dir in &dirs {
            let Some(image) =
                image(&dir.path().join(name), "", &[model(dir.path())], &format!("making {name} again"))
            else {
                return;
            };
            images.push(fs::read(image).unwrap());
            // FAT tells every other second.
            thread::sleep(Duration::from_millis(2100));
        }
        let differs = images[0].iter().zip(&images[1]).position(|(one, other)| one != other);
        assert_eq!(differs, None, "the first byte of {name} that differs");
        assert_eq!(images[0].len(), images[1].len());
    }
}
