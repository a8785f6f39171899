//! Switching off and starting again, by what the firmware's tables say: on each of QEMU's machines, by both doors.

use std::path::Path;

use boot_tests::{Guest, iso, machine, pvh_with};
use tools::qemu::{Boot, Machine, Medium};

/// Return the ways to boot a kernel without a model.
fn doors(dir: &Path, test: &str) -> Vec<Boot> {
    let iso = iso(dir, "", &[], test).map(|image| Boot::Image { image, medium: Medium::Cd, ovmf: None });
    [pvh_with("")].into_iter().chain(iso).collect()
}

#[test]
fn poweroff_ends_the_machine_on_every_chipset_by_both_doors() {
    let dir = tempfile::tempdir().unwrap();
    for boot in doors(dir.path(), "power-off by Limine") {
        for chipset in ["q35", "pc", "microvm"] {
            if chipset == "microvm" && !matches!(boot, Boot::Pvh { .. }) {
                continue; // it has no CD
            }
            let mut command = machine(boot.clone()).command();
            command.args(["-machine", chipset]);
            let mut guest = Guest::start(command);
            guest.prompt();
            guest.send("/poweroff\r");
            assert_eq!(guest.end(), ("/poweroff\n".into(), 0), "{chipset}");
        }
    }
}

#[test]
fn reboot_starts_the_machine_again() {
    let dir = tempfile::tempdir().unwrap();
    for boot in doors(dir.path(), "reboot by Limine") {
        let mut command = Machine { processors: 2, ..machine(boot) }.command();
        // Else QEMU ends there.
        command.args(["-action", "reboot=reset"]);
        let mut guest = Guest::start(command);
        guest.prompt();
        guest.send("/reboot\r");
        guest.expect("a language model on bare metal");
        guest.prompt();
        guest.leave();
    }
}
