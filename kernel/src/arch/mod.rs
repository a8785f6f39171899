//! The processor: how it is entered, its tables, its clock, its interrupt controller.
//!
//! Everything here is x86_64 and ring 0. What every core has of its own is in [`gdt`]; the rest is one for all.

pub(crate) mod apic;
pub(crate) mod backtrace;
pub(crate) mod core_entry;
pub(crate) mod entropy;
mod entry;
mod exceptions;
pub(crate) mod features;
pub(crate) mod gdt;
pub(crate) mod idt;
pub(crate) mod machine_check;
mod mem;
pub(crate) mod pic;
mod pit;
pub(crate) mod stack;
pub(crate) mod symbols;
pub(crate) mod tsc;

use x86_64::VirtAddr;
use x86_64::registers::model_specific::GsBase;

/// Remember which core this is, the first being 0.
pub(crate) fn set_core_number(number: usize) {
    GsBase::write(VirtAddr::new(number as u64)); // nobody uses the segment
}

/// Return which core this is.
pub(crate) fn core_number() -> usize {
    GsBase::read().as_u64() as usize
}

/// Stop this core for ever.
pub(crate) fn halt() -> ! {
    x86_64::instructions::interrupts::disable();
    loop {
        x86_64::instructions::hlt();
    }
}
