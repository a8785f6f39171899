//! Modules that are missing, damaged or too large: each is named with the reason, and the machine stays up.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use boot_tests::{Guest, machine, model, pvh, pvh_with};
use regex::Regex;
use tools::qemu::Machine;

/// Write the first `n_bytes` of the default model into `dir`, as a download that broke off leaves it.
fn truncated_model(dir: &Path, n_bytes: u64) -> PathBuf {
    let path = dir.join("truncated.gguf");
    let mut start = Vec::new();
    File::open(model()).unwrap().take(n_bytes).read_to_end(&mut start).unwrap();
    fs::write(&path, start).unwrap();
    path
}

/// Write a GGUF header that promises more than there is, and then noise.
fn garbage_model(dir: &Path) -> PathBuf {
    let path = dir.join("garbage.gguf");
    let mut file = File::create(&path).unwrap();
    file.write_all(b"GGUF\x03\0\0\0").unwrap();
    // A linear congruential generator (Knuth's MMIX constants): the same noise each time.
    let mut state = 1_u64;
    for _ in 0..8192 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        file.write_all(&state.to_le_bytes()).unwrap();
    }
    path
}

#[test]
fn without_a_module_says_so_and_stays_at_a_prompt() {
    let mut guest = Guest::boot(&machine(pvh_with("")));
    let start = guest.prompt();
    assert!(start.contains("There is no model to talk to."), "{start}");
    assert!(guest.ask("/help").contains("/exit"));
    assert!(guest.ask("Hello?").contains("There is no model to talk to"));
    guest.leave();
}

#[test]
fn a_truncated_module_is_named_and_the_machine_stays_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut guest = Guest::boot(&machine(pvh(&[truncated_model(dir.path(), 50_000_000)], dir.path())));
    let start = guest.prompt();
    let (_, reason) =
        start.split_once("✗    truncated.gguf: cannot be used: ").unwrap_or_else(|| panic!("{start}"));
    assert!(reason.contains("50000000"), "the reason has the size that was found: {reason}");
    assert!(start.contains("There is no model to talk to."), "{start}");
    guest.leave();
}

#[test]
fn the_good_module_of_an_archive_is_used_and_the_bad_ones_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let models = [garbage_model(dir.path()), truncated_model(dir.path(), 1_000_000), model().into()];
    let mut guest = Guest::boot(&machine(pvh(&models, dir.path())));
    let start = guest.prompt();
    for line in [
        "\n✗    garbage.gguf: cannot be used: ",
        "\n✗    truncated.gguf: cannot be used: ",
        "\nSmolLM2-135M-Instruct.Q4_1.gguf: llama 135M Q4_1, 98.4 MB, context ",
    ] {
        assert!(start.contains(line), "{line:?} is not in: {start}");
    }
    guest.leave();
}

#[test]
fn too_little_memory_says_what_is_needed_and_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let small = Machine { memory_mib: 112, ..machine(pvh(&[model().into()], dir.path())) };
    let mut guest = Guest::boot(&small);
    // The sentence is wrapped.
    let start = guest.prompt().split_whitespace().collect::<Vec<_>>().join(" ");
    let reason = Regex::new(concat!(
        r"SmolLM2-135M-Instruct\.Q4_1\.gguf: cannot be used: .* takes (\d+\.\d) MB of memory and (\d+\.\d) MB are free; ",
        r"give the machine at least (\d+\.\d) MB more "
    ));
    let numbers = reason.unwrap().captures(&start).unwrap_or_else(|| panic!("{start}"));
    let [needed, free, more] = [1, 2, 3].map(|i| numbers[i].parse::<f64>().unwrap());
    assert!((needed - free - more).abs() < 0.2 && more > 0.0, "{start}");
    guest.leave();
}
