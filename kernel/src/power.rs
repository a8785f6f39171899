//! How the machine ends: well, switched off or started again by what its firmware names; or badly, with an exit code that a test can see.

use core::hint;

use x86_64::VirtAddr;
use x86_64::instructions::interrupts::int3;
use x86_64::instructions::port::Port;
use x86_64::instructions::tables::lidt;
use x86_64::structures::DescriptorTablePointer;

use crate::arch::{self, features};
use crate::drivers::acpi::power::Power;

/// QEMU's `isa-debug-exit` device as our tests and `make run` configure it. QEMU exits with (value << 1) | 1.
const DEBUG_EXIT: u16 = 0xf4;

/// How long each way out may take, in looks of some 100 ns at least.
const PATIENCE: usize = 2_000_000;

/// Switch the machine off, or return where nothing of the kind happens.
pub(crate) fn off(power: &Power) {
    power.off();
    wait();
}

/// The chipset's reset control register (Intel ICH and PCH datasheets, "RST_CNT"), and what resets the processor by it: first
/// that it is to be a whole reset (SYS_RST), then to do it (RST_CPU).
const RESET_CONTROL: u16 = 0xcf9;
const SYSTEM_RESET: u8 = 1 << 1;
const RESET_CPU: u8 = 1 << 2;

/// The keyboard controller's command that pulls the processor's reset line, which every PC has had since the first AT.
const KEYBOARD_CONTROLLER: u16 = 0x64;
const PULSE_RESET: u8 = 0xfe;

/// Start the machine again: by the register that its firmware names, else by those that nearly all have, else by a fault that cannot be
/// handled, of which a processor resets itself.
pub(crate) fn reset(power: &Power) -> ! {
    power.reset();
    wait();
    // SAFETY: these ports do what they are for, or nothing; nothing is left to be done by this kernel.
    unsafe {
        let mut control = Port::<u8>::new(RESET_CONTROL);
        control.write(SYSTEM_RESET);
        control.write(SYSTEM_RESET | RESET_CPU);
        wait();
        Port::<u8>::new(KEYBOARD_CONTROLLER).write(PULSE_RESET);
        wait();
        lidt(&DescriptorTablePointer { limit: 0, base: VirtAddr::zero() });
    }
    int3();
    arch::halt()
}

/// Give the chipset the time to do what it was told.
fn wait() {
    (0..PATIENCE).for_each(|_| hint::spin_loop());
}

/// End a test's machine with a code that QEMU makes its exit status of. Any other machine stays halted, with its report to be read.
pub(crate) fn fail(code: u32) -> ! {
    if features::hypervisor() {
        // SAFETY: under a hypervisor this port is the debug exit or nothing.
        unsafe { Port::new(DEBUG_EXIT).write(code) };
    }
    arch::halt()
}
