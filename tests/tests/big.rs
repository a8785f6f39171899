//! Models of more than a GB, by every firmware. An emulated one takes minutes to read them and an emulated processor minutes to
//! answer, so that nobody waits for it every day: `cargo test --package boot-tests --test big -- --ignored` does.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use boot_tests::{bootlm, has_memory, image, machine, output_of, ovmf};
use tools::qemu::{Boot, Console, Machine, Medium, Ovmf};

/// Make a model of TinyLlama-1.1B's shape with random weights of this type.
fn model(file_type: &str, dir: &Path) -> PathBuf {
    let only = format!("TinyLlama-1.1B {file_type}");
    output_of(Command::new(bootlm()).args(["peers", "--rounds", "0", "--only", &only, "--dir"]).arg(dir));
    dir.join(format!("TinyLlama-1.1B.{file_type}.gguf"))
}

/// Boot a machine of `memory_mib` from a disk with `model`, and check that it says `loaded`, answers and ends in peace.
fn answers(model: &Path, memory_mib: u64, ovmf: Option<Ovmf>, dir: &Path, loaded: &str) {
    let test = format!("{} on a machine of {memory_mib} MiB", model.display());
    if !has_memory(memory_mib, &test) {
        return;
    }
    let words = "terminal=pipe temp=0 max_tokens=2 prompt=Hi once";
    let Some(image) = image(&dir.join("bootlm.img"), words, &[model.into()], &test) else { return };
    let boot = Boot::Image { image, medium: Medium::Disk, ovmf };
    let machine = Machine { processors: 2, memory_mib, console: Console::Pipe, ..machine(boot) };
    let output = machine.command().stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    assert!(output.status.success() && said.contains(loaded), "{test}: {}\n{said}", output.status);
    assert!(said.contains("\n[stopped after max_tokens = 2"), "{said}");
}

#[test]
#[ignore = "takes half an hour; the file's first lines tell how to run it"]
fn a_model_of_a_gigabyte_boots_by_both_firmwares() {
    let dir = tempfile::tempdir().unwrap();
    let model = model("Q8_0", dir.path());
    let firmwares = [None, ovmf(dir.path(), "a model of a gigabyte by UEFI")];
    for (i, firmware) in firmwares.into_iter().enumerate() {
        if i == 0 || firmware.is_some() {
            answers(
                &model,
                4 << 10,
                firmware,
                dir.path(),
                "\nTinyLlama-1.1B.Q8_0.gguf: llama 1.1B Q8_0, 1169.8 MB, ",
            );
        }
    }
}

#[test]
#[ignore = "takes an hour and 12 GB of disk; the file's first lines tell how to run it"]
fn a_model_of_more_than_4_gib_boots_in_pieces_by_uefi() {
    let dir = tempfile::tempdir().unwrap();
    let Some(ovmf) = ovmf(dir.path(), "a model of more than 4 GiB") else { return };
    let (narrow, wide) = (model("F16", dir.path()), dir.path().join("wide.gguf"));
    output_of(Command::new(bootlm()).arg("quantize").args([&narrow, &wide]).arg("f32"));
    answers(&wide, 16 << 10, Some(ovmf), dir.path(), ": llama 1.1B F32, 440");
}
