//! Machines with little and with much memory: all of it is used, and every byte of it accounted for.

use boot_tests::{Guest, has_memory, image, iso, machine, ovmf, pvh, workspace};
use regex::Regex;
use tools::qemu::{Boot, Machine, Medium};

/// Return what `/memory` says that each use has, and check that these are all.
fn account(guest: &mut Guest) -> Vec<(String, u64)> {
    let said = guest.ask("/memory").split_whitespace().collect::<Vec<_>>().join(" ");
    let (_, sum) = said.split_once("every byte: ").unwrap_or_else(|| panic!("{said}"));
    let (parts, all) = sum.split_once(" = ").unwrap();
    let part = |part: &str| {
        let (bytes, what) = part.split_once(' ').unwrap();
        (what.to_string(), bytes.parse().unwrap())
    };
    let parts: Vec<(String, u64)> = parts.split(" + ").map(part).collect();
    assert_eq!(parts.iter().map(|(_, bytes)| bytes).sum::<u64>(), all.parse::<u64>().unwrap(), "{said}");
    parts
}

fn bytes_of(parts: &[(String, u64)], what: &str) -> u64 {
    parts.iter().find(|(name, _)| name == what).unwrap_or_else(|| panic!("no {what} in {parts:?}")).1
}

#[test]
fn memory_of_every_size_is_used_and_accounted_for() {
    let dir = tempfile::tempdir().unwrap();
    let builtin = [workspace().join("models/builtin.gguf")];
    for memory_mib in [128, 512, 3 << 10, 6 << 10, 16 << 10] {
        if !has_memory(memory_mib, &format!("memory of {memory_mib} MiB")) {
            continue;
        }
        let mut guest = Guest::boot(&Machine { memory_mib, ..machine(pvh(&builtin, dir.path())) });
        let start = guest.prompt();
        assert!(start.contains("\nbuiltin.gguf: llama 2M Q8_0, "), "{memory_mib} MiB: {start}");
        let parts = account(&mut guest);
        let all: u64 = parts.iter().map(|(_, bytes)| bytes).sum();
        // QEMU's firmware keeps less than a MiB.
        assert!(((memory_mib - 1) << 20..=memory_mib << 20).contains(&all), "{memory_mib} MiB: {all}");
        // The image, page tables and stacks take a few MiB whatever the machine has, but for a 500th that page tables take.
        let others = all - bytes_of(&parts, "heap") - bytes_of(&parts, "modules");
        assert!(others < (8 << 20) + all / 500, "{memory_mib} MiB: {parts:?}");
        guest.leave();
    }
}

/// Return a machine of 2 GiB, of which all but `low_mib` lie above 4 GiB, and behind a hole.
fn high_memory(boot: Boot, low_mib: u64) -> Guest {
    let mut command = Machine { memory_mib: 2 << 10, ..machine(boot) }.command();
    command.args(["-machine", &format!("max-ram-below-4g={low_mib}M")]);
    Guest::start(command)
}

#[test]
fn memory_above_4_gib_is_used_where_there_is_little_below() {
    let dir = tempfile::tempdir().unwrap();
    let builtin = [workspace().join("models/builtin.gguf")];
    let mut guest = high_memory(pvh(&builtin, dir.path()), 256);
    guest.prompt();
    let parts = account(&mut guest);
    assert!(bytes_of(&parts, "heap") > 2000 << 20, "{parts:?}");
    assert!(guest.ask("ROMEO:").len() > 10);
    guest.leave();
}

#[test]
fn a_model_above_4_gib_is_used_where_it_lies() {
    let (dir, test) = (tempfile::tempdir().unwrap(), "a model above 4 GiB");
    let builtin = [workspace().join("models/builtin.gguf")];
    let image = image(&dir.path().join("bootlm.img"), "temp=0 max_tokens=12 log=info", &builtin, test);
    let (Some(image), Some(ovmf)) = (image, ovmf(dir.path(), test)) else { return };
    let mut guest = high_memory(Boot::Image { image, medium: Medium::Disk, ovmf: Some(ovmf) }, 512);
    let start = guest.prompt();
    let module = Regex::new(r"module builtin\.gguf: \d+ bytes at 0x(\w+)\n").unwrap();
    let address = &module.captures(&start).unwrap_or_else(|| panic!("{start}"))[1];
    assert!(u64::from_str_radix(address, 16).unwrap() >= 4 << 30, "{start}");
    assert_eq!(bytes_of(&account(&mut guest), "loader"), 0);
    let answer = guest.ask("ROMEO:");
    assert!(answer.contains("I am a man, I am a man"), "{answer}");
    guest.leave();
}

#[test]
fn nothing_is_left_to_the_loader() {
    let dir = tempfile::tempdir().unwrap();
    let builtin = [workspace().join("models/builtin.gguf")];
    let Some(image) = iso(dir.path(), "", &builtin, "memory by Limine") else { return };
    let boot = Boot::Image { image, medium: Medium::Cd, ovmf: None };
    let mut guest = Guest::boot(&Machine { processors: 2, ..machine(boot) });
    guest.prompt();
    assert_eq!(bytes_of(&account(&mut guest), "loader"), 0);
    guest.leave();
}
