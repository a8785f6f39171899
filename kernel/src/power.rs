//! How the machine ends: well, with power-off; or badly, with an exit code that a test can see.

use x86_64::instructions::port::Port;

use crate::arch::{self, features};

/// Where QEMU's PC and Q35 machines have their ACPI PM1a control register (`PIIX4_PM` and `ICH9_PMBASE` as their firmware and
/// PVH start leave them), and what powers them off: SLP_EN (ACPI 6.5, 4.8.3.2.1) with sleep type 0, which is S5 there.
const QEMU_PM1A_CONTROL: u16 = 0x604;
const SLEEP_ENABLE: u16 = 1 << 13;

/// QEMU's `isa-debug-exit` device as our tests and `make run` configure it. QEMU exits with (value << 1) | 1.
const DEBUG_EXIT: u16 = 0xf4;
const FAILED: u32 = 0x10;

/// Power the machine off. A machine that does not know how stays halted.
pub(crate) fn off() -> ! {
    if features::hypervisor() {
        // SAFETY: under a hypervisor this port is the power control or nothing.
        unsafe { Port::new(QEMU_PM1A_CONTROL).write(SLEEP_ENABLE) };
    }
    arch::halt()
}

/// End a test's machine with QEMU's exit status 33. Any other machine stays halted, with its report to be read.
pub(crate) fn fail() -> ! {
    if features::hypervisor() {
        // SAFETY: under a hypervisor this port is the debug exit or nothing.
        unsafe { Port::new(DEBUG_EXIT).write(FAILED) };
    }
    arch::halt()
}
