//! Machines with little and with much memory: all of it is used, and every byte of it accounted for.

use boot_tests::{Guest, iso, machine, pvh, workspace};
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
    for memory_mib in [128, 512, 3 << 10, 6 << 10] {
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
