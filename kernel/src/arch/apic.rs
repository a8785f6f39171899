//! The local APIC, as far as a core that polls needs it: a timer that ends a halt, and interrupts for other cores.
//!
//! A core that waits for a person halts for a millisecond at a time. The timer is the core's own, so this depends on no interrupt
//! routing, which differs between machines and loaders. Intel SDM vol. 3, chapter 12.

use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use engine::platform::Clock;
use x86_64::instructions::interrupts;
use x86_64::registers::model_specific::{ApicBase, ApicBaseFlags, Msr};

use super::pic;
use crate::memory::Memory;

/// By how much the timer is measured.
const MILLISECOND_NS: u64 = 1_000_000;

/// Registers, by their offset in the memory-mapped page (table 12-1).
#[derive(Debug, Clone, Copy)]
#[repr(u32)]
enum Register {
    EndOfInterrupt = 0xb0,
    SpuriousVector = 0xf0,
    CommandLow = 0x300,
    CommandHigh = 0x310,
    TimerVector = 0x320,
    Lint0Vector = 0x350,
    TimerInitialCount = 0x380,
    TimerCurrentCount = 0x390,
    TimerDivide = 0x3e0,
}

/// Bit 16 of a local vector table entry.
const MASKED: u32 = 1 << 16;
/// A local vector table entry whose vector the legacy interrupt controllers give.
const EXTERNAL: u32 = 0b111 << 8;
/// Bit 8 of the spurious vector register.
const APIC_ENABLED: u32 = 1 << 8;
/// The divide register's code for 16.
const DIVIDE_BY_16: u32 = 0b0011;

/// Any vector past the exceptions: all of them only end a wait. The low four bits of the spurious one are set on old processors.
const TIMER_VECTOR: u32 = 0x20;
const WAKE_VECTOR: u32 = 0x21;
const SPURIOUS_VECTOR: u32 = 0xff;

/// What a core sends to others (section 12.6.1): an INIT, a startup interrupt, a non-maskable interrupt. What has none of
/// them is an interrupt of a vector.
const INIT: u32 = 0b101 << 8 | LEVEL_ASSERT;
const STARTUP: u32 = 0b110 << 8 | LEVEL_ASSERT;
const NON_MASKABLE: u32 = 0b100 << 8 | LEVEL_ASSERT;
const LEVEL_ASSERT: u32 = 1 << 14;
/// Bit 12 of the command: the one before is still on its way.
const PENDING: u32 = 1 << 12;

/// How a core's registers are reached: each sees its own there.
#[derive(Clone, Copy)]
enum Access {
    /// xAPIC: a page of memory.
    Memory(NonNull<u32>),
    /// x2APIC: model-specific registers (12.12.1.2).
    Msr,
}

// SAFETY: the page is one that every core has at this address, with its own registers behind it.
unsafe impl Send for Access {}
// SAFETY: as above.
unsafe impl Sync for Access {}

/// This core's local APIC, its timer ready to end a wait.
#[derive(Clone)]
pub(crate) struct Apic {
    access: Access,
    ticks_per_millisecond: u32,
}

impl Apic {
    /// Return this core's APIC in the mode that the firmware chose, with the legacy interrupt controller shut out.
    pub(crate) fn new(memory: &mut Memory, clock: &dyn Clock) -> Self {
        // First, while they are still listened to: QEMU otherwise keeps an interrupt of theirs pending for ever.
        pic::set_up();
        let (page, mode) = ApicBase::read();
        let access = if mode.contains(ApicBaseFlags::X2APIC_ENABLE) {
            Access::Msr
        } else {
            Access::Memory(memory.map_device(page).cast())
        };
        let mut apic = Self { access, ticks_per_millisecond: 0 };
        apic.write(Register::SpuriousVector, APIC_ENABLED | SPURIOUS_VECTOR);
        apic.write(Register::Lint0Vector, MASKED);
        apic.write(Register::TimerVector, TIMER_VECTOR); // one-shot mode
        apic.write(Register::TimerDivide, DIVIDE_BY_16);

        apic.write(Register::TimerInitialCount, u32::MAX);
        let begin = clock.now_ns();
        while clock.now_ns() - begin < MILLISECOND_NS {
            core::hint::spin_loop();
        }
        apic.ticks_per_millisecond = u32::MAX - apic.read(Register::TimerCurrentCount);
        apic.write(Register::TimerInitialCount, 0);
        apic
    }

    /// Halt until an interrupt comes, for so many milliseconds at most.
    pub(crate) fn wait(&self, milliseconds: u32) {
        let ticks = self.ticks_per_millisecond.saturating_mul(milliseconds);
        self.write(Register::TimerInitialCount, ticks.max(1));
        self.halt();
    }

    /// Let in what the legacy interrupt controllers let in, or shut them out.
    pub(crate) fn listen_to_legacy(&self, listen: bool) {
        self.write(Register::Lint0Vector, if listen { EXTERNAL } else { MASKED });
    }

    /// Make the APIC of the core that calls ready to take interrupts in, in the mode that the first core's has.
    pub(crate) fn take_this_core(&self) {
        if let Access::Msr = self.access {
            let (page, mode) = ApicBase::read();
            // SAFETY: the first core's APIC is in this mode, and all of a machine have it.
            unsafe {
                ApicBase::write(page, mode | ApicBaseFlags::LAPIC_ENABLE | ApicBaseFlags::X2APIC_ENABLE)
            };
        }
        self.write(Register::SpuriousVector, APIC_ENABLED | SPURIOUS_VECTOR);
        self.write(Register::Lint0Vector, MASKED);
    }

    /// Halt until an interrupt comes; one that came since they were switched off ends the halt at once.
    pub(crate) fn halt(&self) {
        interrupts::enable_and_hlt();
        interrupts::disable();
        self.write(Register::EndOfInterrupt, 0);
    }

    /// End the halt of another core.
    pub(crate) fn wake(&self, apic_id: u32) {
        self.send(apic_id, WAKE_VECTOR | LEVEL_ASSERT);
    }

    /// Let a core that was never used wait for a startup interrupt.
    pub(crate) fn init(&self, apic_id: u32) {
        self.send(apic_id, INIT);
    }

    /// Let a core that waits for it begin at the start of page `page`, in real mode.
    pub(crate) fn startup(&self, apic_id: u32, page: u8) {
        self.send(apic_id, STARTUP | u32::from(page));
    }

    /// Interrupt another core, whatever it is doing.
    pub(crate) fn interrupt(&self, apic_id: u32) {
        self.send(apic_id, NON_MASKABLE);
    }

    fn send(&self, apic_id: u32, command: u32) {
        match self.access {
            Access::Memory(_) => {
                while self.read(Register::CommandLow) & PENDING != 0 {
                    core::hint::spin_loop();
                }
                self.write(Register::CommandHigh, apic_id << 24);
                self.write(Register::CommandLow, command);
            }
            Access::Msr => {
                // What was written before must be seen by the core that is interrupted: writing this register does not wait for that.
                core::sync::atomic::fence(Ordering::SeqCst);
                // SAFETY: the APIC is in x2APIC mode, where the command is one register; what is sent is an interrupt of those above.
                unsafe { msr(Register::CommandLow).write(u64::from(apic_id) << 32 | u64::from(command)) };
            }
        }
    }

    fn read(&self, register: Register) -> u32 {
        match self.access {
            // SAFETY: the page is this core's APIC, mapped for ever; the offset lies within it.
            Access::Memory(page) => unsafe { page.byte_add(register as usize).read_volatile() },
            // SAFETY: the APIC is in x2APIC mode, where this register exists.
            Access::Msr => unsafe { msr(register).read() as u32 },
        }
    }

    fn write(&self, register: Register, value: u32) {
        match self.access {
            // SAFETY: as in `read`; the values written start a timer and let in vectors whose handler only returns.
            Access::Memory(page) => unsafe { page.byte_add(register as usize).write_volatile(value) },
            // SAFETY: likewise.
            Access::Msr => unsafe { msr(register).write(u64::from(value)) },
        }
    }
}

fn msr(register: Register) -> Msr {
    Msr::new(0x800 + (register as u32 >> 4))
}
