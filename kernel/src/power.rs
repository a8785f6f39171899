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

/// The chipset's reset control register (Intel ICH and PCH datasheets, "RST_CNT"), and what resets the processor by it: first
/// that it is to be a whole reset (SYS_RST), then to do it (RST_CPU).
const RESET_CONTROL: u16 = 0xcf9;
const SYSTEM_RESET: u8 = 1 << 1;
const RESET_CPU: u8 = 1 << 2;

/// The keyboard controller's command that pulls the processor's reset line, which every PC has had since the first AT.
const KEYBOARD_CONTROLLER: u16 = 0x64;
const PULSE_RESET: u8 = 0xfe;

/// Start the machine again. One that knows neither way stays halted.
pub(crate) fn reset() -> ! {
    // SAFETY: these ports do what they are for, or nothing; nothing is left to be done by this kernel.
    unsafe {
        let mut control = Port::<u8>::new(RESET_CONTROL);
        control.write(SYSTEM_RESET);
        control.write(SYSTEM_RESET | RESET_CPU);
        Port::<u8>::new(KEYBOARD_CONTROLLER).write(PULSE_RESET);
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
