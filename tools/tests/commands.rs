//! The two ways in, as a person types them: `make` and `bootlm`.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Output};

/// Run `make` in the repository's folder, as if this test were not itself run by it.
fn make(arguments: &[&str]) -> String {
    let mut make = Command::new("make");
    make.args(arguments).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap());
    let output = make.env_remove("MAKEFLAGS").env_remove("MAKELEVEL").output().unwrap();
    assert!(output.status.success(), "{make:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn bootlm(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bootlm")).args(arguments).output().unwrap()
}

#[test]
fn a_command_whose_reader_has_gone_away_ends_in_silence() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let mut inspect = Command::new(env!("CARGO_BIN_EXE_bootlm"));
    let output = inspect.args(["inspect", "/dev/null"]).stdout(writer).output().unwrap();
    assert_eq!((String::from_utf8_lossy(&output.stderr), output.status.code()), ("".into(), Some(0)));
}

#[test]
fn every_target_that_help_lists_is_one_that_make_knows() {
    let help = make(&["help"]);
    let targets: Vec<_> =
        help.lines().filter_map(|line| line.strip_prefix("make ")?.split(' ').next()).collect();
    assert!(targets.contains(&"run") && targets.contains(&"test"), "{help}");
    for target in targets {
        make(&["--dry-run", target]);
    }
}

#[test]
fn what_a_person_sets_reaches_the_command_that_boots() {
    let set = [
        "ACCEL=tcg",
        "SMP=3",
        "MEM=2G",
        "FIRMWARE=uefi",
        "BOOT=limine",
        "LIMINE_DIR=/l",
        "MODELS=a.gguf b.gguf",
        "CMDLINE=prompt=\"it's on\" once",
    ];
    let commands = make(&[["--dry-run", "run"].as_slice(), &set].concat());
    let boot = commands.lines().last().unwrap();
    for words in [
        "--accel tcg",
        "--smp 3",
        "--mem 2G",
        "--firmware uefi",
        "--boot limine",
        "--limine-dir /l",
        "--cmdline \"$CMDLINE\" a.gguf b.gguf",
    ] {
        assert!(boot.contains(words), "{words:?} is not in: {boot}");
    }
    assert!(!commands.contains("bootlm fetch"), "with models of one's own, none is downloaded: {commands}");
}

#[test]
fn the_images_of_a_stick_and_of_a_cd_differ_in_their_names_endings() {
    for (target, name) in [("iso", "/bootlm.iso "), ("usb", "/bootlm.img ")] {
        let commands = make(&["--dry-run", target, "MODELS=a.gguf"]);
        let packs = commands.lines().last().unwrap();
        assert!(packs.contains(" image --output ") && packs.contains(name), "{packs}");
    }
}

#[test]
fn the_built_in_model_boots_without_a_download() {
    for target in ["run", "iso", "screenshot", "bench"] {
        let commands = make(&["--dry-run", target, "MODELS=builtin"]);
        assert!(commands.trim_end().ends_with(" models/builtin.gguf"), "{commands}");
        assert!(!commands.contains("fetch"), "{commands}");
    }
}

#[test]
fn parts_are_merged_and_split_again() {
    let parts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole.gguf");
    let first = parts.join("gguf_py-00001-of-00003.gguf");
    let merge = bootlm(&["merge", first.to_str().unwrap(), whole.to_str().unwrap()]);
    assert!(merge.status.success(), "{}", String::from_utf8_lossy(&merge.stderr));
    let split = bootlm(&["split", whole.to_str().unwrap(), "--max-size", "1500"]);
    let said = String::from_utf8(split.stderr).unwrap();
    assert!(split.status.success(), "{said}");
    assert!(
        said.contains("whole-00001-of-00002.gguf: ") && said.contains("whole-00002-of-00002.gguf: "),
        "{said}"
    );
}

#[test]
fn fetch_refuses_a_partial_download_of_the_default_model_and_keeps_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("SmolLM2-135M-Instruct.Q4_1.gguf");
    fs::write(&path, "GGUF").unwrap();
    let output = bootlm(&["fetch", "--models-dir", dir.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    for fact in [
        path.to_str().unwrap(),
        "expected 98362432 bytes, sha256 b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        // By coreutils' sha256sum.
        "found 4 bytes, sha256 b83633aa785344791618f2fddf131b010ea04912a60430760b070bad293f65bd",
        "delete it",
    ] {
        assert!(said.contains(fact), "{fact:?} is not in: {said}");
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "GGUF");
}

#[test]
fn fetch_lists_the_known_models_and_refuses_others() {
    let list = bootlm(&["fetch", "--list"]);
    assert!(list.status.success());
    assert!(String::from_utf8(list.stdout).unwrap().contains("\nTinyLlama-1.1B-Chat-v1.0 "));
    let output = bootlm(&["fetch", "stories15M", "SmolLM3"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("SmolLM3") && said.contains("--list"), "{said}");
}

#[test]
fn a_command_line_that_makes_no_sense_is_refused_with_a_reason() {
    for (arguments, reason) in [
        (["run", "--mem", "big", "x.gguf"], "768M or 2G"),
        (["run", "--boot", "grub", "x.gguf"], "limine, pvh"),
        (["run", "--kernel", "/no/kernel", "x.gguf"], "/no/kernel"),
        (["image", "--limine-dir", "/no/limine", "x.gguf"], "/no/limine/limine-bios.sys"),
        (["image", "--limine-dir=/no/limine", "--output=x.img", "x.gguf"], "/no/limine/limine-bios.sys"),
    ] {
        let output = bootlm(&arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(reason), "{arguments:?}: {said}");
    }
}
